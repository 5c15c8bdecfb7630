"""A modality's segments in memory: vectors to scan, columns to filter and to show."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from polyseek.core.filters import Filter
from polyseek.core.hits import Candidates, HubCorrection, Retrieval, Terms
from polyseek.core.sparse import SparseVector
from polyseek.core.types import Floats, Modality, Space
from polyseek.store import inverted, lance_text, layout, recall
from polyseek.store.batches import in_order
from polyseek.store.filter_arrow import passing_rows
from polyseek.store.hits import best_first, hits_from_arrow
from polyseek.store.scan import EXACT_ROWS, CodedIndex, ExactIndex, Rows, VectorIndex


class Resident:
    """One version of one segments table. Columns are read at once, vectors when first needed.

    Args:
        table: The Lance table, checked out at `version`, so that columns and vectors agree.
        modality: Of its segments.
        version: Of the table.
    """

    def __init__(self, table: Any, modality: Modality, version: int) -> None:
        self.version, self.modality = version, modality
        self._table = table
        self._indexes: dict[str, VectorIndex] = {}
        self._indexing = threading.Lock()
        self._offsets: dict[HubCorrection, Floats] = {}
        vectors = {*layout.VECTOR_COLUMN.values(), *inverted.COLUMNS}
        self._names: list[str] = table.schema.names  # to ask Lance is a trip to its event loop
        names = [name for name in self._names if name not in vectors]
        read = (
            table.search().select(names).with_row_id(with_row_id=True).to_arrow().combine_chunks()
        )
        self._row_ids = read["_rowid"].to_numpy()
        self._columns: pa.Table = read.drop_columns(["_rowid"])
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
        offsets = self._hub_offsets(request.hub) if request.hub else None
        found, scores = index.search(
            request.vector, min(request.limit, eligible), rows, offsets=offsets
        )
        order = best_first(found, scores, self._tiebreak)[: request.limit]
        best = found[order]
        cosines = scores[order] if offsets is None else scores[order] + offsets[best]
        hits = hits_from_arrow(
            self._columns, cosines.tolist(), self.modality, rows=best.tolist(), hub=request.hub
        )
        return Candidates(hits=hits, tier=index.tier, rows=eligible, recall=index.recall)

    def search_text(
        self, request: Retrieval, condition: Filter | None, *, terms: Terms
    ) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`; the words are looked up in Lance's index."""
        if layout.WORDS not in self._names or not terms:
            return Candidates(hits=(), tier="empty", rows=0)
        found = lance_text.scored(self._table, terms, request.limit, condition)
        rows, scores = self._rows_of(found["_rowid"].to_numpy()), found["_score"].to_numpy()
        order = best_first(rows, scores, self._tiebreak)[: request.limit]
        rows = rows[order]
        hits = hits_from_arrow(
            self._columns, self._cosines(request, rows), self.modality, rows=rows.tolist(),
            hub=request.hub,
            matched=lance_text.matches(
                terms, found["_score"].take(order), self._columns[layout.WORDS].take(rows)
            ),
        )  # fmt: skip
        eligible = len(self._columns)
        if condition is not None:
            eligible = len(passing_rows(condition, self._columns))
        return Candidates(hits=hits, tier="lance-text", rows=eligible)

    def search_sparse(
        self, request: Retrieval, condition: Filter | None, *, vector: SparseVector
    ) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        if inverted.INDICES not in self._names:
            return Candidates(hits=(), tier="empty", rows=0)
        scores, eligible = self._inverted.scores(vector), len(self._columns)
        if condition is not None:
            passing = passing_rows(condition, self._columns)
            eligible, kept = len(passing), np.full_like(scores, np.nan)
            kept[passing] = scores[passing]
            scores = kept
        rows = inverted.best(scores, self._ids, request.limit)
        hits = hits_from_arrow(
            self._columns, self._cosines(request, rows), self.modality, rows=rows.tolist(),
            hub=request.hub, products=scores[rows].tolist(),
        )  # fmt: skip
        return Candidates(hits=hits, tier="memory-sparse", rows=eligible)

    def vectors(self, ids: Sequence[str], space: Space, *, whole: bool) -> Floats:
        """See `polyseek.core.protocols.StoreReader`.

        Args:
            ids: Of segments.
            space: Of the embeddings.
            whole: Read all of a space that was not searched yet, not these rows alone.
        """
        known = [id_ for id_ in ids if id_ in self._row_of]
        rows = np.array([self._row_of[id_] for id_ in known], np.int64)
        column = layout.vector_column(space, self._names)
        if whole or column in self._indexes:
            return in_order(ids, known, self._index(space).gather(rows))
        ascending = np.unique(rows)
        found = self._table.take_offsets(ascending.tolist()).select([column]).to_arrow()
        names = [self._ids[row] for row in ascending]
        return in_order(ids, names, layout.vectors_to_numpy(found[column]))

    @cached_property
    def _inverted(self) -> inverted.InvertedIndex:
        rows = self._table.search().select(list(inverted.COLUMNS)).to_arrow()
        return inverted.InvertedIndex(rows[inverted.INDICES], rows[inverted.WEIGHTS])

    @cached_property
    def _ids(self) -> list[str]:
        return list(self._columns["id"].to_pylist())

    @cached_property
    def _by_row_id(self) -> Rows:
        return np.argsort(self._row_ids)

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {id_: row for row, id_ in enumerate(self._ids)}

    def _rows_of(self, row_ids: Any) -> Rows:
        """Our numbers of Lance's rows."""
        places = np.searchsorted(self._row_ids, row_ids, sorter=self._by_row_id)
        rows: Rows = self._by_row_id[places]
        return rows

    def _cosines(self, request: Retrieval, rows: Rows) -> list[float]:
        """The cosine of each of these rows."""
        if not request.vector.any():
            return [0.0] * len(rows)
        if not len(rows):
            return []
        ascending = np.sort(rows)
        found, scores = self._index(request.space).search(request.vector, len(rows), ascending)
        by_row = dict(zip(found.tolist(), scores.tolist(), strict=True))
        return [by_row[row] for row in rows.tolist()]

    def _hub_offsets(self, hub: HubCorrection) -> Floats:
        if hub not in self._offsets:
            self._offsets[hub] = layout.hub_offsets(self._columns, hub)
        return self._offsets[hub]

    def _index(self, space: Space) -> VectorIndex:
        column = layout.vector_column(space, self._names)
        if column in self._indexes:
            return self._indexes[column]
        with self._indexing:  # of searches that come at once one reads the vectors
            if column not in self._indexes:
                self._indexes[column] = self._read_index(column)
            return self._indexes[column]

    def _read_index(self, column: str) -> VectorIndex:
        query = self._table.search().select([column])
        if len(self._columns) <= EXACT_ROWS:
            return ExactIndex(layout.vectors_to_numpy(query.to_arrow()[column]))
        blocks = (layout.vectors_to_numpy(batch[column]) for batch in query.to_batches())
        return _coded(blocks, len(self._columns))


def _coded(blocks: Iterator[Floats], rows: int) -> CodedIndex:
    coded = CodedIndex(blocks, rows=rows)
    coded.recall = recall.measure(
        coded.gather(recall.sample_rows(rows)),
        search=lambda query: np.sort(coded.search(query, recall.AT)[1])[-recall.AT :],
        exact=lambda queries: coded.exact(queries, recall.AT),
    )
    return coded
