"""What a reranker is given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from polyseek.core.config import Settings
from polyseek.core.hits import Composition, Hit, Query
from polyseek.core.retriever import RerankOptions
from polyseek.core.types import Embeddings, Floats, Modality

if TYPE_CHECKING:
    from polyseek.core.protocols import Encoder


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Question:
    """What was asked.

    Attributes:
        query: Its terms; `query.label` is how people read it.
        embeddings: Of each term, both spaces.
    """

    query: Composition
    embeddings: Sequence[Embeddings]

    @property
    def words(self) -> str:
        """What was asked for in words; empty where nothing was."""
        wanted = [term.query for term in self.query.terms if term.weight > 0]
        return " ".join(one.label for one in wanted if one.modality is Modality.TEXT)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Candidate:
    """A hit with everything that is known about it.

    Attributes:
        hit: With its cosine, BM25, hub bias, text and metadata.
        probability: As the stages before saw it; None where nothing was calibrated.
        shared: ``(dim,)`` its embedding in the shared space.
        tower: ``(tower_dim,)`` in its tower's own.
        texts: Words of all segments of the asset that were found: text, recognised or spoken.
    """

    hit: Hit
    probability: float | None
    shared: Floats
    tower: Floats
    texts: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankSetup:
    """What a reranker is made of.

    Attributes:
        settings: Of the process: whether it may reach the network, where models are kept.
        options: Its own section of the retriever, ``[rerank.NAME]``.
        notes: Texts that are kept with the collection, by name.
        encoder: The collection's.
        read: A file by its uri as a query; None where it cannot be read.
        show: What a hit shows, as a PIL image: a picture, a page, the middle of a video's moment;
            None for what shows nothing and where it cannot be read.
    """

    settings: Settings = field(default_factory=Settings)
    options: RerankOptions = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    encoder: Encoder | None = None
    read: Callable[[str], Query | None] | None = None
    show: Callable[[Hit], Any | None] | None = None
