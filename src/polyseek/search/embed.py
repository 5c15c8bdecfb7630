"""Queries -> embeddings, one or many at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import numpy as np

from polyseek.core.errors import QueryError
from polyseek.core.glossary import Glossary
from polyseek.core.hits import Query
from polyseek.core.protocols import Encoder
from polyseek.core.types import Embeddings, Floats, Modality, Prepared, Role, Signal

ORIGINAL = 0.6
"""Share of a query as it was asked, beside what a glossary makes of it (benchmarks/glossary.py)."""


def embed(query: Query, encoder: Encoder, glossary: Glossary | None = None) -> Embeddings:
    """Both embeddings of a query, one row each.

    Args:
        query: What is looked for.
        encoder: The collection's encoder.
        glossary: What words of a text stand for; the query as it was asked stays dominant.

    Raises:
        QueryError: The encoder has no tower for the query's modality.
    """
    said = _readings(query, glossary) if glossary else []
    first, *others = embed_all([query, *said], encoder)
    return _blended(first, others) if others else first


def embed_all(
    queries: Sequence[Query],
    encoder: Encoder,
    *,
    role: Role = Role.QUERY,
    progress: Callable[[int], None] | None = None,
) -> list[Embeddings]:
    """Both embeddings of each query, one row each: as `embed`, but in batches.

    Args:
        queries: What is looked for, of any modalities.
        encoder: The collection's encoder.
        role: The side of a search they are on.
        progress: Called with the number of signals that are done.

    Raises:
        QueryError: The encoder has no tower for a query's modality.
    """
    places: dict[Modality, list[tuple[int, Signal]]] = defaultdict(list)
    rows: dict[int, list[tuple[Floats, Floats]]] = defaultdict(list)
    for place, query in enumerate(queries):
        known = _known(query, encoder)
        if known is None:
            places[query.modality] += [(place, signal) for signal in query.signals]
        else:
            rows[place] = list(zip(known.shared, known.tower, strict=True))
    done = 0
    for modality, signals in places.items():
        tower = encoder.info.towers.get(modality)
        if tower is None:
            towers = ", ".join(sorted(encoder.info.towers)) or "none"
            raise QueryError(
                f"encoder '{encoder.info.name}' cannot read {modality} queries; it reads {towers}"
            )
        size = max(1, tower.batch_size)
        if modality is Modality.TEXT:  # so that little is padded
            signals.sort(key=lambda one: len(str(one[1])))
        for start in range(0, len(signals), size):
            batch = signals[start : start + size]
            prepared = [
                cast("Prepared", signal) if queries[place].prepared else tower.prepare(signal)
                for place, signal in batch
            ]
            found = encoder.encode(modality, prepared, role=role)
            for (place, _), shared, own in zip(batch, found.shared, found.tower, strict=True):
                rows[place].append((shared, own))
            done += len(batch)
            if progress:
                progress(done)
    return [mean_of(rows[place]) for place in range(len(queries))]


def _known(query: Query, encoder: Encoder) -> Embeddings | None:
    """The embeddings of a query that no tower has to read; None where one has to."""
    if query.embeddings is not None:
        return query.embeddings
    unread = not query.signals or (query.typed and not encoder.info.towers)
    return blind(encoder.info.dim) if unread else None


def blind(dim: int) -> Embeddings:
    """Of a query that has no embedding, only words or a sparse vector: it has no direction."""
    return Embeddings(shared=np.zeros((1, dim), np.float32), tower=np.zeros((1, 0), np.float32))


def mean_of(rows: Sequence[tuple[Floats, Floats]]) -> Embeddings:
    """One row: the mean direction of the pieces of a query, each a row of both embeddings."""
    return Embeddings(
        shared=_direction([shared for shared, _ in rows]),
        tower=_direction([own for _, own in rows]),
    )


def _direction(rows: Sequence[Floats]) -> Floats:
    """``(1, dim)``, unit length."""
    if len(rows) == 1:
        return rows[0][None]
    total = np.sum(rows, axis=0, keepdims=True)
    direction: Floats = total / np.maximum(np.linalg.norm(total), 1e-12)
    return direction


def _readings(query: Query, glossary: Glossary) -> list[Query]:
    """A text as a glossary reads it; nothing for anything else."""
    if query.modality is not Modality.TEXT or len(query.signals) != 1:
        return []
    return [replace(query, signals=[text]) for text in glossary.readings(str(query.signals[0]))]


def _blended(first: Embeddings, others: Sequence[Embeddings]) -> Embeddings:
    rest = mean_of([(rows.shared[0], rows.tower[0]) for rows in others])
    return mean_of(
        [
            (ORIGINAL * first.shared[0], ORIGINAL * first.tower[0]),
            ((1 - ORIGINAL) * rest.shared[0], (1 - ORIGINAL) * rest.tower[0]),
        ]
    )
