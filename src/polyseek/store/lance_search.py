"""Nearest segments by asking Lance: for one-shot processes, where loading a copy would not pay."""

from __future__ import annotations

from typing import Any

from polyseek.core.filters import Filter
from polyseek.core.types import Candidates, Retrieval
from polyseek.store import layout
from polyseek.store.filter_sql import to_sql
from polyseek.store.hits import hits_from_arrow


def search(table: Any, request: Retrieval, condition: Filter | None) -> Candidates:
    """See `polyseek.core.protocols.StoreReader`; the filter is applied before the search."""
    where = to_sql(condition, table.schema.names) if condition is not None else None
    rows = table.count_rows(where)
    if not rows:
        return Candidates(hits=(), tier="lance-exact", rows=0)
    vectors = set(layout.VECTOR_COLUMN.values())
    columns = [name for name in table.schema.names if name not in vectors]
    query = (
        table.search(request.vector, vector_column_name=layout.VECTOR_COLUMN[request.space])
        .distance_type("dot")
        .select([*columns, "_distance"])
        .limit(min(request.limit, rows))
    )
    if where is not None:
        query = query.where(where, prefilter=True)
    found = query.to_arrow()
    # Lance's distance is 1 - product; equal scores are ordered by id, as in memory.
    found = found.append_column("score", [[1 - d for d in found["_distance"].to_pylist()]])
    found = found.sort_by([("score", "descending"), ("id", "ascending")])
    hits = hits_from_arrow(found, found["score"].to_pylist(), request.modality)
    return Candidates(hits=hits, tier="lance-exact", rows=rows)
