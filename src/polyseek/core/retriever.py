"""A retriever: the stages of a search, as a small TOML file that is checked key by key."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, TypeAlias

from polyseek.core.errors import ConfigError

RerankOptions: TypeAlias = "Mapping[str, str | int | float | bool]"


def _number(default: float | None, least: float, most: float) -> Any:
    return field(default=default, metadata={"range": (least, most)})


class SearchMode(StrEnum):
    """What a search for a text compares."""

    HYBRID = "hybrid"
    """Embeddings and words."""

    DENSE = "dense"
    """Embeddings alone."""

    TEXT = "text"
    """Words alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """What is compared.

    Attributes:
        mode: Embeddings and words, or one of them alone.
        candidates: Segments asked for per modality, so that later stages have some to reorder.
    """

    mode: SearchMode = SearchMode.HYBRID
    candidates: int = _number(100, 1, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refine:
    """How the best candidates of the query's own kind are looked at twice; 0 switches off.

    Attributes:
        shared: Weight of the space all modalities share, against the tower's own.
        reciprocal: Weight of nearest neighbours in common with the query.
        neighbours: How many of those are looked at.
        depth: How many of the best candidates take part.
    """

    shared: float = _number(1.0, 0, 1)
    reciprocal: float = _number(0.3, 0, 1)
    neighbours: int = _number(7, 1, 50)
    depth: int = _number(50, 2, 1000)

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return bool(self.shared or self.reciprocal)


LOOK_ONCE = Refine(shared=0.0, reciprocal=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerank:
    """Who looks at the best hits once more.

    Attributes:
        by: Rerankers by name, one after the other.
        depth: How many hits they see.
        budget_ms: Time they have together; what they have not seen by then keeps its place.
        options: Of each, by its name: ``[rerank.http]`` in the file.
    """

    by: tuple[str, ...] = ()
    depth: int = _number(50, 1, 1000)
    budget_ms: float = _number(500.0, 1, 3_600_000)
    options: Mapping[str, RerankOptions] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diversify:
    """What is not shown twice.

    Attributes:
        collapse: Whether near-duplicates of a hit are listed with it.
        diverse: How much being unlike the hits above counts: 0 for not at all, below 1.
    """

    collapse: bool = False
    diverse: float = _number(0.0, 0, 0.9)

    @property
    def active(self) -> bool:
        """Whether anything is switched on."""
        return bool(self.collapse or self.diverse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """How segments become one hit per asset.

    Attributes:
        moments: Further places in an asset that are shown with it.
        pool: Best moments whose evidence is added up to rank an asset; 1 for the best alone.
    """

    moments: int = _number(3, 0, 1000)
    pool: int = _number(3, 1, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What is shown.

    Attributes:
        min_probability: Leave out less probable hits; by default a search either finds something or
            nothing, and leaves out what is far less probable than its best hit.
        floor: Leave out hits that are less probable than this share of the best one's.
        show_all: Show the nearest hits, however improbable.
    """

    min_probability: float | None = _number(None, 0, 1)
    floor: float = _number(0.05, 0, 1)
    show_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much is shown.

    Attributes:
        hits: Number of hits.
    """

    hits: int = _number(10, 1, 100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retriever:
    """The stages of a search; every section of the file is one of these.

    Attributes:
        name: By which it is saved; a file's path for one that is not.
        refine: None for the usual one, unless labels have switched it off for a kind.
    """

    name: str = "default"
    signals: Signals = Signals()
    refine: Refine | None = None
    rerank: Rerank = Rerank()
    diversify: Diversify = Diversify()
    group: Group = Group()
    thresholds: Thresholds = Thresholds()
    limits: Limits = Limits()


_SECTIONS: Mapping[str, Any] = {
    "signals": Signals,
    "refine": Refine,
    "rerank": Rerank,
    "diversify": Diversify,
    "group": Group,
    "thresholds": Thresholds,
    "limits": Limits,
}


def check_ranges(found: Retriever) -> None:
    """Refuse numbers out of their range, also those that did not come from a file.

    Raises:
        ConfigError: One is.
    """
    for key, kind in _SECTIONS.items():
        section = getattr(found, key)
        for one in fields(kind) if section else ():
            value, bounds = getattr(section, one.name), one.metadata.get("range")
            if bounds and value is not None:
                _value(value, one.default, bounds, f"{key}.{one.name}")


def parse_retriever(text: str, *, name: str) -> Retriever:
    """A retriever from its TOML; what the text leaves out is as in the default.

    Args:
        text: The file's content.
        name: What messages call it.

    Raises:
        ConfigError: It is no TOML, or a section, key or value is none that a retriever has.
    """
    try:
        read = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"retriever {name}: cannot be read as TOML: {error}") from error
    sections: dict[str, Any] = {}
    for key, table in read.items():
        if key not in _SECTIONS:
            raise ConfigError(
                f"retriever {name}: unknown section [{key}]; known: {', '.join(_SECTIONS)}"
            )
        if not isinstance(table, dict):
            raise ConfigError(f"retriever {name}: '{key}' is {table!r}; expected a section [{key}]")
        sections[key] = _section(_SECTIONS[key], table, f"retriever {name}: [{key}]")
    return Retriever(name=name, **sections)


def _section(kind: Any, table: Mapping[str, Any], where: str) -> Any:
    known = {one.name: one for one in fields(kind)}
    given: dict[str, Any] = {}
    for key, value in table.items():
        if kind is Rerank and isinstance(value, dict):
            given.setdefault("options", {})[key] = value
        elif key not in known or key == "options":
            names = ", ".join(name for name in known if name != "options")
            raise ConfigError(f"{where} has an unknown key '{key}'; known: {names}")
        else:
            default = getattr(kind(), key)
            given[key] = _value(value, default, known[key].metadata.get("range"), f"{where} {key}")
    section = kind(**given)
    if isinstance(section, Rerank) and (idle := set(section.options) - set(section.by)):
        raise ConfigError(
            f"{where}: [rerank.{min(idle)}] is of a reranker that is not used; add it to 'by'"
        )
    return section


def _value(value: Any, default: Any, bounds: tuple[float, float] | None, where: str) -> Any:
    """The value as the default's type.

    Raises:
        ConfigError: It is of another type, or out of bounds.
    """
    if isinstance(default, SearchMode):
        if value not in set(SearchMode):
            raise ConfigError(f"{where} is {value!r}; expected one of {', '.join(SearchMode)}")
        return SearchMode(value)
    if isinstance(default, tuple):
        if not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise ConfigError(f"{where} is {value!r}; expected a list of names")
        return tuple(value)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} is {value!r}; expected true or false")
        return value
    default = 0.0 if default is None else default
    kind = "a whole number" if isinstance(default, int) else "a number"
    whole = isinstance(value, int) and not isinstance(value, bool)
    fits = whole or (isinstance(value, float) and isinstance(default, float))
    least, most = bounds or (float("-inf"), float("inf"))
    if not fits or not least <= value <= most:
        raise ConfigError(f"{where} is {value!r}; expected {kind} from {least:g} to {most:g}")
    return type(default)(value)
