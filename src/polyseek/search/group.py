"""Collapse the segments of one asset into one hit, or leave them as they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter
from typing import TypeAlias

from polyseek.core.config import Group
from polyseek.core.hits import Hit, Item, Moment

HitKey: TypeAlias = "Callable[[Hit], Item]"

MAX_MOMENTS = 3
MAX_OVERLAP = 0.5
"""Of two places in a recording that overlap more than this (IoU) only the better one counts."""


def by_asset(
    hits: Sequence[Hit],
    *,
    limit: int,
    probabilities: Sequence[float] | None = None,
    key: HitKey | None = None,
    further: int = MAX_MOMENTS,
) -> list[Hit]:
    """The first hit of each asset, with further places in it as `moments`.

    A row of a table is an item of its own: rows are never collapsed.

    Args:
        hits: Best first.
        limit: Number of hits to return.
        probabilities: Of the hits, where they are known.
        key: What hits share that are shown as one; their asset by default.
        further: Places besides the best one that are listed.

    Returns:
        Hits with `rank` and `probability` set, best first.
    """
    known: Sequence[float | None] = probabilities or [None] * len(hits)
    found = []
    for rank, (best, *others) in enumerate(places(hits, limit=limit, key=key, further=further), 1):
        moments = tuple(
            Moment(
                modality=hits[i].modality,
                score=hits[i].score,
                span=hits[i].span,
                text=hits[i].text,
                probability=known[i],
            )
            for i in others
        )
        found.append(replace(hits[best], rank=rank, probability=known[best], moments=moments))
    return found


def places(
    hits: Sequence[Hit], *, limit: int, key: HitKey | None = None, further: int = MAX_MOMENTS
) -> list[list[int]]:
    """Positions of what `by_asset` shows of each asset, its best first."""
    key = key or key_of(Group.ASSET)
    shown: dict[Item, list[int]] = {}
    for i, hit in enumerate(hits):
        own = key(hit)
        if own not in shown:
            if len(shown) < limit:
                shown[own] = [i]
        elif len(shown[own]) <= further and not overlaps(hit, [hits[n] for n in shown[own]]):
            shown[own].append(i)
    return list(shown.values())


def assets_first(hits: Sequence[Hit], *, key: HitKey | None = None) -> tuple[list[Hit], list[Hit]]:
    """The best hit of each asset (or `key`), and all others, both in the order they came in."""
    key = key or key_of(Group.ASSET)
    first: dict[Item, Hit] = {}
    others = [hit for hit in hits if first.setdefault(key(hit), hit) is not hit]
    return list(first.values()), others


def key_of(group: Group) -> HitKey:
    """What hits share that are shown as one: their item, or nothing."""
    return attrgetter("item") if group is Group.ASSET else _segment


def _segment(hit: Hit) -> Item:
    """Every segment by itself."""
    return hit.uri, hit.id


def overlaps(hit: Hit, others: Sequence[Hit]) -> bool:
    """Whether a place is mostly inside of one of these in the same asset, or is the whole of it."""
    if not others:
        return False
    return hit.span is None or any(
        other.span is None or other.span.overlap(hit.span) > MAX_OVERLAP for other in others
    )
