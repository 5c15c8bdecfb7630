"""One list of segments of all modalities, best first: what later stages reorder."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from polyseek.core.config import Group, SearchOptions
from polyseek.core.errors import QueryError
from polyseek.core.hits import Hit, Item
from polyseek.core.protocols import StoreReader
from polyseek.core.retriever import SearchMode
from polyseek.core.types import Modality
from polyseek.search.compose import compared
from polyseek.search.fuse import by_probability, reciprocal_rank
from polyseek.search.group import HitKey, assets_first, key_of
from polyseek.search.retrieve import Asked, Ranking


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Listing:
    """Segments in order.

    Attributes:
        hits: Best first; several may be of one asset.
        probabilities: Of each hit; None where not all are known.
        matched: Whether anything matches.
        group: What one hit will be.
    """

    hits: Sequence[Hit]
    probabilities: Sequence[float] | None
    matched: bool
    group: Group = Group.ASSET

    @property
    def key(self) -> HitKey:
        """What segments share that will be one hit."""
        return key_of(self.group)

    def take(self, order: Sequence[int]) -> Listing:
        """Only these hits, in this order."""
        known = self.probabilities
        return replace(
            self,
            hits=[self.hits[i] for i in order],
            probabilities=None if known is None else [known[i] for i in order],
        )

    def firsts(self, limit: int | None = None) -> list[int]:
        """Positions of what will be hits, the first `limit` of them: each asset's best segment."""
        key = self.key
        seen: dict[Item, int] = {}
        for i, hit in enumerate(self.hits):
            if len(seen) == limit:
                break
            seen.setdefault(key(hit), i)
        return list(seen.values())


def merge(rankings: Sequence[Ranking], options: SearchOptions) -> Listing:
    """All modalities as one list, without what is too improbable to be shown.

    Probabilities are comparable, so they decide where all are known; otherwise only ranks are.

    Raises:
        QueryError: A least probability is asked for, and there are no probabilities.
    """
    if options.mode is SearchMode.TEXT:
        if options.min_probability is not None:
            raise QueryError(
                "a search by words alone has no probabilities; leave out --text (mode='text'), or "
                "the least probability"
            )
        found = sorted(
            (hit for r in rankings for hit in r.hits), key=lambda h: -(h.text_score or 0)
        )
        return Listing(hits=found, probabilities=None, matched=bool(found), group=options.group)
    calibrated = [(r.hits, r.probabilities) for r in rankings if r.probabilities is not None]
    if len(calibrated) < sum(1 for r in rankings if r.hits):
        if options.min_probability is not None:
            raise QueryError(
                "this collection's scores were never calibrated for this query, so there are no "
                "probabilities; run 'polyseek tune', or leave out the least probability"
            )
        key = key_of(options.group)
        split = [assets_first(ranking.hits, key=key) for ranking in rankings]
        best = reciprocal_rank([first for first, _ in split], key=key)
        others = [hit for _, rest in split for hit in rest]
        return Listing(
            hits=[*best, *others],
            probabilities=None,
            matched=any(r.matches for r in rankings),
            group=options.group,
        )
    hits, probabilities = by_probability(calibrated)
    whole = Listing(hits=hits, probabilities=probabilities, matched=False, group=options.group)
    return _cut(whole, options, matched=any(ranking.matches for ranking in rankings))


def with_cosines(
    listing: Listing, places: Iterable[int], *, asked: Asked, store: StoreReader
) -> Listing:
    """A list that words alone have made, with the cosines of the hits at these places.

    They play no part in its order, so they are only read for what is shown: in a bucket, each
    vector may be a request of its own.
    """
    hits, of = list(listing.hits), defaultdict[Modality, list[int]](list)
    for place in places:
        of[hits[place].modality].append(place)
    for modality, found in of.items():
        pair = asked.query.terms[0].query.modality, modality
        vector, space = compared(asked.embeddings[0], pair)
        if not vector.any():
            continue
        rows = store.vectors(modality, [hits[place].id for place in found], space)
        for place, cosine in zip(found, (rows @ vector).tolist(), strict=True):
            if not math.isnan(cosine):  # the segment went away meanwhile
                hits[place] = replace(hits[place], score=cosine)
    return replace(listing, hits=hits)


def _cut(whole: Listing, options: SearchOptions, *, matched: bool) -> Listing:
    """The list as far as it is probable enough to be shown."""
    known = whole.probabilities or [0.0]
    if options.min_probability is None:
        least = options.retriever.thresholds.floor * known[0] if matched else 1.0
    else:
        least = options.min_probability
        matched = bool(whole.hits) and known[0] >= least
    shown = len(whole.hits) if options.show_all else sum(p >= least for p in known)
    shown = shown if matched or options.show_all else 0
    return replace(whole.take(range(shown)), matched=matched)
