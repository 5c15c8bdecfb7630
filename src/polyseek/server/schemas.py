"""The JSON of requests and answers. Pydantic lives here only."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Base64Bytes, BaseModel, ConfigDict, Discriminator, Field, Tag

from polyseek.core.config import Group
from polyseek.core.hits import MAX_TERMS
from polyseek.core.retriever import SearchMode
from polyseek.core.types import AssetStatus, Modality, SpanUnit
from polyseek.server.jobs import JobState

MAX_LIMIT, MAX_OFFSET = 1000, 9000
MAX_TEXT_CHARS, MAX_FILTER_CHARS, MAX_URI_CHARS = 20_000, 10_000, 4_000
MAX_DIM = 65_536

Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$", description="32 hex digits.")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Strict(BaseModel):
    """A request body: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")


class _Weighted(Strict):
    weight: Annotated[
        float,
        Field(allow_inf_nan=False, ge=-1000, le=1000, description="Below 0: not wanted."),
    ] = 1.0


class TextTerm(_Weighted):
    """A text."""

    text: Annotated[str, Field(min_length=1, max_length=MAX_TEXT_CHARS, pattern=r"\S")]


class AssetTerm(_Weighted):
    """More like something that is in the collection."""

    asset: Id
    segment: Id | None = None


class UriTerm(_Weighted):
    """The uri of an asset in the collection, or a public URL where the server allows them."""

    uri: Annotated[str, Field(min_length=1, max_length=MAX_URI_CHARS)]


class DataTerm(_Weighted):
    """A media file, inline."""

    data: Annotated[Base64Bytes, Field(min_length=1, description="Base64.")]
    name: Annotated[
        str, Field(min_length=1, max_length=255, description="A file name with its ending.")
    ] = "picture.jpg"


class FileTerm(_Weighted):
    """A file of a multipart request, by the name of its part."""

    file: Annotated[str, Field(min_length=1, max_length=255)]


class VectorTerm(_Weighted):
    """An embedding made by the collection's encoder."""

    vector: Annotated[
        list[Finite],
        Field(min_length=1, max_length=MAX_DIM, description="In the space all modalities share."),
    ]
    modality: Modality = Modality.TEXT
    tower: Annotated[
        list[Finite] | None,
        Field(
            min_length=1,
            max_length=MAX_DIM,
            description="In the tower's own space; segments of its own modality are compared there",
        ),
    ] = None


_KINDS = {
    "text": TextTerm,
    "asset": AssetTerm,
    "uri": UriTerm,
    "data": DataTerm,
    "file": FileTerm,
    "vector": VectorTerm,
}


def _kind(term: Any) -> str | None:
    """Which kind a term is, by the key that only that kind has."""
    keys = term if isinstance(term, dict) else getattr(term, "__dict__", {})
    return next((kind for kind in _KINDS if kind in keys), None)


SearchTerm = Annotated[
    Annotated[TextTerm, Tag("text")]
    | Annotated[AssetTerm, Tag("asset")]
    | Annotated[UriTerm, Tag("uri")]
    | Annotated[DataTerm, Tag("data")]
    | Annotated[FileTerm, Tag("file")]
    | Annotated[VectorTerm, Tag("vector")],
    Discriminator(
        _kind,
        custom_error_type="term",
        custom_error_message=f"a term is an object with one of the keys {', '.join(_KINDS)}",
    ),
]


class SearchRequest(Strict):
    """A search."""

    terms: Annotated[
        list[SearchTerm],
        Field(
            max_length=MAX_TERMS,
            description="What is looked for, and what is not wanted. With none of them and a "
            "filter or modalities, what passes is listed by path.",
        ),
    ] = []
    any: Annotated[bool, Field(description="One of the terms is enough.")] = False
    modalities: Annotated[list[Modality], Field(description="Empty for all.")] = []
    filter: Annotated[
        str | None,
        Field(max_length=MAX_FILTER_CHARS, description="SQL-like, e.g. `year >= 2020`."),
    ] = None
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 10
    offset: Annotated[int, Field(ge=0, le=MAX_OFFSET)] = 0
    mode: SearchMode = SearchMode.HYBRID
    group: Annotated[Group, Field(description="What one hit is.")] = Group.ASSET
    min_probability: Annotated[float | None, Field(ge=0, le=1)] = None
    show_all: Annotated[bool, Field(description="Show the nearest, however improbable.")] = False
    explain: bool = False


class IndexRequest(Strict):
    """What to index, and how."""

    sources: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=MAX_URI_CHARS, pattern=r"^[^\x00]+$")]],
        Field(min_length=1, max_length=100, description="Below the server's roots."),
    ]
    include: list[str] = []
    exclude: list[str] = []
    keep_deleted: bool = False
    ocr: bool | None = None
    asr: bool | None = None


class JobOut(BaseModel):
    """An index job."""

    id: str
    collection: str
    sources: list[str]
    started: str
    state: JobState
    last: Annotated[dict[str, Any], Field(description="What it told last.")]


class JobsOut(BaseModel):
    """A collection's jobs."""

    jobs: list[JobOut]


class SessionRequest(Strict):
    """A key to be kept in a cookie."""

    key: Annotated[str, Field(min_length=1, max_length=200)]


class Fault(BaseModel):
    """A place in a request that is wrong."""

    where: str
    problem: str


class Problem(BaseModel):
    """Why a request was refused or failed (RFC 9457)."""

    type: str
    title: str
    status: int
    code: Annotated[str, Field(description="For programs.")]
    detail: Annotated[str, Field(description="For people.")]
    errors: list[Fault] = []


class SpanOut(BaseModel):
    """Where in its asset a segment lies."""

    unit: SpanUnit
    start: float | None = None
    end: float | None = None
    start_s: float | None = None
    end_s: float | None = None


class MomentOut(BaseModel):
    """Another place in a hit's asset."""

    modality: Modality
    probability: float | None
    score: float
    span: SpanOut | None
    text: str | None = None


class DuplicateOut(BaseModel):
    """An asset that shows, or says, the same as a hit."""

    id: Annotated[str, Field(description="Of the segment.")]
    asset: str
    uri: str
    similarity: float


class Links(BaseModel):
    """Where to get it."""

    asset: str
    media: str
    preview: str


class HitOut(BaseModel):
    """One hit."""

    rank: int
    id: Annotated[str, Field(description="Of the segment.")]
    asset: Annotated[str, Field(description="Id of the asset.")]
    uri: str
    modality: Modality
    probability: float | None
    score: float
    span: SpanOut | None
    text: str | None
    moments: list[MomentOut]
    duplicates: list[DuplicateOut]
    metadata: dict[str, Any]
    links: Links


class CoverageOut(BaseModel):
    """Which assets a search could not see."""

    searched: int
    failed: int
    pending: int


class SearchAnswer(BaseModel):
    """Hits, and what they do not cover."""

    query: str
    no_match: bool
    nearest: float | None
    hits: list[HitOut]
    coverage: CoverageOut
    notes: Annotated[list[str], Field(description="What did not go as asked.")]
    timings_ms: dict[str, float]
    limit: int
    offset: int
    plan: list[dict[str, Any]] | None = None


class CollectionOut(BaseModel):
    """A collection."""

    name: str
    encoder: str | None
    assets: int | None
    modalities: dict[Modality, int]
    problem: Annotated[str | None, Field(description="Why it cannot be used.")] = None


class CollectionsOut(BaseModel):
    """All collections that the key may read."""

    collections: list[CollectionOut]


class FailureOut(BaseModel):
    """An asset that is not fully searchable, and why."""

    asset: str
    uri: str
    status: AssetStatus
    reason: str


class StatusOut(BaseModel):
    """What a collection holds."""

    name: str
    encoder: str
    assets: dict[AssetStatus, int]
    modalities: dict[Modality, int]
    failures: list[FailureOut]
    failures_total: int
    joined: dict[Modality, str]
    notes: list[str]


class FieldOut(BaseModel):
    """A metadata field."""

    name: str
    type: str
    segments: int
    examples: list[Any]


class FieldsOut(BaseModel):
    """Metadata fields that filters may name."""

    fields: list[FieldOut]


class EvaluationOut(BaseModel):
    """What `polyseek eval` measured."""

    number: int
    time: str
    encoder: str
    directions: Annotated[
        list[dict[str, Any]], Field(description="Figures of each, between 0 and 1 but for ranks.")
    ]
    notes: list[str]
    comparison: Annotated[
        dict[str, Any] | None, Field(description="With the evaluation before it.")
    ]


class EvaluationsOut(BaseModel):
    """A collection's last evaluations, the newest first."""

    evaluations: list[EvaluationOut]


class SegmentOut(BaseModel):
    """A retrievable piece of an asset."""

    id: str
    modality: Modality
    span: SpanOut | None
    text: str | None
    metadata: dict[str, Any]
    preview: str


class AssetOut(BaseModel):
    """One source file."""

    id: str
    uri: str
    status: AssetStatus
    reason: str | None
    size_bytes: int
    modalities: list[Modality]
    segments_total: int
    segments: list[SegmentOut]
    media: str
