"""Collapse the segments of one asset into one hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from polyseek.core.hits import Hit, Item, Moment

MAX_MOMENTS = 3
MAX_OVERLAP = 0.5
"""Of two places in a recording that overlap more than this (IoU) only the better one counts."""


def by_asset(
    hits: Sequence[Hit], *, limit: int, probabilities: Sequence[float] | None = None
) -> list[Hit]:
    """The first hit of each asset, with further places in it as `moments`.

    A row of a table is an item of its own: rows are never collapsed.

    Args:
        hits: Best first.
        limit: Number of hits to return.
        probabilities: Of the hits, where they are known.

    Returns:
        Hits with `rank` and `probability` set, best first.
    """
    known: Sequence[float | None] = probabilities or [None] * len(hits)
    first: dict[Item, tuple[Hit, float | None]] = {}
    moments: dict[Item, list[Moment]] = {}
    for hit, probability in zip(hits, known, strict=True):
        key = hit.item
        if key not in first:
            if len(first) == limit:
                continue
            first[key], moments[key] = (hit, probability), []
        elif len(moments[key]) < MAX_MOMENTS and not _seen(hit, first[key][0], moments[key]):
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


def _seen(hit: Hit, best: Hit, moments: Sequence[Moment]) -> bool:
    if hit.span is None:
        return True
    earlier = [best.span, *(moment.span for moment in moments)]
    return any(span is None or span.overlap(hit.span) > MAX_OVERLAP for span in earlier)
