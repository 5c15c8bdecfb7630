"""Recordings and videos ranked by all their best moments, not by one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from polyseek.core.config import Group
from polyseek.core.hits import Item
from polyseek.core.types import SpanUnit
from polyseek.search.compose import log_odds, probability
from polyseek.search.group import overlaps
from polyseek.search.listing import Listing


def pool_moments(listing: Listing, *, count: int) -> Listing:
    """The list with each recording's best moment as probable as its best few together.

    The odds of up to `count` moments that do not overlap are added up. What has no seconds stays as
    it is, and so does everything where there are no probabilities or segments are hits.

    Args:
        listing: Best first.
        count: Moments that are added up; 1 for the best alone.
    """
    if count < 2 or not listing.probabilities or listing.group is Group.SEGMENT:
        return listing
    odds = log_odds(np.array(listing.probabilities))
    best: dict[Item, list[int]] = defaultdict(list)
    for i, hit in enumerate(listing.hits):
        moments = best[hit.item]
        if hit.span is None or hit.span.unit is not SpanUnit.SECONDS:
            continue
        if len(moments) < count and not overlaps(hit, [listing.hits[m] for m in moments]):
            moments.append(i)
    for moments in best.values():
        if moments:
            odds[moments[0]] = np.logaddexp.reduce(odds[moments])
    order = np.argsort(-odds, kind="stable")
    pooled = replace(listing, probabilities=probability(odds).tolist())
    return pooled.take(order.tolist())
