"""Two indexes of the same assets, asked the same: what differs, and which is better?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from polyseek.core.hits import Hit, Query

AT = 10
MOVERS = 8

Answer: TypeAlias = "Callable[[Query], Sequence[Hit]]"
"""The first hits for a query, best first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mover:
    """A query that the two answer most differently: names of the first three hits of each."""

    query: str
    overlap: float
    before: Sequence[str]
    after: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Of one index on given pairs, a share of the queries each: an expected asset first, in 10.

    Attributes:
        queries: How many were asked.
        recall_at_1: The first hit is right.
        recall_at_10: One of the first ten is.
        mrr: Mean of one over the rank of the first right one among ten; 0 without any.
    """

    queries: int
    recall_at_1: float
    recall_at_10: float
    mrr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What changes for those who search.

    Attributes:
        overlap: Mean share of the first ten hits that both have, by modality of the query.
        same_first: Share of the queries with the same first hit.
        queries: How many were asked.
        movers: The queries with the least in common.
        quality: Before and after, where pairs were given.
    """

    overlap: Mapping[str, float]
    same_first: float
    queries: int
    movers: Sequence[Mover]
    quality: tuple[Quality, Quality] | None = None


def compare(
    queries: Sequence[Query],
    before: Answer,
    after: Answer,
    *,
    pairs: Sequence[tuple[Query, str]] = (),
) -> Comparison:
    """Ask both.

    Args:
        queries: A sample of what people ask.
        before: The old index.
        after: The new one.
        pairs: Queries with the uri of the asset that should be found.
    """
    overlaps: dict[str, list[float]] = defaultdict(list)
    movers, same = [], 0
    for query in queries:
        old, new = before(query)[:AT], after(query)[:AT]
        if not old and not new:
            continue
        first, second = ({hit.uri for hit in hits} for hits in (old, new))
        # Of fewer than ten hits, all that there could be.
        shared = len(first & second) / max(len(first), len(second))
        overlaps[str(query.modality)].append(shared)
        same += bool(old and new and old[0].uri == new[0].uri)
        movers.append(
            Mover(query=query.label, overlap=shared, before=_names(old), after=_names(new))
        )
    asked = len(movers)
    return Comparison(
        overlap={modality: float(np.mean(found)) for modality, found in overlaps.items()},
        same_first=same / asked if asked else 1.0,
        queries=asked,
        movers=sorted((m for m in movers if m.overlap < 1), key=lambda m: m.overlap)[:MOVERS],
        quality=(_quality(pairs, before), _quality(pairs, after)) if pairs else None,
    )


def _quality(pairs: Sequence[tuple[Query, str]], answer: Answer) -> Quality:
    ranks = []
    for query, uri in pairs:
        found = [hit.uri for hit in answer(query)[:AT]]
        ranks.append(found.index(uri) + 1 if uri in found else 0)
    reciprocal = [1 / rank if rank else 0.0 for rank in ranks]
    return Quality(
        queries=len(ranks),
        recall_at_1=float(np.mean([rank == 1 for rank in ranks])),
        recall_at_10=float(np.mean([rank > 0 for rank in ranks])),
        mrr=float(np.mean(reciprocal)),
    )


def _names(hits: Sequence[Hit]) -> list[str]:
    return [str(hit.metadata.get("path", hit.uri)) for hit in hits[:3]]


def to_dict(found: Comparison) -> dict[str, Any]:
    """JSON-ready form."""
    from dataclasses import asdict

    return asdict(found)
