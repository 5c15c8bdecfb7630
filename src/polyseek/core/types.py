"""The frozen values that rooms hand to each other.

Arrays are NumPy: embeddings are float32, unit length, shape ``(n, dim)``; a higher score is always
better.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyseek.core.sparse import SparseVector

if TYPE_CHECKING:
    from PIL.Image import Image

    from polyseek.core.protocols import FileReader


MetadataValue: TypeAlias = "str | int | float | bool | datetime | list[str]"
Metadata: TypeAlias = "Mapping[str, MetadataValue]"
Floats: TypeAlias = "NDArray[np.float32]"

Signal: TypeAlias = "str | Image | Sound | Motion | Sequence[Image] | NDArray[np.generic]"
"""What one segment is made of: a text, a picture, a sound, the frames of a video shot, a stretch of
motion, or ``(height, width)`` float32: a depth map in metres, 0 where not known, or a thermal image
from 0 (coldest) to 1 (warmest)."""

Stream: TypeAlias = "Iterator[Sound] | Iterator[Frame] | Iterator[Motion]"
"""A sound, a video or motion as it is decoded, piece by piece: a long one never sits in memory."""

Prepared: TypeAlias = "str | NDArray[np.generic]"
"""A signal after an encoder's preprocessing: a text, or an array of the tower's input shape."""


class Modality(StrEnum):
    """What a segment is made of."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DEPTH = "depth"
    THERMAL = "thermal"
    IMU = "imu"


class Role(StrEnum):
    """Which side of a search a signal is on; some encoders treat the two differently."""

    QUERY = "query"
    DOCUMENT = "document"


class Space(StrEnum):
    """Which embedding of a segment is compared."""

    SHARED = "shared"
    """The space all modalities share."""

    TOWER = "tower"
    """The tower's own space: for queries of the segment's own modality."""


class SpanUnit(StrEnum):
    """What a span counts."""

    CHARACTERS = "characters"
    ROW = "row"
    PAGE = "page"
    PART = "part"
    SECONDS = "seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Where in its asset a segment lies: ``[start, end)``; rows, pages and parts count from 1.

    A piece of a page has fractions: the second half of page 3 is ``[3.5, 4)``. A part is a file
    inside of the asset, such as the second attachment of a message: ``[2, 3)``; its pages or rows
    are ten-thousandths: page 7 of it is ``[2.0007, 2.0008)``.
    """

    unit: SpanUnit
    start: float
    end: float

    def label(self) -> str:
        """How people read it: ``00:12-00:22``, ``page 3``, ``row 7``."""
        match self.unit:
            case SpanUnit.SECONDS:
                return f"{_clock(self.start)}-{_clock(math.ceil(self.end))}"
            case SpanUnit.CHARACTERS:
                return f"char {self.start:.0f}"
            case SpanUnit.PART:
                return f"attachment {int(self.start)}"
            case _:
                return f"{self.unit} {int(self.start)}"

    def overlap(self, other: Span) -> float:
        """Intersection over union, 0 to 1; 0 for spans that count different things."""
        if self.unit is not other.unit:
            return 0.0
        shared = min(self.end, other.end) - max(self.start, other.start)
        whole = max(self.end, other.end) - min(self.start, other.start)
        return max(0.0, shared / whole) if whole > 0 else 1.0

    def key(self) -> str:
        """A text that two spans share exactly when they are equal."""
        return f"{self.unit}:{self.start:.12g}-{self.end:.12g}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Sound:
    """A stretch of sound.

    Attributes:
        samples: ``(n,)`` float32 mono, full scale at -1 and 1.
        sample_rate_hz: Samples per second.
        start_s: Where in its asset it begins.
    """

    samples: Floats
    sample_rate_hz: int
    start_s: float = 0.0

    @property
    def end_s(self) -> float:
        """Where in its asset it ends."""
        return self.start_s + len(self.samples) / self.sample_rate_hz


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Frame:
    """One picture of a video: upright RGB, shown from `start_s` to `end_s`."""

    image: Image
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Motion:
    """A stretch of what an inertial measurement unit feels.

    Attributes:
        samples: ``(6, n)`` float32: acceleration along x, y, z in m/s², rotation about x, y, z in
            rad/s.
        sample_rate_hz: Samples per second.
        start_s: Where in its asset it begins.
    """

    samples: Floats
    sample_rate_hz: float
    start_s: float = 0.0

    @property
    def end_s(self) -> float:
        """Where in its asset it ends."""
        return self.start_s + int(self.samples.shape[1]) / self.sample_rate_hz


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of words in a picture.

    Attributes:
        text: The words.
        box: Left, top, right, bottom as shares of the picture's width and height, 0 to 1.
        confidence: How sure the recogniser is, 0 to 1.
    """

    text: str
    box: tuple[float, float, float, float]
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """Words that are spoken.

    Attributes:
        text: The words.
        start_s: When they begin, in seconds of the asset.
        end_s: When they end.
        confidence: How sure the recogniser is, 0 to 1.
    """

    text: str
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One source file or stored object, as listed.

    Attributes:
        uri: Absolute and stable, e.g. ``file:///photos/a.jpg``.
        path: Path below the source's root, with ``/`` separators.
        size_bytes: Length of the content.
        modified: Time of the last change, UTC.
        etag: Changes whenever the content or the metadata beside it may have changed; cheap.
        metadata: What the listing knows: sidecar and manifest fields.
        problem: Why not all that belongs to it could be read; its record becomes partial.
        companions: Files that belong to it, such as subtitles; their segments become its own.
        content_hash: A hash of the content where the listing has one; the bytes are read for it
            otherwise.
    """

    uri: str
    path: str
    size_bytes: int
    modified: datetime
    etag: str
    metadata: Metadata = field(default_factory=dict)
    problem: str | None = None
    companions: tuple[Asset, ...] = ()
    content_hash: str | None = None


class AssetStatus(StrEnum):
    """How far an asset has come."""

    INDEXED = "indexed"
    PARTIAL = "partial"
    PENDING = "pending"
    FAILED = "failed"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRecord:
    """What a collection remembers about one asset.

    Attributes:
        uri: The asset's uri.
        status: How far it has come.
        reason: Why it failed or is partial; None otherwise.
        modalities: Modalities of its segments; empty while unknown.
        etag: The asset's etag when it was last ingested, and the recognisers that read it.
        content_hash: Hex digest of the bytes; None when they were never read.
        size_bytes: Length of the content.
        segments: Number of segments stored.
    """

    uri: str
    status: AssetStatus
    reason: str | None = None
    modalities: tuple[Modality, ...] = ()
    etag: str
    content_hash: str | None = None
    size_bytes: int
    segments: int = 0


AssetCounts: TypeAlias = "Mapping[tuple[AssetStatus, tuple[Modality, ...]], int]"
"""Number of assets by status and the modalities of their segments."""


def by_modality(counts: AssetCounts) -> dict[Modality, int]:
    """Number of assets with segments of each modality; a video with sound counts as both."""
    found: dict[Modality, int] = {}
    for (_, modalities), count in counts.items():
        for modality in modalities:
            found[modality] = found.get(modality, 0) + count
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One decoded stream of an asset, before it is cut into segments.

    Attributes:
        modality: What `signal` is.
        signal: The decoded content: a text, a picture, or a stream of sounds or frames in order.
        span: Where in the asset it lies, for a stream that is a part (a row, a page, a subtitle).
        metadata: What the decoder read from the file.
        duration_s: Length of a stream, where the file tells.
        share: How much of the asset lies before the end of this, 0 to 1, for one of many pieces.
    """

    modality: Modality
    signal: Signal | Stream
    span: Span | None = None
    metadata: Metadata = field(default_factory=dict)
    duration_s: float | None = None
    share: float | None = None


def asset_id(uri: str) -> str:
    """32 hex digits that depend on an asset's uri alone, and do not tell it."""
    return hashlib.blake2b(uri.encode(errors="surrogateescape"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A retrievable piece of an asset.

    Attributes:
        asset_uri: The asset it is a piece of.
        modality: What it is made of.
        span: Where in the asset it lies; None for the whole asset.
        text: The words in it (the passage itself for text); None when there are none.
        metadata: Filterable fields.
        signal: What the encoder sees; never stored.
        sparse: What a sparse encoder made of it; None for nothing.
    """

    asset_uri: str
    modality: Modality
    span: Span | None = None
    text: str | None = None
    metadata: Metadata = field(default_factory=dict)
    signal: Signal | None = field(default=None, compare=False, repr=False)
    sparse: SparseVector | None = field(default=None, compare=False, repr=False)

    @property
    def id(self) -> str:
        """32 hex digits that depend on uri, modality and span alone."""
        key = "\n".join([self.asset_uri, self.modality, self.span.key() if self.span else ""])
        return hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """What an encoder makes of n signals of one modality.

    Attributes:
        shared: ``(n, dim)`` float32, unit length: the space all modalities share.
        tower: ``(n, tower_dim)`` float32, unit length: the tower's own space.
        adapted: By modality of the segments: ``(n, dim)`` where these lie as queries for them,
            when an adapter moves them.
    """

    shared: Floats
    tower: Floats
    adapted: Mapping[Modality, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.shared)

    @classmethod
    def concat(cls, parts: Sequence[Embeddings]) -> Embeddings:
        """The rows of several, one after the other, as no adapter has moved them."""
        return cls(
            shared=np.concatenate([part.shared for part in parts]),
            tower=np.concatenate([part.tower for part in parts]),
        )

    def take(self, rows: NDArray[np.intp] | slice) -> Embeddings:
        """Some of the rows."""
        return Embeddings(
            shared=self.shared[rows],
            tower=self.tower[rows],
            adapted={modality: found[rows] for modality, found in self.adapted.items()},
        )

    def compared(self, pair: tuple[Modality, Modality]) -> Floats:
        """The rows that queries and segments of a pair of modalities are compared by."""
        found = self.adapted.get(pair[1])
        if found is not None:
            return found
        own = pair[0] == pair[1] and self.tower.shape[1] > 0  # a bare vector has no tower
        return self.tower if own else self.shared


@dataclass(frozen=True, slots=True, eq=False)
class SegmentBatch:
    """Encoded segments of one modality: ``segments[i]`` has row i of both embeddings.

    `hub_bias` has ``(n,)`` float32 by modality of the query; a modality that is not there is not
    known.
    """

    modality: Modality
    segments: Sequence[Segment]
    embeddings: Embeddings
    hub_bias: Mapping[Modality, Floats] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.segments)


Prepare: TypeAlias = Callable[["Signal"], "Prepared"]
"""An encoder's preprocessing of one signal. Picklable: it runs in the decode workers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tower:
    """One modality's half of an encoder.

    Attributes:
        dim: Length of the tower's own embedding.
        prepare: Preprocessing of one signal, picklable and free of the inference runtime.
        batch_size: Signals per call at which the tower runs fastest.
        reader: Reads the files that are this tower's own; None where decoders and segmenters
            make its signals.
    """

    dim: int
    prepare: Prepare
    batch_size: int = 16
    reader: FileReader | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderInfo:
    """What an encoder can do and which exact one it is.

    Attributes:
        name: Catalogue name.
        revision: Changes whenever embeddings change; part of the collection's manifest.
        dim: Length of a shared-space embedding.
        towers: One per modality it encodes.
        checksums: SHA-256 by file name of every file that decides the embeddings.
    """

    name: str
    revision: str
    dim: int
    towers: Mapping[Modality, Tower]
    checksums: Mapping[str, str] = field(default_factory=dict)

    @property
    def readers(self) -> Sequence[FileReader]:
        """Of the towers that have files of their own."""
        return [tower.reader for tower in self.towers.values() if tower.reader is not None]

    @property
    def decoded(self) -> frozenset[Modality]:
        """Of the other towers: what they embed comes from decoders."""
        return frozenset(m for m, tower in self.towers.items() if tower.reader is None)


def exactly(encoder: str, revision: str) -> str:
    """``name@revision``, for people; a name may end with its revision already."""
    return encoder if encoder.endswith(f"@{revision}") else f"{encoder}@{revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Which encoder and format a collection was made with.

    Attributes:
        format_version: Of the collection's layout.
        encoder: Encoder name.
        revision: Encoder revision.
        dim: Length of a shared-space embedding.
        tower_dims: Length of a tower embedding, by modality; where a modality has none, its own
            space is the shared one.
        checksums: SHA-256 of the encoder's files, by name.
        sparse: Name and revision of the sparse encoder its texts are read by; None for none.
        query_encoder: Encoder that reads queries where the vectors were made elsewhere.
    """

    format_version: int
    encoder: str
    revision: str
    dim: int
    tower_dims: Mapping[Modality, int]
    checksums: Mapping[str, str] = field(default_factory=dict)
    sparse: tuple[str, str] | None = None
    query_encoder: str | None = None
