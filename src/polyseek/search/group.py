"""Collapse the segments of one asset into one hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from polyseek.core.hits import Hit, Item, Moment

MAX_MOMENTS = 3
MAX_OVERLAP = 0.5
"""Of two places in a recording that overlap more than this (IoU) only the better one counts."""


def by_asset(
    hits: Sequence[Hit],
    *,
    limit: int,
    probabilities: Sequence[float] | None = None,
    further: int = MAX_MOMENTS,
) -> list[Hit]:
    """The first hit of each asset, with further places in it as `moments`.

    A row of a table is an item of its own: rows are never collapsed.

    Args:
        hits: Best first.
        limit: Number of hits to return.
        probabilities: Of the hits, where they are known.
        further: Places besides the best one that are listed.

    Returns:
        Hits with `rank` and `probability` set, best first.
    """
    known: Sequence[float | None] = probabilities or [None] * len(hits)
    first: dict[Item, tuple[Hit, float | None]] = {}
    moments: dict[Item, list[Moment]] = {}
    shown: dict[Item, list[Hit]] = {}
    for hit, probability in zip(hits, known, strict=True):
        key = hit.item
        if key not in first:
            if len(first) == limit:
                continue
            first[key], moments[key], shown[key] = (hit, probability), [], [hit]
        elif len(moments[key]) < further and not overlaps(hit, shown[key]):
            shown[key].append(hit)
            moments[key].append(
                Moment(
                    modality=hit.modality,
                    score=hit.score,
                    span=hit.span,
                    text=hit.text,
                    probability=probability,
                )
            )
    return [
        replace(hit, rank=rank, probability=probability, moments=tuple(moments[key]))
        for rank, (key, (hit, probability)) in enumerate(first.items(), 1)
    ]


def assets_first(hits: Sequence[Hit]) -> tuple[list[Hit], list[Hit]]:
    """The best hit of each asset, and all others, both in the order they came in."""
    first: dict[Item, Hit] = {}
    others = [hit for hit in hits if first.setdefault(hit.item, hit) is not hit]
    return list(first.values()), others


def overlaps(hit: Hit, others: Sequence[Hit]) -> bool:
    """Whether a place is mostly inside of one of these in the same asset, or is the whole of it."""
    if not others:
        return False
    return hit.span is None or any(
        other.span is None or other.span.overlap(hit.span) > MAX_OVERLAP for other in others
    )
