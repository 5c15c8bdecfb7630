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
    key = key or key_of(Group.ASSET)
    first: dict[Item, tuple[Hit, float | None]] = {}
    moments: dict[Item, list[Moment]] = {}
    shown: dict[Item, list[Hit]] = {}
    for hit, probability in zip(hits, known, strict=True):
        own = key(hit)
        if own not in first:
            if len(first) == limit:
                continue
            first[own], moments[own], shown[own] = (hit, probability), [], [hit]
        elif len(moments[own]) < further and not overlaps(hit, shown[own]):
            shown[own].append(hit)
            moments[own].append(
                Moment(
                    modality=hit.modality,
                    score=hit.score,
                    span=hit.span,
                    text=hit.text,
                    probability=probability,
                )
            )
    return [
        replace(hit, rank=rank, probability=probability, moments=tuple(moments[own]))
        for rank, (own, (hit, probability)) in enumerate(first.items(), 1)
    ]


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
