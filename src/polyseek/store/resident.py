"""A modality's segments in memory: vectors to scan, columns to filter and to show."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from polyseek.core.filters import Filter
from polyseek.core.types import Candidates, Modality, Retrieval, Space
from polyseek.store import layout
from polyseek.store.filter_arrow import passing_rows
from polyseek.store.hits import best_first, hits_from_arrow
from polyseek.store.scan import EXACT_ROWS, CodedIndex, ExactIndex, VectorIndex

RECALL_QUERIES = 64
RECALL_AT = 10


class Resident:
    """One version of one segments table. Columns are read at once, vectors when first needed.

    Args:
        table: The Lance table.
        modality: Of its segments.
        version: Of the table.
    """

    def __init__(self, table: Any, modality: Modality, version: int) -> None:
        self.version, self.modality = version, modality
        self._table = table
        self._indexes: dict[Space, VectorIndex] = {}
        vectors = set(layout.VECTOR_COLUMN.values())
        names = [name for name in table.schema.names if name not in vectors]
        self._columns: pa.Table = table.search().select(names).to_arrow().combine_chunks()
        # The order of ids, so that equal scores come in the same order everywhere.
        self._tiebreak = np.argsort(
            np.argsort(np.array(self._columns["id"].to_pylist(), dtype=str), kind="stable")
        )

    def search(self, request: Retrieval, condition: Filter | None) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        index = self._index(request.space)
        rows = None if condition is None else passing_rows(condition, self._columns)
        eligible = len(self._columns) if rows is None else len(rows)
        if not eligible:
            return Candidates(hits=(), tier=index.tier, rows=0)
        found, scores = index.search(request.vector, min(request.limit, eligible), rows)
        order = best_first(found, scores, self._tiebreak)[: request.limit]
        hits = hits_from_arrow(
            self._columns.take(found[order]), scores[order].tolist(), self.modality
        )
        return Candidates(hits=hits, tier=index.tier, rows=eligible, recall=index.recall)

    def _index(self, space: Space) -> VectorIndex:
        if space not in self._indexes:
            column = layout.VECTOR_COLUMN[space]
            read = self._table.search().select([column]).to_arrow()[column]
            if len(read) <= EXACT_ROWS:
                self._indexes[space] = ExactIndex(layout.vectors_to_numpy(read))
            else:
                dim = read.type.list_size
                blocks = (layout.vectors_to_numpy(chunk) for chunk in read.chunks)
                coded = CodedIndex(blocks, rows=len(read), dim=dim)
                coded.recall = _recall(coded, len(read))
                self._indexes[space] = coded
        return self._indexes[space]


def _recall(index: CodedIndex, rows: int) -> float:
    """Recall@10 against exact search, for queries near stored vectors and for shifted ones.

    The lower of the two: text queries lie far from all pictures, and shifting imitates that.
    """
    rng = np.random.default_rng(0)
    near = index.sample(np.sort(rng.choice(rows, RECALL_QUERIES, replace=False)))
    noise = rng.normal(size=near.shape).astype(np.float32) / np.sqrt(near.shape[1])
    shift = noise[0] / np.linalg.norm(noise[0])
    far = layout.unit_rows(near + noise + shift)
    recalls = []
    for queries in (layout.unit_rows(near + 0.3 * noise), far):
        exact = index.exact(queries, RECALL_AT)
        found = 0
        for query, best in zip(queries, exact, strict=True):
            rows_, scores = index.search(query, RECALL_AT)
            top = rows_[np.argsort(-scores)[:RECALL_AT]]
            found += len(np.intersect1d(top, best))
        recalls.append(found / (RECALL_QUERIES * RECALL_AT))
    return min(recalls)
