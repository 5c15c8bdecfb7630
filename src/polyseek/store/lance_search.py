"""Nearest segments by asking Lance: for one-shot processes, where loading a copy would not pay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from polyseek.core.filters import Filter
from polyseek.core.hits import Candidates, HubCorrection, Retrieval
from polyseek.core.sparse import SparseVector
from polyseek.core.types import Floats, Space
from polyseek.store import inverted, lance_index, layout
from polyseek.store.batches import in_order
from polyseek.store.filter_sql import quote, to_sql
from polyseek.store.hits import hits_from_arrow

SELECT_EXACT_ROWS = 20_000
"""A filter that leaves no more than this is searched exactly: a scan of them is fast enough."""

_HUB_DEPTH = 4  # the correction moves few rows further up than this
_TIES = 32  # rows that may score as the last one does without a second look


def search(table: Any, request: Retrieval, condition: Filter | None) -> Candidates:
    """See `polyseek.core.protocols.StoreReader`; the filter is applied before the search."""
    where = to_sql(condition, table.schema.names) if condition is not None else None
    rows = table.count_rows(where)
    if not rows:
        return Candidates(hits=(), tier="lance-exact", rows=0)
    indexed = rows > SELECT_EXACT_ROWS and lance_index.has_index(table, request.space)
    found = _nearest(table, request, min(request.limit, rows), where=where, indexed=indexed)
    hits = hits_from_arrow(found, found["cosine"].to_pylist(), request.modality, hub=request.hub)
    if not indexed:
        return Candidates(hits=hits, tier="lance-exact", rows=rows)
    recall = lance_index.measured_recall(table, request.space)
    return Candidates(hits=hits, tier="lance-ann", rows=rows, recall=recall)


def search_sparse(
    table: Any, request: Retrieval, condition: Filter | None, *, vector: SparseVector
) -> Candidates:
    """See `polyseek.core.protocols.StoreReader`: one pass over the column of sparse vectors."""
    if inverted.INDICES not in table.schema.names:
        return Candidates(hits=(), tier="empty", rows=0)
    where = to_sql(condition, table.schema.names) if condition is not None else None
    query = table.search().where(where) if where else table.search()
    names = ["id", inverted.INDICES, inverted.WEIGHTS]
    ids: list[str] = []

    def blocks() -> Iterator[Any]:
        for block in query.select(names).limit(None).to_batches():
            ids.extend(block["id"].to_pylist())
            yield block

    scores = inverted.scan(blocks(), vector)
    best = inverted.best(scores, ids, request.limit)
    wanted = [ids[i] for i in best]
    hidden = {*inverted.COLUMNS, *layout.VECTOR_COLUMN.values()}
    column = layout.vector_column(request.space, table.schema.names)
    shown = [name for name in table.schema.names if name not in hidden]
    by_id = f"id IN ({', '.join(map(quote, wanted))})" if wanted else "FALSE"
    found = table.search().where(by_id).limit(None).select([*shown, column]).to_arrow()
    place = {id_: i for i, id_ in enumerate(found["id"].to_pylist())}
    found = found.take(pa.array([place[id_] for id_ in wanted], pa.int64()))
    cosines = layout.vectors_to_numpy(found[column]) @ request.vector if wanted else np.zeros(0)
    hits = hits_from_arrow(
        found.drop_columns([column]), cosines.tolist(), request.modality, hub=request.hub,
        products=scores[best].tolist(),
    )  # fmt: skip
    return Candidates(hits=hits, tier="lance-sparse", rows=len(ids))


def vectors(table: Any, ids: Sequence[str], space: Space) -> Floats:
    """See `polyseek.core.protocols.StoreReader`."""
    column = layout.vector_column(space, table.schema.names)
    by_id = f"id IN ({', '.join(map(quote, ids))})"
    found = table.search().where(by_id).limit(None).select(["id", column]).to_arrow()
    return in_order(ids, found["id"].to_pylist(), layout.vectors_to_numpy(found[column]))


def _nearest(
    table: Any, request: Retrieval, limit: int, *, where: str | None, indexed: bool
) -> pa.Table:
    """The best rows without their vectors; equal scores are ordered by id, as in memory."""
    vectors = {*layout.VECTOR_COLUMN.values(), *inverted.COLUMNS}
    columns = [name for name in table.schema.names if name not in vectors]
    least = _least_offset(table, request.hub) if request.hub else 0.0
    asked = limit + _TIES if request.hub is None else _HUB_DEPTH * limit
    while True:
        query = lance_index.nearest(table, request, limit=asked, index=indexed)
        if where is not None:
            query = query.where(where, prefilter=True)
        found = query.select([*columns, "_distance"]).to_arrow()
        cosines = 1 - found["_distance"].to_numpy()
        offsets = layout.hub_offsets(found, request.hub) if request.hub else np.float32(0)
        scores = cosines - offsets
        # Lance has kept back only rows whose cosine is at most the last one's. Which of the equal
        # ones is left to chance, so the last of ours must be better than all of them can be.
        if len(found) < asked or cosines.min() - least < np.partition(scores, -limit)[-limit]:
            break
        asked *= 2
    found = found.append_column("cosine", [cosines]).append_column("score", [scores])
    return found.sort_by([("score", "descending"), ("id", "ascending")]).slice(0, limit)


def _least_offset(table: Any, hub: HubCorrection) -> float:
    """The smallest offset of any row: how far a row may rise past its cosine."""
    name = layout.HUB_COLUMN[hub.query]
    present = [name] if name in table.schema.names else ["id"]
    offsets = layout.hub_offsets(table.search().select(present).to_arrow(), hub)
    return float(offsets.min(initial=hub.strength * hub.missing))
