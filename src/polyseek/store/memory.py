"""A store in plain Python and NumPy: for tests and throw-away collections, and as the reference."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

import numpy as np

from polyseek.core.config import Group
from polyseek.core.errors import CollectionBusyError, DimensionError
from polyseek.core.filters import FieldType, Filter, check
from polyseek.core.hits import Candidates, Hit, HubCorrection, Item, Retrieval, Terms
from polyseek.core.sparse import SparseVector
from polyseek.core.tuning import Tuning
from polyseek.core.types import (
    AssetCounts,
    AssetRecord,
    Embeddings,
    Floats,
    Manifest,
    MetadataValue,
    Modality,
    Segment,
    SegmentBatch,
    Space,
)
from polyseek.store.batches import require_finite, space_dim, spread
from polyseek.store.bm25 import bm25
from polyseek.store.filter_rows import WORDS, matches
from polyseek.store.metadata import ClashLog, evolve, normalize_row, split
from polyseek.store.words import share_found, stored_words, words_of


@dataclass(frozen=True, eq=False)
class _Row:
    segment: Segment
    shared: Floats
    tower: Floats
    hub_bias: Mapping[Modality, float]
    words: list[str]


class MemoryStore:
    """See `polyseek.core.protocols.Store`. Gone with the process."""

    def __init__(self, location: str, manifest: Manifest) -> None:
        self.location, self.manifest, self.version = location, manifest, 0
        self.tuning: Tuning | None = None
        self.notes: dict[str, str] = {}
        self._attachments: dict[str, bytes] = {}
        self._records: dict[str, AssetRecord] = {}
        self._rows: dict[str, _Row] = {}
        self._fields: dict[str, FieldType] = {}
        self._clashes = ClashLog()
        self._lock = Lock()

    @classmethod
    def create(cls, location: str, manifest: Manifest) -> MemoryStore:
        """A new, empty store."""
        return cls(location, manifest)

    def fields(self) -> Mapping[str, FieldType]:
        """See `polyseek.core.protocols.StoreReader`."""
        return dict(self._fields)

    def records(self) -> Sequence[AssetRecord]:
        """See `polyseek.core.protocols.StoreReader`."""
        return list(self._records.values())

    def counts(self) -> AssetCounts:
        """See `polyseek.core.protocols.StoreReader`."""
        return Counter((record.status, record.modalities) for record in self._records.values())

    def fetch(self, uris: Sequence[str]) -> Sequence[SegmentBatch]:
        """See `polyseek.core.protocols.StoreReader`."""
        wanted = set(uris)
        batches = []
        for modality in Modality:
            rows = [r for r in self._of(modality) if r.segment.asset_uri in wanted]
            if rows:
                batches.append(self._batch(modality, rows))
        return batches

    def sample(self, modality: Modality, limit: int) -> SegmentBatch | None:
        """See `polyseek.core.protocols.StoreReader`."""
        rows = self._of(modality)
        if not rows:
            return None
        chosen = [rows[i] for i in spread(len(rows), limit)]
        return self._batch(modality, chosen)

    def vectors(self, modality: Modality, ids: Sequence[str], space: Space) -> Floats:
        """See `polyseek.core.protocols.StoreReader`."""
        found = np.full((len(ids), self._space_dim(modality, space)), np.nan, np.float32)
        for i, row in enumerate(map(self._rows.get, ids)):
            if row is not None and row.segment.modality is modality:
                found[i] = self._vector(row, space)
        return found

    def attachment(self, name: str) -> bytes | None:
        """See `polyseek.core.protocols.StoreReader`."""
        return self._attachments.get(name)

    def search(self, request: Retrieval) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        self._check_vector(request)
        rows = self._eligible(request)
        # Unlike a product with `@`, `vecdot` gives equal rows equal scores wherever they lie.
        scored = []
        for row in rows:
            cosine = float(np.vecdot(self._vector(row, request.space), request.vector))
            scored.append((cosine - _offset(row, request.hub), cosine, row))
        scored.sort(key=lambda found: (-found[0], found[2].segment.id))
        best = [self._hit(row, cosine, request) for _, cosine, row in scored[: request.limit]]
        return Candidates(hits=_numbered(best), tier="memory-exact", rows=len(rows))

    def search_text(self, terms: Terms, request: Retrieval) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        self._check_vector(request)
        rows = self._eligible(request)
        everything = {row.segment.id: row.words for row in self._of(request.modality)}
        scores = bm25(terms, everything)
        found = [row for row in rows if row.segment.id in scores]
        found.sort(key=lambda row: (-scores[row.segment.id], row.segment.id))
        hits = []
        for row in found[: request.limit]:
            cosine = float(np.vecdot(self._vector(row, request.space), request.vector))
            hit = self._hit(row, cosine, request)
            share = share_found(terms, stored_words(row.words))
            hits.append(replace(hit, text_score=scores[hit.id], text_share=share))
        return Candidates(hits=_numbered(hits), tier="memory-text", rows=len(rows))

    def search_sparse(self, vector: SparseVector, request: Retrieval) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        self._check_vector(request)
        rows = self._eligible(request)
        found = []
        for row in rows:
            product = _product(vector, row.segment.sparse)
            if product is not None:
                cosine = float(np.vecdot(self._vector(row, request.space), request.vector))
                found.append(replace(self._hit(row, cosine, request), sparse_score=product))
        found.sort(key=lambda hit: (-(hit.sparse_score or 0.0), hit.id))
        best = _numbered(found[: request.limit])
        return Candidates(hits=best, tier="memory-sparse", rows=len(rows))

    def browse(
        self, modality: Modality, condition: Filter | None, *, limit: int, group: Group
    ) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        request = Retrieval(vector=np.empty(0, np.float32), modality=modality, filter=condition)
        rows = self._eligible(request)
        rows.sort(key=lambda row: _place(row.segment))
        hits = [self._hit(row, 1.0, request) for row in rows]
        if group is Group.ASSET:
            first: dict[Item, Hit] = {}
            for hit in hits:
                first.setdefault(hit.item, hit)
            hits = list(first.values())
        return Candidates(hits=_numbered(hits[:limit]), tier="memory-browse", rows=len(rows))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `polyseek.core.protocols.StoreWriter`."""
        if not self._lock.acquire(blocking=False):
            raise CollectionBusyError(f"{self.location}: somebody else is writing to it")
        try:
            yield
        finally:
            self._lock.release()

    def upsert(
        self,
        records: Sequence[AssetRecord],
        batches: Sequence[SegmentBatch],
        *,
        keep: Collection[str] = (),
    ) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        require_finite(self.location, batches)
        self._forget({record.uri for record in records}.difference(keep))
        for batch in batches:
            for i, segment in enumerate(batch.segments):
                metadata = normalize_row(segment.metadata)
                self._fields = evolve(self._fields, [metadata])
                self._clashes.warn(split(metadata, self._fields)[1], self._fields)
                kept = replace(segment, metadata=metadata, signal=None)
                # Copies: the caller may use its arrays again.
                self._rows[segment.id] = _Row(
                    kept,
                    batch.embeddings.shared[i].copy(),
                    batch.embeddings.tower[i].copy(),
                    {query: float(bias[i]) for query, bias in batch.hub_bias.items()},
                    words_of(segment.asset_uri, segment.text, metadata),
                )
        self._records.update({record.uri: record for record in records})
        self.version += 1

    def delete(self, uris: Sequence[str]) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        self._forget(set(uris))
        for uri in uris:
            self._records.pop(uri, None)
        self.version += 1

    def set_hub_bias(
        self, modality: Modality, query: Modality, bias: Callable[[Embeddings], Floats]
    ) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        rows = self._of(modality)
        found = bias(_embeddings(rows)) if rows else ()
        for row, value in zip(rows, found, strict=True):
            known = {**row.hub_bias, query: float(value)}
            self._rows[row.segment.id] = replace(row, hub_bias=known)
        self.version += 1

    def save_tuning(self, tuning: Tuning) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        self.tuning = tuning
        self.version += 1

    def save_note(self, name: str, text: str | None) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        self.notes = {k: v for k, v in {**self.notes, name: text}.items() if v is not None}
        self.version += 1

    def attach(self, name: str, data: bytes | None) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        self._attachments.pop(name, None)
        if data is not None:
            self._attachments[name] = data
        self.version += 1

    def optimize(self) -> None:
        """Nothing to compact in memory."""

    def _batch(self, modality: Modality, rows: Sequence[_Row]) -> SegmentBatch:
        segments = [replace(r.segment, metadata=self._shown(r)) for r in rows]
        biases = {
            query: np.array([row.hub_bias.get(query, np.nan) for row in rows], np.float32)
            for query in {query for row in rows for query in row.hub_bias}
        }
        return SegmentBatch(modality, segments, _embeddings(rows), biases)

    def _of(self, modality: Modality) -> list[_Row]:
        return [row for row in self._rows.values() if row.segment.modality is modality]

    def _forget(self, uris: set[str]) -> None:
        self._rows = {k: r for k, r in self._rows.items() if r.segment.asset_uri not in uris}

    def _check_vector(self, request: Retrieval) -> None:
        expected = self._space_dim(request.modality, request.space)
        if request.vector.shape != (expected,):
            raise DimensionError(
                f"query vector has shape {request.vector.shape}, the {request.space} space of "
                f"{request.modality} needs ({expected},)"
            )

    def _space_dim(self, modality: Modality, space: Space) -> int:
        row = next(iter(self._of(modality)), None)
        if space is Space.TOWER and row is not None and len(row.tower):
            return len(row.tower)
        return space_dim(self.manifest, modality, space)

    def _eligible(self, request: Retrieval) -> list[_Row]:
        """The modality's rows that pass the filter."""
        rows = self._of(request.modality)
        if request.filter is None:
            return rows
        condition = check(request.filter, self._fields)
        return [
            row
            for row in rows
            if matches(condition, {**self._split(row)[0], WORDS: stored_words(row.words)})
        ]

    def _hit(self, row: _Row, cosine: float, request: Retrieval) -> Hit:
        return Hit(
            id=row.segment.id,
            uri=row.segment.asset_uri,
            modality=request.modality,
            score=cosine,
            hub_bias=row.hub_bias.get(request.hub.query) if request.hub else None,
            span=row.segment.span,
            text=row.segment.text,
            metadata=self._shown(row),
        )

    def _split(self, row: _Row) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        return split(row.segment.metadata, self._fields)

    def _shown(self, row: _Row) -> dict[str, MetadataValue]:
        typed, clashing = self._split(row)
        return {**typed, **clashing}

    @staticmethod
    def _vector(row: _Row, space: Space) -> Floats:
        return row.shared if space is Space.SHARED else row.tower


def _place(segment: Segment) -> tuple[str, float, str]:
    """In the order in which things are listed when nothing is looked for."""
    start = segment.span.start if segment.span else -math.inf
    return segment.asset_uri, start, segment.id


def _numbered(hits: Sequence[Hit]) -> list[Hit]:
    return [replace(hit, rank=rank) for rank, hit in enumerate(hits, 1)]


def _product(query: SparseVector, row: SparseVector | None) -> float | None:
    if row is None:
        return None
    shared, mine, others = np.intersect1d(query.indices, row.indices, return_indices=True)
    return float(query.weights[mine] @ row.weights[others]) if len(shared) else None


def _embeddings(rows: Sequence[_Row]) -> Embeddings:
    return Embeddings(
        shared=np.stack([row.shared for row in rows]), tower=np.stack([row.tower for row in rows])
    )


def _offset(row: _Row, hub: HubCorrection | None) -> float:
    return hub.strength * row.hub_bias.get(hub.query, hub.missing) if hub else 0.0
