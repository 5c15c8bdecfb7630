"""What a search asks for and what it finds."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from polyseek.core.errors import QueryError
from polyseek.core.sparse import SparseVector
from polyseek.core.types import (
    Embeddings,
    Floats,
    Metadata,
    Modality,
    Signal,
    Space,
    Span,
    SpanUnit,
)

if TYPE_CHECKING:
    from polyseek.core.filters import Filter


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for.

    Attributes:
        modality: Of the signal.
        signals: A text, a picture, or the pieces of a recording; their mean is looked for.
        label: How to show the query: the text itself, or a path.
        prepared: Whether the signals went through the encoder's preprocessing already.
        embeddings: Where they are known already; the signals are not embedded again. The tower's
            are empty where only the shared ones are known.
        sparse: A sparse vector that is looked for, too.
    """

    modality: Modality
    signals: Sequence[Signal]
    label: str
    prepared: bool = False
    embeddings: Embeddings | None = field(default=None, compare=False, repr=False)
    sparse: SparseVector | None = field(default=None, compare=False, repr=False)

    @property
    def typed(self) -> bool:
        """Whether it is a text that somebody wrote, so that its words count."""
        return self.modality is Modality.TEXT and list(self.signals) == [self.label]


Item: TypeAlias = "tuple[str, str]"
"""What is shown as one hit: an asset (its uri and nothing), or a row of a table (its span)."""


def item_of(uri: str, span: Span | None) -> Item:
    """The item that a segment of this asset and span belongs to."""
    return uri, span.key() if span is not None and span.unit is SpanUnit.ROW else ""


PICTURE_LABEL = "image"
"""Of a picture that was given as such: two of them may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One of several things that are looked for at once.

    Attributes:
        query: What it is.
        weight: How much it counts; below zero for what is not wanted.
    """

    query: Query
    weight: float = 1.0


MAX_TERMS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """Several terms that are looked for together.

    Attributes:
        terms: At least one of them is wanted.
        any: Whether a hit has to match any of the wanted terms instead of all of them.
        judged: Ids of segments and uris of assets that are not shown: they were given as examples.

    Raises:
        QueryError: No term is wanted, there are too many, one counts nothing, or one is both
            wanted and unwanted.
    """

    terms: Sequence[Term]
    any: bool = False
    judged: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if len(self.terms) > MAX_TERMS:
            raise QueryError(f"{len(self.terms)} terms; a query has at most {MAX_TERMS}")
        for term in self.terms:
            if not (math.isfinite(term.weight) and term.weight):
                raise QueryError(
                    f"term {term.query.label!r} has weight {term.weight:g}; expected a number "
                    "above 0, or below 0 for what is not wanted"
                )
        wanted = {t.query.label for t in self.terms if t.weight > 0}
        if not wanted:
            raise QueryError("every term is unwanted; add at least one that is looked for")
        both = wanted & {t.query.label for t in self.terms if t.weight < 0} - {PICTURE_LABEL}
        if both:
            raise QueryError(f"term {min(both)!r} is both wanted and unwanted; leave one out")

    @property
    def modality(self) -> Modality:
        """Of the first wanted term."""
        return self.terms[self.first].query.modality

    @property
    def first(self) -> int:
        """Place of the first wanted term."""
        return next(i for i, term in enumerate(self.terms) if term.weight > 0)

    @property
    def label(self) -> str:
        """How to show it to people: ``a red car + street.jpg - rain``."""
        parts = []
        for term in self.terms:
            sign = "-" if term.weight < 0 else "|" if self.any else "+"
            weight = "" if abs(term.weight) == 1 else f"{abs(term.weight):g}:"
            parts.append(f"{sign} {weight}{term.query.label}")
        return " ".join(parts).removeprefix("+ ").removeprefix("| ")


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
        vector: ``(dim,)`` float32, unit length; zeros where cosines are not asked for, which are 0
            then.
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
class TermEvidence:
    """What one term of a composed query says about a hit.

    Attributes:
        term: The term's label.
        weight: How much it counted.
        score: Cosine with it.
        probability: That the hit is relevant to it alone; None where not calibrated.
    """

    term: str
    weight: float
    score: float
    probability: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Why a hit was found, in detail.

    Attributes:
        words: Words of the query that its texts have.
        sentence: Of its text, the one that is nearest to the query.
        without: Its rank without each term of a composed query: the drop-one test.
        curve: Start and end in seconds and probability (or cosine) of every part of a recording.
        where: How well each part of a picture's centre square fits the query, row by row.
    """

    words: tuple[str, ...] = ()
    sentence: str | None = None
    without: tuple[tuple[str, int], ...] = ()
    curve: tuple[tuple[float, float, float], ...] = ()
    where: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Duplicate:
    """An asset that shows, or says, the same as a hit.

    Attributes:
        id: Of the segment.
        uri: Of the asset.
        similarity: Cosine with the hit in the tower's own space.
    """

    id: str
    uri: str
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One retrieved asset with its best segment.

    Attributes:
        id: Of the segment.
        uri: Of the asset.
        modality: Of the segment.
        score: Cosine; higher is better. Comparable within one modality. Where the query has no
            embedding, its BM25 or the product with its sparse vector.
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
        evidence: What each term says, for a composed query; `score` is then the first wanted one's.
        duplicates: Assets that are nearly the same, most similar first; they are no hits.
        ranks: Name of a stage and the rank after it, in order.
        account: Why it was found, where that was asked for.
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
    evidence: tuple[TermEvidence, ...] = ()
    duplicates: tuple[Duplicate, ...] = ()
    ranks: tuple[tuple[str, int], ...] = ()
    account: Account | None = None

    @property
    def item(self) -> Item:
        """What it shares with the hits that are shown as one with it."""
        return item_of(self.uri, self.span)

    def figure(self) -> str:
        """How people read its rank's reason: ``92 %``, or the score where that is all there is."""
        return f"{self.score:.3f}" if self.probability is None else f"{self.probability:4.0%}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A small copy of what a hit shows: a picture, a sound or a film that a browser plays."""

    mime: str
    data: bytes

    @property
    def url(self) -> str:
        """The copy itself as an address."""
        return f"data:{self.mime};base64,{b64encode(self.data).decode()}"

    def html(self, alt: str = "") -> str:
        """An element that shows or plays it and needs no other file.

        Args:
            alt: What a picture is called, as HTML.
        """
        source = self.url
        match self.mime.partition("/")[0]:
            case "audio":
                return f'<audio controls preload="none" src="{source}"></audio>'
            case "video":
                return f'<video controls muted loop preload="metadata" src="{source}"></video>'
            case _:
                return f'<img loading="lazy" alt="{alt}" src="{source}">'


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
