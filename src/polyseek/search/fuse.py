"""Merge ranked lists into one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from polyseek.core.types import Hit

RRF_K = 60


def reciprocal_rank(
    rankings: Iterable[Sequence[Hit]], *, limit: int | None = None, k: int = RRF_K
) -> list[Hit]:
    """Fuse rankings by reciprocal rank: each list gives a hit ``1 / (k + rank)``.

    Only ranks are compared, never scores: cosines of different modality pairs have different
    scales. Hits with equal sums keep the order of the lists, so with disjoint lists the result
    takes turns between them. Each hit keeps the score of the first list it is in.

    Args:
        rankings: Lists of hits, each best first; an item may be in several.
        limit: Number of hits to return; None for all.
        k: Damping of the top ranks.

    Returns:
        Hits with `rank` set, best first.

    Source: Cormack, Clarke, Buettcher: Reciprocal Rank Fusion, SIGIR 2009.
    """
    sums: dict[str, float] = defaultdict(float)
    first: dict[str, Hit] = {}
    for hits in rankings:
        for rank, hit in enumerate(hits, 1):
            sums[hit.id] += 1 / (k + rank)
            first.setdefault(hit.id, hit)
    order = sorted(first, key=lambda id_: -sums[id_])[:limit]
    return [replace(first[id_], rank=rank) for rank, id_ in enumerate(order, 1)]
