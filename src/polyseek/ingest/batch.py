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

SegmentKey: TypeAlias = "tuple[Modality, Span | None, str | None]"


@dataclass(frozen=True, kw_only=True)
class Lent:
    """What the store has of an asset's content.

    Attributes:
        embeddings: (shared, tower) by segment.
        stored: Modality by id of the asset's own segments, to which this run adds.
    """

    embeddings: Mapping[SegmentKey, tuple[Floats, Floats]] = field(default_factory=dict)
    stored: Mapping[str, Modality] = field(default_factory=dict)


def lent(batches: Sequence[SegmentBatch], *, begun: bool = False) -> Lent:
    """Stored segments as something to borrow embeddings from.

    Args:
        batches: The segments.
        begun: They are what an earlier run has stored of the very asset before it broke off.
    """
    return Lent(
        embeddings={
            _key(segment): (batch.embeddings.shared[i], batch.embeddings.tower[i])
            for batch in batches
            for i, segment in enumerate(batch.segments)
        },
        stored={s.id: batch.modality for batch in batches for s in batch.segments if begun},
    )


@dataclass(kw_only=True, eq=False)
class _Row:
    segment: Segment
    shared: Floats | None = None
    tower: Floats | None = None


@dataclass(kw_only=True, eq=False)
class _Work:
    """An asset on its way: rows are filled in as its segments come out of the encoder.

    Attributes:
        rows: Those that have not been handed to the store.
        begun: Whether the store has some of its segments, to which the rows are added.
        left: Stored segments of an earlier run that have not come again.
        segments: Number of those that have come.
        handed: Number of those that were handed to the store.
    """

    asset: Asset
    content_hash: str
    lent: Lent
    begun: bool
    left: dict[str, Modality]
    rows: list[_Row] = field(default_factory=list)
    modalities: set[Modality] = field(default_factory=set)
    segments: int = 0
    handed: int = 0
    missing: int = 0
    borrowed: int = 0
    ended: bool = False
    reason: str | None = None
    retry: bool = False

    @property
    def stays(self) -> Mapping[str, Modality]:
        """What of `left` the store keeps: all of it, as long as it may still come again."""
        return {} if self.ended and not self.retry else self.left

    def hand_over(self) -> list[_Row]:
        """The rows that are encoded; the asset holds them no more."""
        rows = [row for row in self.rows if row.shared is not None]
        self.rows = [row for row in self.rows if row.shared is None]
        self.modalities.update(row.segment.modality for row in rows)
        self.handed += len(rows)
        return rows


@dataclass(kw_only=True)
class Encoded:
    """Segments that are encoded, ready for the store.

    Attributes:
        records: One per asset.
        batches: Their segments, one batch per modality.
        kept: Uris of assets of which the store has other segments that stay.
        left: Ids of stored segments that do not stay, by uri.
        borrowed: Uris of assets that cost no encoding.
    """

    records: list[AssetRecord] = field(default_factory=list)
    batches: list[SegmentBatch] = field(default_factory=list)
    kept: set[str] = field(default_factory=set)
    left: dict[str, Collection[str]] = field(default_factory=dict)
    borrowed: set[str] = field(default_factory=set)


class Batcher:
    """Collects prepared segments until a batch is full, encodes it, and hands out what is encoded.

    Args:
        encoder: Of the collection.
        lender: Finds embeddings of stored segments of equal content, by uri and content hash.
        whole: Uris of assets that are handed out as a whole only: the store has all of an earlier
            state.
    """

    def __init__(
        self,
        encoder: Encoder,
        lender: Callable[[str, str], Lent],
        *,
        whole: Collection[str] = (),
    ) -> None:
        self._encoder = encoder
        self._lender = lender
        self._whole = whole
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
            work = _Work(
                asset=part.asset,
                content_hash=part.content_hash,
                lent=lent,
                begun=bool(lent.stored),
                left=dict(lent.stored),
            )
            self._open[uri] = work
        for segment in part.segments:
            self._add(work, segment)
        if part.last:
            self._end(work, part.reason, retry=part.retry)

    def fail(self, error: AssetError) -> bool:
        """End an asset that broke off; False when nothing of it had come."""
        work = self._open.get(error.uri)
        if work is None or not work.segments:
            return False
        self._end(work, error.reason, retry=not error.final)
        return True

    def flush(self) -> None:
        """Encode what is waiting, in batches that need not be full."""
        for modality, queue in self._waiting.items():
            if queue:
                self._encode(modality)

    def take(self) -> Encoded:
        """The rest of the assets that were finished since the last call."""
        done, self._done, self.segments = self._done, [], 0
        rows = [row for work in done for row in work.hand_over()]
        return Encoded(
            records=[_record(work) for work in done],
            batches=_batches(rows),
            kept={work.asset.uri for work in done if work.begun},
            left={w.asset.uri: w.left for w in done if len(w.left) > len(w.stays)},
            borrowed={work.asset.uri for work in done if work.borrowed == work.segments},
        )

    def unfinished(self) -> Encoded:
        """What is encoded of assets that are still being decoded, since the last call.

        So memory does not grow with the length of an asset, and the next run need not encode
        that again if this one breaks off.
        """
        found = Encoded()
        begun: list[_Row] = []
        for uri, work in self._open.items():
            rows = [] if uri in self._whole else work.hand_over()
            if not rows:
                continue
            if work.begun:
                found.kept.add(uri)
            work.begun = True
            found.records.append(_begun(work))
            begun += rows
        found.batches = _batches(begun)
        return found

    def _add(self, work: _Work, segment: Segment) -> None:
        # Signals go with the batch and are dropped with it: a long video's never add up.
        row = _Row(segment=replace(segment, signal=None))
        work.rows.append(row)
        work.segments += 1
        work.left.pop(segment.id, None)
        found = work.lent.embeddings.get(_key(segment))
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


def _record(work: _Work) -> AssetRecord:
    return AssetRecord(
        uri=work.asset.uri,
        status=AssetStatus.PARTIAL if work.reason else AssetStatus.INDEXED,
        reason=work.reason,
        modalities=tuple(sorted({*work.modalities, *work.stays.values()})),
        etag="" if work.retry else work.asset.etag,
        content_hash=work.content_hash,
        size_bytes=work.asset.size_bytes,
        segments=work.handed + len(work.stays),
    )


def _begun(work: _Work) -> AssetRecord:
    """The record of an asset of which there is more to come."""
    return replace(_record(work), status=AssetStatus.PENDING)


def without(batches: Sequence[SegmentBatch], ids: Collection[str]) -> list[SegmentBatch]:
    """Stored segments but for these, as a store takes them: hub biases that all of them have."""
    found = []
    for batch in batches:
        rows = [i for i, segment in enumerate(batch.segments) if segment.id not in ids]
        if rows:
            known = {query: biases[rows] for query, biases in batch.hub_bias.items()}
            found.append(
                SegmentBatch(
                    batch.modality,
                    [batch.segments[i] for i in rows],
                    batch.embeddings.take(np.array(rows, np.intp)),
                    {query: own for query, own in known.items() if np.isfinite(own).all()},
                )
            )
    return found
