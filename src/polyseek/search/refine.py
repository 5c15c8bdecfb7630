"""Queries of the segments' own kind, looked at twice.

The tower's own space finds what looks alike, the shared one knows better what it shows. So the
tower's best are put into the order of the shared space, helped by what they have in common: two
segments that are among each other's nearest are more alike than their cosine says.

Source: k-reciprocal re-ranking, Zhong et al., CVPR 2017 (arXiv 1701.08398), within the candidates.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from polyseek.core.protocols import StoreReader
from polyseek.core.retriever import Refine
from polyseek.core.types import Floats, Modality, Space
from polyseek.search.compose import standardised
from polyseek.search.retrieve import Asked, Ranking

MEASURED = frozenset({Modality.IMAGE, Modality.VIDEO})
"""Kinds for which it helps; benchmarks/stages.py."""


def refine(ranking: Ranking, asked: Asked, store: StoreReader, options: Refine) -> Ranking:
    """A ranking with its best candidates in a better order; their probabilities are dealt out anew.

    Left alone: queries of another kind, of several terms, and kinds for which nothing was measured.

    Args:
        ranking: Of one target modality.
        asked: The query.
        store: Where embeddings come from.
        options: Weights, and how deep to look.
    """
    top = ranking.hits[: options.depth]
    target, space = ranking.step.modality, ranking.step.space
    if len(asked.query.terms) > 1 or space is not Space.TOWER or target not in MEASURED:
        return ranking
    if not options.active:
        return replace(ranking, step=replace(ranking.step, refined=False))
    if len(top) < 2:
        return ranking
    query = asked.embeddings[0].shared
    vectors = store.vectors(target, [hit.id for hit in top], Space.SHARED)
    if np.isnan(vectors).any():  # a segment went away meanwhile
        return ranking
    scores = standardised(np.array([hit.score for hit in top]))
    scores += options.shared * (standardised(np.vecdot(vectors, query[0])) - scores)
    if options.reciprocal:
        common = shared_neighbours(np.concatenate([query, vectors]), options.neighbours)
        scores += options.reciprocal * (standardised(common) - scores)
    order = np.argsort(-scores, kind="stable").tolist()
    moved = ranking.take([*order, *range(len(top), len(ranking.hits))])
    step = replace(ranking.step, refined=True)
    return replace(moved, probabilities=ranking.probabilities, step=step)


def products(vectors: Floats) -> Floats:
    """``(n, n)`` products of the rows with each other.

    Not with `@`: for so few rows its threads cost more than they save, and on a busy machine they
    wait for each other (118 ms instead of 2 for 150 x 1,024).
    """
    found: Floats = np.vecdot(vectors[:, None], vectors[None])
    return found


def shared_neighbours(vectors: Floats, neighbours: int) -> NDArray[np.float64]:
    """``(n,)`` how much of their nearest neighbours each row has in common with the first, 0 to 1.

    Only neighbours that have each other count, the nearer the more, and each row's set is averaged
    with those of its very nearest.

    Args:
        vectors: ``(1 + n, dim)`` unit length.
        neighbours: How many are looked at.
    """
    cosines = products(vectors).astype(np.float64)
    np.fill_diagonal(cosines, 2.0)
    nearest = np.argsort(-cosines, axis=1, kind="stable")[:, : neighbours + 1]
    near = np.zeros(cosines.shape, bool)
    np.put_along_axis(near, nearest, values=True, axis=1)
    mutual = np.where(near & near.T, np.exp(np.minimum(cosines, 1) - 1), 0.0)
    mutual /= mutual.sum(axis=1, keepdims=True)
    averaged = mutual[nearest[:, : max(2, neighbours // 3)]].mean(axis=1)
    both = np.minimum(averaged[0], averaged[1:]).sum(axis=1)
    found: NDArray[np.float64] = both / (2 - both)
    return found
