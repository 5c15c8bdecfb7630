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
) -> list[Hit]:
    """The first hit of each asset, with further places in it as `moments`.

    A row of a table is an item of its own: rows are never collapsed.

    Args:
        hits: Best first.
        limit: Number of hits to return.
        probabilities: Of the hits, where they are known.
        key: What hits share that are shown as one; their asset by default.

    Returns:
        Hits with `rank` and `probability` set, best first.
    """
    known: Sequence[float | None] = probabilities or [None] * len(hits)
    key_ = key or key_of(Group.ASSET)
    first: dict[Item, tuple[Hit, float | None]] = {}
    moments: dict[Item, list[Moment]] = {}
    for hit, probability in zip(hits, known, strict=True):
        own = key_(hit)
        if own not in first:
            if len(first) == limit:
                continue
            first[own], moments[own] = (hit, probability), []
        elif len(moments[own]) < MAX_MOMENTS and not _seen(hit, first[own][0], moments[own]):
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
    key_ = key or key_of(Group.ASSET)
    first: dict[Item, Hit] = {}
    others = [hit for hit in hits if first.setdefault(key_(hit), hit) is not hit]
    return list(first.values()), others


def key_of(group: Group) -> HitKey:
    """What hits share that are shown as one: their item, or nothing."""
    return attrgetter("item") if group is Group.ASSET else _segment


def _segment(hit: Hit) -> Item:
    """Every segment by itself."""
    return hit.uri, hit.id


def _seen(hit: Hit, best: Hit, moments: Sequence[Moment]) -> bool:
    if hit.span is None:
        return True
    earlier = [best.span, *(moment.span for moment in moments)]
    return any(span is None or span.overlap(hit.span) > MAX_OVERLAP for span in earlier)
