"""What is not shown twice: near-duplicates are listed with the better hit, and `diverse` lists.

Only the top of the list is looked at, `WINDOW` times what is shown: near-duplicates have nearly the
same scores, so they stand together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyseek.core.hits import Clip, Duplicate, Hit
from polyseek.core.protocols import StoreReader
from polyseek.core.retriever import Diversify
from polyseek.core.types import Floats, Modality, Space
from polyseek.search.listing import Listing
from polyseek.search.refine import products
from polyseek.search.results import Preview

if TYPE_CHECKING:
    from PIL.Image import Image

SAME: Mapping[Modality, float] = {
    Modality.IMAGE: 0.95,
    Modality.VIDEO: 0.95,
    Modality.AUDIO: 0.99,
}
"""Cosine in the tower's own space from which on two segments are the same thing. Texts are the same
when their words are: sentences that differ in a number are closer than copies of a photograph."""

LIKELY = 0.7
"""Cosine from which on the hashes of two pictures are compared; benchmarks/duplicates.py."""

_POSSIBLE = {**SAME, Modality.IMAGE: LIKELY, Modality.TEXT: 0.9}

HASH_BITS = 10
"""Of 64, in which the hashes of the same picture may differ."""

WINDOW = 3
MIN_WINDOW = 30


def distinct(
    listing: Listing,
    store: StoreReader,
    *,
    limit: int,
    options: Diversify,
    preview: Preview | None = None,
) -> Listing:
    """The list without near-duplicates, and with hits that differ, as far as the options ask."""
    if options.collapse:
        listing = collapse(listing, store, limit=limit, preview=preview)
    if options.diverse:
        listing = diversify(listing, store, limit=limit, weight=options.diverse)
    return listing


def collapse(
    listing: Listing, store: StoreReader, *, limit: int, preview: Preview | None = None
) -> Listing:
    """The list without assets that are nearly the same as a better one, which lists them.

    Args:
        listing: Best first.
        store: Where embeddings come from.
        limit: Hits that will be shown.
        preview: Shows pictures, for their hashes; None for cosines alone.
    """
    hashes = _Hashes(preview)
    firsts = listing.firsts(max(WINDOW * limit, MIN_WINDOW))
    hits = [listing.hits[i] for i in firsts]
    cosines = alike(hits, store)
    possible = cosines >= np.array([_POSSIBLE[hit.modality] for hit in hits])
    same: dict[int, list[Duplicate]] = {}
    gone = set()
    for place, hit in enumerate(hits):
        for kept in np.flatnonzero(possible[place, :place]).tolist():
            cosine = float(cosines[place, kept])
            if kept not in gone and _same(hit, hits[kept], cosine, hashes):
                known = Duplicate(id=hit.id, uri=hit.uri, similarity=min(cosine, 1.0))
                same.setdefault(kept, []).append(known)
                gone.add(place)
                break
    if not gone:
        return listing
    listed = {
        firsts[place]: tuple(sorted(others, key=lambda one: -one.similarity))
        for place, others in same.items()
    }
    key = listing.key
    hidden = {key(hits[place]) for place in gone}
    shown = [
        replace(hit, duplicates=listed[i]) if i in listed else hit
        for i, hit in enumerate(listing.hits)
    ]
    left = [i for i, hit in enumerate(shown) if key(hit) not in hidden]
    return replace(listing, hits=shown).take(left)


def diversify(listing: Listing, store: StoreReader, *, limit: int, weight: float) -> Listing:
    """The top of the list in an order in which hits differ from those above them.

    Args:
        listing: Best first.
        store: Where embeddings come from.
        limit: Hits that will be shown.
        weight: How much being unlike counts, 0 to below 1.

    Source: maximal marginal relevance, Carbonell, Goldstein, SIGIR 1998. Cosines count from the
    window's lowest tenth on, because those of some towers are never near 0.
    """
    firsts = listing.firsts(max(WINDOW * limit, MIN_WINDOW))
    if len(firsts) < 2:
        return listing
    cosines = alike([listing.hits[i] for i in firsts], store)
    unlike = float(np.quantile(cosines[np.triu_indices(len(firsts), 1)], 0.1))
    near = np.clip((cosines - unlike) / max(1 - unlike, 1e-6), 0, 1)
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
        found[np.ix_(rows, rows)] = products(np.nan_to_num(vectors))
    return found


def _same(hit: Hit, other: Hit, cosine: float, hashes: _Hashes) -> bool:
    if hit.modality is not other.modality or hit.uri == other.uri:
        return False
    if hit.modality is Modality.TEXT:
        return _words(hit) == _words(other) != []
    if cosine >= SAME[hit.modality] or cosine < LIKELY or hit.modality is not Modality.IMAGE:
        return cosine >= SAME[hit.modality]
    mine, others = hashes.of(hit), hashes.of(other)
    return mine is not None and others is not None and (mine ^ others).bit_count() <= HASH_BITS


class _Hashes:
    """Hashes of pictures, each made when it is first asked for."""

    def __init__(self, preview: Preview | None) -> None:
        self._preview = preview
        self._known: dict[str, int | None] = {}

    def of(self, hit: Hit) -> int | None:
        """A picture's hash; None where it cannot be looked at."""
        if hit.id not in self._known:
            clip = self._preview(hit) if self._preview else None
            self._known[hit.id] = None if clip is None else _hash(clip)
        return self._known[hit.id]


def _hash(clip: Clip) -> int:
    from PIL import Image

    with Image.open(BytesIO(clip.data)) as picture:
        return picture_hash(picture)


def picture_hash(image: Image) -> int:
    """64 bits that say where a picture gets brighter from left to right, on a grid of 9 x 8.

    Source: the difference hash (dHash) of Krawetz, 2013.
    """
    grid = np.asarray(image.convert("L").resize((9, 8)), np.int16)
    return int("".join("1" if rises else "0" for rises in (np.diff(grid) > 0).ravel()), 2)


def _words(hit: Hit) -> list[str]:
    return (hit.text or "").casefold().split()
