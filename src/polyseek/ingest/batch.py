"""Segments of many assets, encoded in batches of one modality."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import numpy as np

from polyseek.core.protocols import Encoder
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Modality,
    Prepared,
    Role,
    Segment,
    SegmentBatch,
)
from polyseek.ingest.decode import Decoded


@dataclass(kw_only=True)
class _Work:
    """An asset on its way: rows are filled in as its segments come out of the encoder."""

    decoded: Decoded
    shared: list[Floats | None]
    tower: list[Floats | None]
    missing: int


@dataclass(kw_only=True)
class Encoded:
    """Assets whose segments are all encoded, ready for the store."""

    records: list[AssetRecord] = field(default_factory=list)
    batches: list[SegmentBatch] = field(default_factory=list)


class Batcher:
    """Collects prepared segments until a batch is full, encodes it, and hands out whole assets."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._waiting: dict[Modality, list[tuple[_Work, int]]] = defaultdict(list)
        self._done: list[_Work] = []
        self.segments = 0

    def add(self, decoded: Decoded) -> None:
        """Queue an asset's segments; full batches are encoded at once."""
        count = len(decoded.segments)
        work = _Work(decoded=decoded, shared=[None] * count, tower=[None] * count, missing=count)
        for index, segment in enumerate(decoded.segments):
            queue = self._waiting[segment.modality]
            queue.append((work, index))
            if len(queue) >= self._encoder.info.towers[segment.modality].batch_size:
                self._encode(segment.modality)

    def reuse(self, decoded: Decoded, stored: Iterable[SegmentBatch]) -> bool:
        """Take an asset's embeddings from stored segments of equal content.

        Returns:
            False, with nothing done, when they do not match segment by segment.
        """
        rows = {
            (batch.modality, segment.span, segment.text): (batch.embeddings, i)
            for batch in stored
            for i, segment in enumerate(batch.segments)
        }
        keys = [(s.modality, s.span, s.text) for s in decoded.segments]
        if any(key not in rows for key in keys):
            return False
        found = [rows[key] for key in keys]
        self._finish(
            _Work(
                decoded=decoded,
                shared=[embeddings.shared[i] for embeddings, i in found],
                tower=[embeddings.tower[i] for embeddings, i in found],
                missing=0,
            )
        )
        return True

    def flush(self) -> None:
        """Encode what is waiting, in batches that need not be full."""
        for modality, queue in self._waiting.items():
            if queue:
                self._encode(modality)

    def take(self) -> Encoded:
        """The finished assets since the last call."""
        done, self._done, self.segments = self._done, [], 0
        rows: dict[Modality, list[tuple[Segment, Floats, Floats]]] = defaultdict(list)
        for work in done:
            for segment, shared, tower in zip(
                work.decoded.segments, work.shared, work.tower, strict=True
            ):
                assert shared is not None  # noqa: S101 - finished work, for the type checker
                assert tower is not None  # noqa: S101 - finished work, for the type checker
                rows[segment.modality].append((replace(segment, signal=None), shared, tower))
        return Encoded(
            records=[_record(work.decoded) for work in done],
            batches=[_batch(modality, found) for modality, found in rows.items()],
        )

    def _encode(self, modality: Modality) -> None:
        queue, self._waiting[modality] = self._waiting[modality], []
        # Workers hand over prepared signals only.
        signals = [cast("Prepared", work.decoded.segments[index].signal) for work, index in queue]
        embeddings = self._encoder.encode(modality, signals, role=Role.DOCUMENT)
        for (work, index), shared, tower in zip(
            queue, embeddings.shared, embeddings.tower, strict=True
        ):
            work.shared[index], work.tower[index] = shared, tower
            work.missing -= 1
            if not work.missing:
                self._finish(work)

    def _finish(self, work: _Work) -> None:
        self._done.append(work)
        self.segments += len(work.decoded.segments)


def _batch(modality: Modality, rows: Sequence[tuple[Segment, Floats, Floats]]) -> SegmentBatch:
    segments, shared, tower = zip(*rows, strict=True)
    return SegmentBatch(
        modality=modality,
        segments=segments,
        embeddings=Embeddings(shared=np.stack(shared), tower=np.stack(tower)),
    )


def _record(decoded: Decoded) -> AssetRecord:
    asset = decoded.asset
    return AssetRecord(
        uri=asset.uri,
        status=AssetStatus.PARTIAL if decoded.reason else AssetStatus.INDEXED,
        reason=decoded.reason,
        modality=decoded.segments[0].modality,
        etag=asset.etag,
        content_hash=decoded.content_hash,
        size_bytes=asset.size_bytes,
        segments=len(decoded.segments),
    )
