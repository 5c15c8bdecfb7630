"""What is not shown twice: near-duplicates are listed with the better hit, and `diverse` lists.

Only the top of the list is looked at, `WINDOW` times what is shown: near-duplicates have nearly the
same scores, so they stand together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from polyseek.core.hits import Duplicate, Hit
from polyseek.core.protocols import StoreReader
from polyseek.core.types import Floats, Modality, Space
from polyseek.search.listing import Listing

SAME: Mapping[Modality, float] = {
    Modality.IMAGE: 0.97,
    Modality.VIDEO: 0.97,
    Modality.AUDIO: 0.99,
}
"""Cosine in the tower's own space from which on two segments are the same thing;
benchmarks/duplicates.py. Texts are the same when their words are: sentences that differ in a number
are closer than two copies of a photograph."""

WINDOW = 3
MIN_WINDOW = 30


def collapse(listing: Listing, store: StoreReader, *, limit: int) -> Listing:
    """The list without assets that are nearly the same as a better one, which lists them."""
    firsts = listing.firsts(max(WINDOW * limit, MIN_WINDOW))
    cosines = alike([listing.hits[i] for i in firsts], store)
    same: dict[int, list[Duplicate]] = {}
    gone = set()
    for place, i in enumerate(firsts):
        hit = listing.hits[i]
        for kept, others in same.items():
            cosine = float(cosines[place, kept])
            if _same(hit, listing.hits[firsts[kept]], cosine):
                others.append(Duplicate(id=hit.id, uri=hit.uri, similarity=min(cosine, 1.0)))
                gone.add(hit.item)
                break
        else:
            same[place] = []
    if not gone:
        return listing
    listed = {
        firsts[place]: tuple(sorted(others, key=lambda d: -d.similarity))
        for place, others in same.items()
    }
    hits = [
        replace(hit, duplicates=listed[i]) if listed.get(i) else hit
        for i, hit in enumerate(listing.hits)
    ]
    left = [i for i, hit in enumerate(hits) if hit.item not in gone]
    return replace(listing, hits=hits).take(left)


def diversify(listing: Listing, store: StoreReader, *, limit: int, weight: float) -> Listing:
    """The top of the list in an order in which hits differ from those above them.

    Args:
        listing: Best first.
        store: Where embeddings come from.
        limit: Hits that will be shown.
        weight: How much being unlike counts, 0 to below 1.

    Source: maximal marginal relevance, Carbonell, Goldstein, SIGIR 1998. Cosines count from the
    median of the window on, because those of some towers are never near 0.
    """
    firsts = listing.firsts(max(WINDOW * limit, MIN_WINDOW))
    if len(firsts) < 2:
        return listing
    cosines = alike([listing.hits[i] for i in firsts], store)
    middle = float(np.median(cosines[np.triu_indices(len(firsts), 1)]))
    near = np.clip((cosines - middle) / max(1 - middle, 1e-6), 0, 1)
    known = listing.probabilities
    falling = np.linspace(1, 0, len(firsts), endpoint=False)
    worth = falling if known is None else np.array([known[i] for i in firsts])
    order = _marginal(worth / max(float(worth.max()), 1e-12), near, weight, limit)
    top = [firsts[place] for place in order]
    rest = set(top)
    return listing.take([*top, *(i for i in range(len(listing.hits)) if i not in rest)])


def _marginal(
    worth: NDArray[np.float64], near: NDArray[np.floating], weight: float, limit: int
) -> list[int]:
    """Positions in the order of maximal marginal relevance; only the first `limit` are chosen."""
    left, chosen = list(range(len(worth))), [0]
    left.remove(0)
    closest = near[0].copy()
    while left and len(chosen) < limit:
        gains = (1 - weight) * worth[left] - weight * closest[left]
        best = left.pop(int(np.argmax(gains)))
        chosen.append(best)
        closest = np.maximum(closest, near[best])
    return [*chosen, *left]


def alike(hits: Sequence[Hit], store: StoreReader) -> Floats:
    """``(n, n)`` cosines in the towers' own spaces; 0 between modalities."""
    found = np.zeros((len(hits), len(hits)), np.float32)
    for modality in {hit.modality for hit in hits}:
        rows = [i for i, hit in enumerate(hits) if hit.modality is modality]
        vectors = store.vectors(modality, [hits[i].id for i in rows], Space.TOWER)
        found[np.ix_(rows, rows)] = np.nan_to_num(vectors) @ np.nan_to_num(vectors).T
    return found


def _same(hit: Hit, other: Hit, cosine: float) -> bool:
    if hit.modality is not other.modality or hit.uri == other.uri:
        return False
    if hit.modality is Modality.TEXT:
        return _words(hit) == _words(other) != []
    return cosine >= SAME[hit.modality]


def _words(hit: Hit) -> list[str]:
    return (hit.text or "").casefold().split()
