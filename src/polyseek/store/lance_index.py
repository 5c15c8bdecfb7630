"""Lance's own vector index, for one-shot processes over large tables.

IVF partitions with 1-bit RaBitQ codes, the best of them rescored with the stored vectors. Rows
written after the index was built are scanned exactly until `refresh` takes them in.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa

from polyseek.core.filters import FieldType
from polyseek.core.hits import Retrieval
from polyseek.core.types import Floats, Space
from polyseek.store import layout, recall
from polyseek.store.scan import exact_scores

ANN_ROWS = 100_000
"""From here on a table gets an index; below, a scan takes about as long as starting Python."""

FIELD_ROWS = 10_000
"""From here on fields are indexed: a filter that passes few rows need not read the others."""

SMALL_BYTES = 32 * 1024 * 1024
"""Smaller tables are rewritten whenever anything changes: it takes no time."""

MAX_PIECES, MAX_SHARE = 8, 0.2
"""Larger ones when they have more pieces, or when so much of them lies in small ones."""

PROBES = 64
_RESCORE_MIN, _RESCORE_PER_HIT = 800, 8
_RECALL_KEY = "polyseek.ann"
_GROWTH = 1.5  # train again when the table has outgrown the sample the partitions came from


def refresh(table: Any) -> None:
    """Build what is missing, train again what has outgrown itself, and measure recall anew.

    Args:
        table: A segments table, already optimised: its indexes cover all rows.
    """
    index_fields(table)
    rows = table.count_rows()
    if rows < ANN_ROWS:
        return
    for space in Space:
        column = layout.VECTOR_COLUMN[space]
        if column not in table.schema.names:
            continue
        trained = _facts(table, column).get("rows", 0) if has_index(table, space) else 0
        if not trained or rows > _GROWTH * trained:
            _build(table, column)
            facts = {"rows": rows, "recall": _measure(table, column, rows)}
            table.update_field_metadata(
                {"path": column, "metadata": {_RECALL_KEY: json.dumps(facts)}}
            )


def worn(table: Any) -> bool:
    """Whether a table should be rewritten: it is small, in many pieces, or has grown by much."""
    stats = table.stats()
    pieces = stats["fragment_stats"]
    if stats["total_bytes"] < SMALL_BYTES or pieces["num_fragments"] > MAX_PIECES:
        return True
    return bool(stats["num_rows"] - pieces["lengths"]["max"] > MAX_SHARE * stats["num_rows"])


def index_fields(table: Any, *, rows: int = FIELD_ROWS) -> None:
    """Give metadata fields an index for filters, where they have none.

    Args:
        table: A segments table.
        rows: A smaller table is left alone.
    """
    from lancedb.index import BTree, LabelList

    if table.count_rows() < rows:
        return
    indexed = {column for index in table.list_indices() for column in index.columns}
    for name, kind in layout.fields_of(table.schema).items():
        column = layout.column_of(name)
        # Not texts: with an index Lance takes the backslash in LIKE '\\a%' for itself.
        if column not in indexed and kind is not FieldType.TEXT:
            table.create_index(column, config=LabelList() if kind is FieldType.LIST else BTree())


def has_index(table: Any, space: Space) -> bool:
    """Whether the table has a vector index for this space."""
    column = layout.vector_column(space, table.schema.names)
    return any(index.columns == [column] for index in table.list_indices())


def measured_recall(table: Any, space: Space) -> float | None:
    """Recall@10 when the index was last built."""
    found = _facts(table, layout.vector_column(space, table.schema.names)).get("recall")
    return None if found is None else float(found)


def nearest(table: Any, request: Retrieval, *, limit: int, index: bool) -> Any:
    """A Lance query for the nearest rows; its distance is 1 - product.

    Args:
        table: A segments table.
        request: The vector and its space.
        limit: Number of rows.
        index: Whether to use the index.
    """
    column = layout.vector_column(request.space, table.schema.names)
    return _query(table, request.vector, column, limit=limit, index=index)


def _build(table: Any, column: str) -> None:
    from lancedb.index import IvfRq

    table.create_index(column, config=IvfRq(distance_type="dot", num_bits=1), replace=True)


def _query(table: Any, vector: Floats, column: str, *, limit: int, index: bool) -> Any:
    query = table.search(vector, vector_column_name=column).distance_type("dot").limit(limit)
    if not index:
        return query.bypass_vector_index()
    refine = max(_RESCORE_PER_HIT, math.ceil(_RESCORE_MIN / limit))
    return query.nprobes(PROBES).refine_factor(refine)


def _facts(table: Any, column: str) -> dict[str, Any]:
    metadata = table.schema.field(column).metadata or {}
    facts: dict[str, Any] = json.loads(metadata.get(_RECALL_KEY.encode(), b"{}"))
    return facts


def _measure(table: Any, column: str, rows: int) -> float:
    sampled = table.take_offsets(recall.sample_rows(rows).tolist()).select([column]).to_arrow()

    stored_type = sampled[column].type.value_type.to_pandas_dtype()

    def exact(queries: Floats) -> Floats:
        # Lance brings the query to the column's precision; so does this.
        queries = queries.astype(stored_type).astype(np.float32)
        blocks = table.search().select([column]).to_batches()
        return exact_scores((_raw(block[column]) for block in blocks), queries, recall.AT)

    def search(query: Floats) -> Floats:
        found = _query(table, query, column, limit=recall.AT, index=True)
        return np.array(1 - found.select(["_distance"]).to_arrow()["_distance"].to_numpy())

    return recall.measure(_raw(sampled[column]), search=search, exact=exact)


def _raw(column: Any) -> Floats:
    """``(n, dim)`` float32 as stored, without bringing float16 rows to unit length."""
    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    rows = chunk.flatten().to_numpy(zero_copy_only=False).reshape(len(chunk), -1)
    vectors: Floats = rows.astype(np.float32)
    return vectors
