"""Merge ranked lists into one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

import numpy as np

from polyseek.core.hits import Hit
from polyseek.core.tuning import RRF_K, Numbers


def by_probability(
    rankings: Iterable[tuple[Sequence[Hit], Numbers]],
) -> tuple[list[Hit], list[float]]:
    """Merge rankings by the probability of each hit; equal ones keep the order of the lists.

    Args:
        rankings: Hits, best first, with their probabilities.

    Returns:
        All hits, most probable first, and their probabilities.
    """
    hits: list[Hit] = []
    parts = []
    for found, probabilities in rankings:
        hits.extend(found)
        parts.append(probabilities)
    if not hits:
        return [], []
    joined = np.concatenate(parts)
    order = np.argsort(-joined, kind="stable").tolist()
    return [hits[i] for i in order], joined[order].tolist()


def reciprocal_rank(
    rankings: Iterable[Sequence[Hit]],
    *,
    limit: int | None = None,
    k: int = RRF_K,
    key: Callable[[Hit], Hashable] = attrgetter("id"),
) -> list[Hit]:
    """Fuse rankings by reciprocal rank: each list gives a hit ``1 / (k + rank)``.

    Only ranks are compared, never scores: cosines of different modality pairs have different
    scales. Hits with equal sums keep the order of the lists, so with disjoint lists the result
    takes turns between them. Each hit keeps the score of the first list it is in.

    Args:
        rankings: Lists of hits, each best first; an item may be in several.
        limit: Number of hits to return; None for all.
        k: Damping of the top ranks.
        key: What makes two hits the same item.

    Returns:
        Hits with `rank` set, best first.

    Source: Cormack, Clarke, Buettcher: Reciprocal Rank Fusion, SIGIR 2009.
    """
    sums: dict[Hashable, float] = defaultdict(float)
    first: dict[Hashable, Hit] = {}
    for hits in rankings:
        for rank, hit in enumerate(hits, 1):
            item = key(hit)
            sums[item] += 1 / (k + rank)
            first.setdefault(item, hit)
    order = sorted(first, key=lambda item: -sums[item])[:limit]
    return [replace(first[item], rank=rank) for rank, item in enumerate(order, 1)]


def reciprocal_rank_of_some(
    whole: Sequence[Hit], some: Sequence[Hit], *, k: int = RRF_K
) -> list[Hit]:
    """Fuse a ranking of all segments with one that knows only some of them.

    What the other does not know is missing from it, not last in it: there it counts as it does in
    the whole one. So pictures without a caption are not buried.

    Args:
        whole: Best first.
        some: Some of them, best first.
        k: Damping of the top ranks.

    Returns:
        Hits with `rank` set, best first; equal ones keep the order of the whole ranking.
    """
    known = {hit.id: rank for rank, hit in enumerate(some, 1)}
    sums = [1 / (k + rank) + 1 / (k + known.get(hit.id, rank)) for rank, hit in enumerate(whole, 1)]
    order = sorted(range(len(whole)), key=lambda i: -sums[i])
    return [replace(whole[i], rank=rank) for rank, i in enumerate(order, 1)]
