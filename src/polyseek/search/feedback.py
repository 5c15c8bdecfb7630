"""Relevance feedback: earlier hits as terms of a query, wanted or not.

Liked segments of one modality become one wanted term, their mean; each unliked one is an unwanted
term of its own. Log-odds are linear in the cosine, so the pooled mean over the text and the liked
segments orders as Rocchio's sum of vectors does, with the calibration's slopes in place of guessed
weights.

Source: Rocchio: Relevance feedback in information retrieval, 1971.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import unquote

import numpy as np

from polyseek.core.errors import QueryError
from polyseek.core.hits import Composition, Query, Term
from polyseek.core.protocols import StoreReader
from polyseek.core.types import Embeddings, Modality, Space, by_modality

LIKE_WEIGHT = 1.0
"""Of all liked segments of one modality together; a text's is 1."""

UNLIKE_WEIGHT = 0.25
"""Of each unliked segment: what is wrong about a hit is seldom everything about it."""

_ID = re.compile(r"[0-9a-f]{32}")
_SHOWS = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO, Modality.TEXT)
MAX_PIECES = 16
"""Segments of a long asset that stand for it."""


def is_id(name: str) -> bool:
    """Whether this reads like the id of a segment."""
    return bool(_ID.fullmatch(name))


def with_feedback(
    query: Query | Composition | None,
    store: StoreReader,
    *,
    like: Sequence[str] = (),
    unlike: Sequence[str] = (),
) -> Query | Composition:
    """A query with examples of what is wanted and what is not.

    Args:
        query: What is looked for; None for nothing but more like the examples.
        store: The collection's rows.
        like: Ids of segments or uris of assets that are right.
        unlike: Of some that are not.

    Raises:
        QueryError: An example is not in the collection, is both liked and unliked, or there is
            nothing that is wanted.
    """
    if not like and not unlike:
        if query is None:
            raise QueryError(
                "nothing to look for; give a text, a path, a vector or an id:..., or --like "
                "with an earlier hit"
            )
        return query
    if both := set(like) & set(unlike):
        raise QueryError(f"{min(both)} is both liked and unliked; leave one out")
    if query is None and not like:
        raise QueryError("every example is unwanted; add a term or --like")
    wanted: dict[Modality, list[Query]] = {}
    for example in _examples(like, store):
        wanted.setdefault(example.modality, []).append(example)
    liked = [Term(query=_joined(found), weight=LIKE_WEIGHT) for found in wanted.values()]
    unwanted = [Term(query=one, weight=-UNLIKE_WEIGHT) for one in _examples(unlike, store)]
    asked = query.terms if isinstance(query, Composition) else [Term(query=query)] if query else []
    return Composition(
        terms=[*asked, *liked, *unwanted],
        any=isinstance(query, Composition) and query.any,
        judged=frozenset([*like, *unlike]),
    )


def _examples(names: Sequence[str], store: StoreReader) -> list[Query]:
    """Each example as a query that is embedded already."""
    ids = [name for name in names if is_id(name)]
    found: dict[str, Query] = {}
    for modality in by_modality(store.counts()) if ids else ():
        spaces = [store.vectors(modality, ids, space) for space in (Space.SHARED, Space.TOWER)]
        for id_, shared, tower in zip(ids, *spaces, strict=True):
            if not np.isnan(shared).any():
                found[id_] = _query(modality, id_[:8], Embeddings(shared[None], tower[None]))
    for name in names:
        if name not in found:
            found[name] = _of_asset(name, store)
    return [found[name] for name in names]


def _of_asset(uri: str, store: StoreReader) -> Query:
    """What an asset shows, or else what it says."""
    batches = {batch.modality: batch for batch in store.fetch([uri]) if len(batch)}
    for modality in _SHOWS:
        if modality in batches:
            rows = batches[modality].embeddings
            some = slice(None, None, -(-len(rows) // MAX_PIECES))
            label = unquote(uri).rsplit("/", 1)[-1]
            return _query(modality, label, Embeddings(rows.shared[some], rows.tower[some]))
    raise QueryError(
        f"{uri}: the collection has no such asset or segment; give the path of one that is "
        "indexed, or an id that --json shows"
    )


def _query(modality: Modality, label: str, rows: Embeddings) -> Query:
    return Query(modality=modality, signals=(), label=f"like {label}", embeddings=rows)


def _joined(examples: Sequence[Query]) -> Query:
    """Examples of one modality as one query, which is their mean."""
    rows = [one.embeddings for one in examples if one.embeddings is not None]
    joined = Embeddings.concat(rows)
    label = ", ".join(one.label.removeprefix("like ") for one in examples)
    return _query(examples[0].modality, label, joined)
