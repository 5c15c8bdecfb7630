"""Small collections to try a store on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyseek.core import filters
from polyseek.core.filters import Filter
from polyseek.core.hits import Candidates, Hit, Retrieval
from polyseek.core.protocols import Store
from polyseek.core.sparse import SparseVector
from polyseek.core.types import (
    AssetCounts,
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Manifest,
    Metadata,
    Modality,
    Segment,
    SegmentBatch,
    Space,
    Span,
    SpanUnit,
)

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE
DIM = 8
TOWER_DIMS = {TEXT: 6, IMAGE: 10}
MANIFEST = Manifest(
    format_version=1,
    encoder="fake",
    revision="1",
    dim=DIM,
    tower_dims=TOWER_DIMS,
    checksums={"weights": "00ff"},
)
TOLERANCE = {Space.SHARED: 1e-5, Space.TOWER: 2e-3}
"""Of a score or a component; a store may keep tower embeddings as float16."""

Vector: TypeAlias = "Sequence[float] | NDArray[np.floating[Any]]"


@dataclass(frozen=True, eq=False)
class Row:
    """A segment with its two embeddings."""

    segment: Segment
    shared: Floats
    tower: Floats

    def vector(self, space: Space) -> Floats:
        """The embedding of that space."""
        return self.shared if space is Space.SHARED else self.tower


def row(
    uri: str,
    *,
    modality: Modality = TEXT,
    span: Span | None = None,
    text: str | None = None,
    metadata: Metadata | None = None,
    shared: Vector | None = None,
    tower: Vector | None = None,
    sparse: SparseVector | None = None,
) -> Row:
    """A row; embeddings that are not given are random and depend on the segment alone."""
    segment = Segment(
        asset_uri=uri,
        modality=modality,
        span=span,
        text=text,
        metadata=metadata or {},
        sparse=sparse,
    )
    rng = np.random.default_rng(int(segment.id, 16))
    return Row(
        segment=segment,
        shared=unit(rng.normal(size=DIM) if shared is None else shared),
        tower=unit(rng.normal(size=TOWER_DIMS[modality]) if tower is None else tower),
    )


def passages(uri: str, *starts: int) -> list[Row]:
    """Rows of one text asset, ten characters each."""
    return [
        row(
            uri,
            span=Span(unit=SpanUnit.CHARACTERS, start=start, end=start + 10),
            text=f"{uri} from {start}",
        )
        for start in starts
    ]


def unit(vector: Vector) -> Floats:
    """The vector as float32, scaled to length 1."""
    values = np.asarray(vector, np.float64)
    scaled: Floats = (values / np.linalg.norm(values)).astype(np.float32)
    return scaled


def axis(number: int, dim: int = DIM) -> Floats:
    """A unit vector along one dimension."""
    return unit(np.eye(dim)[number])


def batches(rows: Iterable[Row]) -> list[SegmentBatch]:
    """The rows, one batch per modality."""
    by_modality: dict[Modality, list[Row]] = {}
    for each in rows:
        by_modality.setdefault(each.segment.modality, []).append(each)
    return [
        SegmentBatch(
            modality,
            [each.segment for each in found],
            Embeddings(
                shared=np.stack([each.shared for each in found]),
                tower=np.stack([each.tower for each in found]),
            ),
        )
        for modality, found in by_modality.items()
    ]


def indexed(rows: Iterable[Row]) -> list[AssetRecord]:
    """The records of these rows' assets."""
    by_uri: dict[str, list[Row]] = {}
    for each in rows:
        by_uri.setdefault(each.segment.asset_uri, []).append(each)
    return [
        AssetRecord(
            uri=uri,
            status=AssetStatus.INDEXED,
            modalities=tuple(dict.fromkeys(each.segment.modality for each in found)),
            etag=f"etag of {uri}",
            content_hash="ab12",
            size_bytes=100,
            segments=len(found),
        )
        for uri, found in by_uri.items()
    ]


def failed(uri: str) -> AssetRecord:
    """The record of an asset that could not be decoded."""
    return AssetRecord(
        uri=uri, status=AssetStatus.FAILED, reason="it's broken", etag="1", size_bytes=3
    )


def put(store: Store, *rows: Row, records: Sequence[AssetRecord] = ()) -> None:
    """Write the rows with their assets' records, and further records, in one call."""
    with store.writing():
        store.upsert([*indexed(rows), *records], batches(rows))


def look(
    store: Store,
    vector: Floats | None = None,
    modality: Modality = TEXT,
    *,
    where: str | Filter | None = None,
    space: Space = Space.SHARED,
    limit: int = 1000,
) -> Candidates:
    """A search; by default for all texts, in the shared space."""
    probe = axis(0) if vector is None else vector
    condition = filters.parse(where) if isinstance(where, str) else where
    return store.search(
        Retrieval(vector=probe, modality=modality, space=space, limit=limit, filter=condition)
    )


def uris(found: Candidates) -> set[str]:
    """The assets found."""
    return {hit.uri for hit in found.hits}


def only(found: Candidates) -> Hit:
    """The one hit."""
    (hit,) = found.hits
    return hit


def typed(metadata: Metadata) -> dict[str, tuple[type, object]]:
    """Metadata in a form in which True and 1, 1 and 1.0 differ."""
    return {name: (type(value), value) for name, value in metadata.items()}


def counted(store: Store) -> AssetCounts:
    """The store's counts without zeros."""
    return {key: n for key, n in store.counts().items() if n}


def stored(store: Store, *wanted: str) -> dict[str, Row]:
    """The fetched rows of these assets by segment id."""
    return {each.segment.id: each for batch in store.fetch(wanted) for each in _rows(batch)}


def snapshot(store: Store) -> Mapping[str, Any]:
    """All that reading shows, in a form that compares equal for equal collections."""
    searched = {
        f"{modality} {space}": [
            (hit.rank, hit.id, hit.uri, hit.span, hit.text, typed(hit.metadata))
            for hit in look(store, axis(0, dim), modality, space=space).hits
        ]
        for modality in TOWER_DIMS
        for space, dim in ((Space.SHARED, DIM), (Space.TOWER, TOWER_DIMS[modality]))
    }
    return {
        "records": sorted(store.records(), key=lambda record: record.uri),
        "counts": counted(store),
        "fields": dict(store.fields()),
        **searched,
    }


def _rows(batch: SegmentBatch) -> Iterator[Row]:
    embeddings = batch.embeddings
    for segment, shared, tower in zip(
        batch.segments, embeddings.shared, embeddings.tower, strict=True
    ):
        assert segment.modality is batch.modality
        yield Row(segment, shared, tower)
