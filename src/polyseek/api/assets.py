"""A collection's assets by their opaque ids, for those who must never name a path."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyseek.core.errors import UnknownAssetError
from polyseek.core.hits import Hit, Query
from polyseek.core.protocols import StoreReader
from polyseek.core.types import AssetRecord, Embeddings, Modality, Segment, asset_id
from polyseek.search.embed import mean_of

_SHOWN_FIRST = [Modality.IMAGE, Modality.VIDEO, Modality.AUDIO, Modality.TEXT]
_SHOWN_FIRST += [modality for modality in Modality if modality not in _SHOWN_FIRST]
MAX_PIECES = 16
"""Segments of an asset that are looked for together, as of a file that is a query."""


@dataclass(frozen=True, slots=True, eq=False)
class _Stored:
    """A segment with its embeddings, one row."""

    segment: Segment
    embeddings: Embeddings


class Assets:
    """Looks assets and their segments up by id. Safe to share between threads."""

    def __init__(self, store: StoreReader) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: tuple[int, Mapping[str, AssetRecord]] = -1, {}

    def get(self, id_: str) -> AssetRecord:
        """The asset of this id, see `core.types.asset_id`.

        Raises:
            UnknownAssetError: The collection has none, or not any more.
        """
        found = self._records().get(id_)
        if found is None:
            raise UnknownAssetError(f"the collection has no asset '{id_}'; it may be deleted")
        return found

    def spread(self, limit: int) -> list[Hit]:
        """The first pieces of assets that are spread evenly over the collection, by uri."""
        uris = sorted(record.uri for record in self._records().values() if record.segments)
        chosen = [uris[i] for i in np.linspace(0, len(uris) - 1, min(limit, len(uris))).astype(int)]
        first: dict[str, Segment] = {}
        for stored in self._stored(chosen):
            first.setdefault(stored.segment.asset_uri, stored.segment)
        return [_as_hit(first[uri]) for uri in chosen if uri in first]

    def segments(self, id_: str) -> list[Segment]:
        """The asset's segments: by modality, pictures first, and where they lie."""
        return [stored.segment for stored in self._stored([self.get(id_).uri])]

    def hit(self, id_: str, segment: str | None = None) -> Hit:
        """A segment of the asset as a hit, to make a preview of; its first one by default.

        Raises:
            UnknownAssetError: There is no such asset, or it has no such segment.
        """
        return _as_hit(self._chosen(id_, segment)[0].segment)

    def query(self, id_: str, segment: str | None = None) -> Query:
        """A query for more like a segment, or like the asset's first pieces together.

        Raises:
            UnknownAssetError: As `hit`.
        """
        chosen = self._chosen(id_, segment)
        first = chosen[0].segment
        where = f" {first.span.label()}" if segment and first.span else ""
        same = [c.embeddings for c in chosen if c.segment.modality is first.modality][:MAX_PIECES]
        return Query(
            modality=first.modality,
            signals=(),
            label=f"{first.metadata.get('path', id_)}{where}",
            embeddings=mean_of([(e.shared[0], e.tower[0]) for e in same]),
        )

    def _chosen(self, id_: str, segment: str | None) -> Sequence[_Stored]:
        """At least one."""
        stored = list(self._stored([self.get(id_).uri]))
        chosen = [s for s in stored if s.segment.id == segment] if segment else stored
        if not chosen:
            what = f"segment '{segment}'" if segment else "segments"
            raise UnknownAssetError(f"asset '{id_}' has no {what}")
        return chosen

    def _records(self) -> Mapping[str, AssetRecord]:
        """All of them by id, as of the store's version."""
        with self._lock:
            version = self._store.version
            if self._known[0] != version:
                self._known = version, {asset_id(r.uri): r for r in self._store.records()}
            return self._known[1]

    def _stored(self, uris: Sequence[str]) -> Iterator[_Stored]:
        batches = self._store.fetch(uris)
        for batch in sorted(batches, key=lambda b: _SHOWN_FIRST.index(b.modality)):
            starts = [s.span.start if s.span else 0.0 for s in batch.segments]
            for i in np.argsort(starts, kind="stable").tolist():
                rows = batch.embeddings
                yield _Stored(
                    batch.segments[i],
                    Embeddings(shared=rows.shared[i : i + 1], tower=rows.tower[i : i + 1]),
                )


def _as_hit(segment: Segment) -> Hit:
    return Hit(
        id=segment.id,
        uri=segment.asset_uri,
        modality=segment.modality,
        score=1.0,
        span=segment.span,
        text=segment.text,
        metadata=segment.metadata,
    )
