"""Segments of many assets, encoded in batches of one modality."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias, cast

import numpy as np

from polyseek.core.errors import AssetError
from polyseek.core.protocols import Encoder
from polyseek.core.types import (
    Asset,
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Modality,
    Prepared,
    Role,
    Segment,
    SegmentBatch,
    Span,
)
from polyseek.ingest.decode import Part

GROWTH = 1 / 8
"""An asset that is still being decoded is stored again once it has so much more: each time all of
it is written anew, so a day of film must not be written at every commit."""

SegmentKey: TypeAlias = "tuple[Modality, Span | None, str | None]"
Lent: TypeAlias = "Mapping[SegmentKey, tuple[Floats, Floats]]"
"""Embeddings (shared, tower) of stored segments of equal content."""


def lent(batches: Sequence[SegmentBatch]) -> Lent:
    """Stored segments as something to borrow embeddings from."""
    return {
        _key(segment): (batch.embeddings.shared[i], batch.embeddings.tower[i])
        for batch in batches
        for i, segment in enumerate(batch.segments)
    }


@dataclass(kw_only=True, eq=False)
class _Row:
    segment: Segment
    shared: Floats | None = None
    tower: Floats | None = None


@dataclass(kw_only=True, eq=False)
class _Work:
    """An asset on its way: rows are filled in as its segments come out of the encoder."""

    asset: Asset
    content_hash: str
    lent: Lent
    rows: list[_Row] = field(default_factory=list)
    missing: int = 0
    borrowed: int = 0
    stored: int = 0
    ended: bool = False
    reason: str | None = None
    retry: bool = False


@dataclass(kw_only=True)
class Encoded:
    """Assets whose segments are all encoded, ready for the store.

    Attributes:
        records: One per asset.
        batches: Their segments, one batch per modality.
        borrowed: Uris of assets that cost no encoding.
    """

    records: list[AssetRecord] = field(default_factory=list)
    batches: list[SegmentBatch] = field(default_factory=list)
    borrowed: set[str] = field(default_factory=set)


class Batcher:
    """Collects prepared segments until a batch is full, encodes it, and hands out whole assets.

    Args:
        encoder: Of the collection.
        lender: Finds embeddings of stored segments of equal content, by uri and content hash.
    """

    def __init__(self, encoder: Encoder, lender: Callable[[str, str], Lent]) -> None:
        self._encoder = encoder
        self._lender = lender
        self._open: dict[str, _Work] = {}
        self._waiting: dict[Modality, list[tuple[_Work, _Row, Prepared]]] = defaultdict(list)
        self._done: list[_Work] = []
        self.segments = 0

    def add(self, part: Part) -> None:
        """Queue a part's segments; full batches are encoded at once."""
        uri = part.asset.uri
        work = self._open.get(uri)
        if work is None:
            lent = self._lender(uri, part.content_hash)
            # What is lent is in the store: less of it must not take its place.
            work = _Work(
                asset=part.asset, content_hash=part.content_hash, lent=lent, stored=len(lent)
            )
            self._open[uri] = work
        for segment in part.segments:
            self._add(work, segment)
        if part.last:
            self._end(work, part.reason, retry=part.retry)

    def fail(self, error: AssetError) -> bool:
        """End an asset that broke off; False when nothing of it had come."""
        work = self._open.get(error.uri)
        if work is None or not work.rows:
            return False
        self._end(work, error.reason, retry=not error.final)
        return True

    def flush(self) -> None:
        """Encode what is waiting, in batches that need not be full."""
        for modality, queue in self._waiting.items():
            if queue:
                self._encode(modality)

    def take(self) -> Encoded:
        """The finished assets since the last call."""
        done, self._done, self.segments = self._done, [], 0
        return Encoded(
            records=[_record(work, work.rows) for work in done],
            batches=_batches([row for work in done for row in work.rows]),
            borrowed={work.asset.uri for work in done if work.borrowed == len(work.rows)},
        )

    def unfinished(self, *, but: Collection[str], last: bool = False) -> Encoded:
        """What is encoded of assets that are still being decoded; they stay here, too.

        Kept in the store, it spares the next run from encoding it again if this one breaks off.

        Args:
            but: Assets to leave out: what the store has of them is whole.
            last: The run ends here; without it, assets that grew by less than `GROWTH` wait.
        """
        found = Encoded()
        begun: list[_Row] = []
        for uri, work in self._open.items():
            rows = [row for row in work.rows if row.shared is not None]
            grown = len(rows) - work.stored
            if uri in but or grown <= 0 or (grown < GROWTH * work.stored and not last):
                continue
            work.stored = len(rows)
            found.records.append(replace(_record(work, rows), status=AssetStatus.PENDING))
            begun += rows
        found.batches = _batches(begun)
        return found

    def _add(self, work: _Work, segment: Segment) -> None:
        # Signals go with the batch and are dropped with it: a long video's never add up.
        row = _Row(segment=replace(segment, signal=None))
        work.rows.append(row)
        found = work.lent.get(_key(segment))
        if found:
            row.shared, row.tower = found
            work.borrowed += 1
            return
        work.missing += 1
        queue = self._waiting[segment.modality]
        # Workers hand over prepared signals only.
        queue.append((work, row, cast("Prepared", segment.signal)))
        if len(queue) >= self._encoder.info.towers[segment.modality].batch_size:
            self._encode(segment.modality)

    def _encode(self, modality: Modality) -> None:
        queue, self._waiting[modality] = self._waiting[modality], []
        signals = [signal for _, _, signal in queue]
        embeddings = self._encoder.encode(modality, signals, role=Role.DOCUMENT)
        for (work, row, _), shared, tower in zip(
            queue, embeddings.shared, embeddings.tower, strict=True
        ):
            row.shared, row.tower = shared, tower
            work.missing -= 1
            self._finish_if_whole(work)

    def _end(self, work: _Work, reason: str | None, *, retry: bool) -> None:
        work.ended, work.reason, work.retry = True, reason, retry
        del self._open[work.asset.uri]
        self._finish_if_whole(work)

    def _finish_if_whole(self, work: _Work) -> None:
        if work.ended and not work.missing:
            self._done.append(work)
            self.segments += len(work.rows)


def _key(segment: Segment) -> SegmentKey:
    return segment.modality, segment.span, segment.text


def _batches(rows: Sequence[_Row]) -> list[SegmentBatch]:
    by_modality: dict[Modality, list[_Row]] = defaultdict(list)
    for row in rows:
        by_modality[row.segment.modality].append(row)
    return [_batch(modality, found) for modality, found in by_modality.items()]


def _batch(modality: Modality, rows: Sequence[_Row]) -> SegmentBatch:
    shared, tower = (
        np.stack([cast("Floats", getattr(row, side)) for row in rows])
        for side in ("shared", "tower")
    )
    segments = [row.segment for row in rows]
    return SegmentBatch(modality, segments, Embeddings(shared=shared, tower=tower))


def _record(work: _Work, rows: Sequence[_Row]) -> AssetRecord:
    return AssetRecord(
        uri=work.asset.uri,
        status=AssetStatus.PARTIAL if work.reason else AssetStatus.INDEXED,
        reason=work.reason,
        modalities=tuple(sorted({row.segment.modality for row in rows})),
        etag="" if work.retry else work.asset.etag,
        content_hash=work.content_hash,
        size_bytes=work.asset.size_bytes,
        segments=len(rows),
    )
