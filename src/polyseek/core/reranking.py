"""What a reranker is given."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from polyseek.core.config import Settings
from polyseek.core.hits import Composition, Hit
from polyseek.core.retriever import RerankOptions
from polyseek.core.types import Embeddings, Floats, Modality, Signal

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


def _nothing(_: Hit) -> Signal | None:
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RerankSetup:
    """What a reranker is made of.

    Attributes:
        settings: Of the process: whether it may reach the network, where models are kept.
        options: Its own section of the retriever, ``[rerank.NAME]``.
        notes: Texts that are kept with the collection, by name.
        encoder: The collection's.
        signal_of: What a hit holds: a PIL image of a picture, a page or the middle of a video's
            moment, a sound's samples; None for texts and for what cannot be read any more.
    """

    settings: Settings = field(default_factory=Settings)
    options: RerankOptions = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    encoder: Encoder | None = None
    signal_of: Callable[[Hit], Signal | None] = _nothing


class ReadNotes(Mapping[str, str]):
    """A collection's notes, and which of them somebody has read."""

    def __init__(self, notes: Mapping[str, str]) -> None:
        self._notes, self._read = notes, set[str]()
        self._listed = False

    def __getitem__(self, name: str) -> str:
        self._read.add(name)
        return self._notes[name]

    def __iter__(self) -> Iterator[str]:
        self._listed = True
        return iter(self._notes)

    def __len__(self) -> int:
        self._listed = True
        return len(self._notes)

    def differ(self, now: Mapping[str, str]) -> bool:
        """Whether what was read, there or not, reads differently."""
        names = {*self._notes, *now} if self._listed else self._read
        return any(self._notes.get(name) != now.get(name) for name in names)
