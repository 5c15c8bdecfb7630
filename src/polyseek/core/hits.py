"""What a search asks for and what it finds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from polyseek.core.types import Embeddings, Floats, Metadata, Modality, Signal, Space, Span

if TYPE_CHECKING:
    from polyseek.core.filters import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for.

    Attributes:
        modality: Of the signal.
        signals: A text, a picture, or the pieces of a recording; their mean is looked for.
        label: How to show the query: the text itself, or a path.
    """

    modality: Modality
    signals: Sequence[Signal]
    label: str


HubBiases: TypeAlias = "Callable[[Modality, Embeddings], Mapping[Modality, Floats]]"
"""Hub biases of segments of a modality, by modality of the query."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubCorrection:
    """Rank by ``cosine - strength * hub bias``.

    Attributes:
        query: Modality of the query: each has a bias of its own.
        strength: Share of the bias that is subtracted.
        missing: What a segment without one counts as.
    """

    query: Modality
    strength: float
    missing: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Retrieval:
    """A nearest-neighbour request to a store.

    Attributes:
        vector: ``(dim,)`` float32, unit length.
        modality: The segments to search.
        space: Which of their embeddings to compare.
        limit: How many candidates to return.
        filter: Applied before the search: a filtered search is as exact as an unfiltered one.
        hub: How segments that are close to everything are put back; None for the plain cosine.
    """

    vector: Floats
    modality: Modality
    space: Space = Space.SHARED
    limit: int = 10
    filter: Filter | None = None
    hub: HubCorrection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Words that are looked for, as `core.words.words` makes them.

    Attributes:
        exact: Words that count as they are.
        fuzzy: Words that may differ by `core.words.edits_of` letters.
    """

    exact: Sequence[str] = ()
    fuzzy: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.exact or self.fuzzy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Another place in a hit's asset that matched; scores as in `Hit`."""

    modality: Modality
    score: float
    span: Span | None
    text: str | None = None
    probability: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One retrieved asset with its best segment.

    Attributes:
        id: Of the segment.
        uri: Of the asset.
        modality: Of the segment.
        score: Cosine; higher is better. Comparable within one modality.
        probability: That it is relevant, 0 to 1: comparable across modalities. None where nothing
            was fitted for the query's and the segment's modality.
        hub_bias: Its mean cosine with queries in general; None where not known.
        text_score: BM25 of the query's words in its texts; None where they have none of them.
        text_share: Share of the query's words that its texts have; None as above.
        sparse_score: Product with the query's sparse vector; None where they share no index.
        rank: Counts from 1.
        span: Where in the asset the segment lies; None for the whole asset.
        text: The words in it.
        metadata: Its fields.
        moments: Further places in the same asset, best first.
    """

    id: str
    uri: str
    modality: Modality
    score: float
    probability: float | None = None
    hub_bias: float | None = None
    text_score: float | None = None
    text_share: float | None = None
    sparse_score: float | None = None
    rank: int = 0
    span: Span | None = None
    text: str | None = None
    metadata: Metadata = field(default_factory=dict)
    moments: tuple[Moment, ...] = ()

    def figure(self) -> str:
        """How people read its rank's reason: ``92 %``, or the score where that is all there is."""
        return f"{self.score:.3f}" if self.probability is None else f"{self.probability:4.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A small copy of what a hit shows: a picture, a sound or a film that a browser plays."""

    mime: str
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """A store's answer to a `Retrieval`.

    Attributes:
        hits: Best first.
        tier: What answered, e.g. ``memory-exact``, ``lance-exact``, ``lance-ann``.
        rows: Rows that were eligible: the modality's rows that pass the filter.
        recall: Measured recall of an approximate tier against exact search; 1.0 for an exact one,
            None where it was never measured.
    """

    hits: Sequence[Hit]
    tier: str
    rows: int
    recall: float | None = 1.0
