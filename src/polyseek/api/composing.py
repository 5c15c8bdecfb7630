"""Queries of several terms, as callers and shells write them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyseek.core.errors import AssetError, ConfigError, QueryError
from polyseek.core.hits import Composition, Query, Term
from polyseek.core.types import EncoderInfo

_WEIGHT = re.compile(r"(\d+(?:\.\d+)?):(.+)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComposedQuery:
    """What `query` makes: terms that are not read yet.

    Attributes:
        terms: Each with its weight, below zero for what is not wanted.
        any: Whether any of the wanted terms is enough.
    """

    terms: Sequence[tuple[Any, float]]
    any: bool = False


def query(
    *terms: Any,
    image: Any = None,
    audio: Any = None,
    video: Any = None,
    minus: Any = (),
    weights: Sequence[float] = (),
    any: bool = False,  # noqa: A002 - "any of these" is what it says
) -> ComposedQuery:
    """A query of several terms, for `Collection.search`.

    >>> polyseek.query("a red car", image="street.jpg", minus="rain", weights=[2, 1])

    Args:
        terms: Texts, paths or pictures that are looked for.
        image: A picture, or a path of one, that is looked for too.
        audio: A path of a sound that is looked for too.
        video: A path of a video that is looked for too.
        minus: One term, or several, that are not wanted.
        weights: Of the wanted terms, in the order `terms`, `image`, `audio`, `video`; 1 each when
            left out.
        any: Whether any of the wanted terms is enough instead of all of them.

    Raises:
        QueryError: There is not one weight for every wanted term, or one is not above 0.
    """
    media = [Path(m) if isinstance(m, str) else m for m in (image, audio, video) if m is not None]
    wanted = [*terms, *media]
    each = list(weights) or [1.0] * len(wanted)
    if len(each) != len(wanted):
        raise QueryError(f"{len(each)} weights for {len(wanted)} wanted terms; give one for each")
    if not all(weight > 0 for weight in each):
        raise QueryError(f"weights are {each}; expected numbers above 0 (minus=... for the rest)")
    unwanted = list(minus) if isinstance(minus, (list, tuple)) else [minus]
    return ComposedQuery(
        terms=[*zip(wanted, each, strict=True), *((term, -1.0) for term in unwanted)], any=any
    )


def read_terms(words: Sequence[str], *, any_of: bool = False) -> str | ComposedQuery:
    """What a shell passes: ``"a red car" + ./street.jpg - rain``, ``"2:dog" + beach``.

    A weight is only one among several terms: ``12:30 train`` alone is a text, and ``text:...``
    always is.

    Raises:
        QueryError: Terms do not alternate with ``+`` and ``-``.
    """
    if len(words) == 1:
        return words[0]
    terms: list[tuple[Any, float]] = []
    rest = list(words) if words[0] in ("+", "-") else ["+", *words]
    for sign, word in zip(rest[::2], [*rest[1::2], ""], strict=False):
        if sign not in ("+", "-") or word in ("+", "-", ""):
            raise QueryError(
                f"cannot read {' '.join(words)!r} as terms; join them by + and -, each with spaces "
                "around it, and quote a text of several words"
            )
        weighted = _WEIGHT.fullmatch(word)
        weight, term = (float(weighted[1]), weighted[2]) if weighted else (1.0, word)
        terms.append((term, weight if sign == "+" else -weight))
    return ComposedQuery(terms=terms, any=any_of)


def read(given: Any, *, offline: bool, encoder: EncoderInfo | None = None) -> Query | Composition:
    """The query that a term, or several together, stand for; a `Query` stands for itself.

    Raises:
        QueryError: A term cannot be read, or the terms do not make a query.
        AssetError: A file cannot be decoded.
    """
    if not isinstance(given, ComposedQuery):
        return _read_one(given, offline=offline, encoder=encoder)
    return Composition(
        terms=[
            Term(query=_read_one(term, offline=offline, encoder=encoder), weight=weight)
            for term, weight in given.terms
        ],
        any=given.any,
    )


def _read_one(given: Any, *, offline: bool, encoder: EncoderInfo | None) -> Query:
    from polyseek.ingest.term import read_query

    if isinstance(given, Query):
        return given
    return read_query(given, offline=offline, encoder=encoder)


def read_file(uri: str, encoder: EncoderInfo | None = None) -> Query | None:
    """What an asset holds, as a query; None when it cannot be read any more."""
    from polyseek.ingest.term import query_of

    try:
        return query_of(uri, encoder)
    except (AssetError, ConfigError):
        return None
