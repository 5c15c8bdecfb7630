"""What became of each question: its rank and its gains, and the value per metric."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.hits import Hit
from polyseek.core.metrics import (
    Values,
    average_precision_at,
    first_ranks,
    ndcg_at,
    recall_at,
    reciprocal_ranks,
)
from polyseek.evaluate.plan import Question, own_item, shown

DEPTH = 100
"""Hits that are looked at per question; what comes later counts as not found."""

SHOWN = 3
"""Hits that are kept of a question, to show what was found instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one question.

    Attributes:
        id: Of the question.
        label: How people read it.
        rank: Of the first right answer; inf where it is not among the first `DEPTH`.
        ndcg: nDCG@10.
        precision: Average precision of the first 10.
        group: As in the question.
        answered: Whether a search would have shown anything: it finds something probable enough.
        slices: As in the question.
        expected: A right answer: its uri, or the text where it is one of the questions' own.
        found: The first hits in the same way.
        hits: The same to look at; not kept in files.
    """

    id: str
    label: str
    rank: float
    ndcg: float
    precision: float
    group: str
    answered: bool
    slices: Mapping[str, str]
    expected: str
    found: Sequence[str]
    hits: Sequence[Hit] = field(default=(), compare=False, repr=False)


METRICS: Mapping[str, Callable[[Sequence[Outcome]], Values]] = {
    "R@1": lambda outcomes: recall_at(ranks_of(outcomes), 1),
    "R@5": lambda outcomes: recall_at(ranks_of(outcomes), 5),
    "R@10": lambda outcomes: recall_at(ranks_of(outcomes), 10),
    "MRR": lambda outcomes: reciprocal_ranks(ranks_of(outcomes)),
    "nDCG@10": lambda outcomes: np.array([outcome.ndcg for outcome in outcomes]),
    "mAP@10": lambda outcomes: np.array([outcome.precision for outcome in outcomes]),
}
"""Value per question; each figure is their mean."""


def ranks_of(outcomes: Sequence[Outcome]) -> Values:
    """``(q,)`` rank of each question's first right answer."""
    return np.array([outcome.rank for outcome in outcomes])


def score(
    question: Question, hits: Sequence[Hit], captions: Sequence[str], *, answered: bool
) -> Outcome:
    """What became of a question.

    Args:
        question: With its answers.
        hits: What was found, best first and one per item.
        captions: Of its direction.
        answered: Whether a search would have shown anything.
    """
    hits = _without_itself(question, hits)
    gains = _gains(question, hits)
    ideal = np.array([list(question.answers.values())], np.float64)
    return Outcome(
        id=question.id,
        label=question.label,
        rank=float(first_ranks(gains)[0]),
        ndcg=float(ndcg_at(gains, ideal, 10)[0]),
        precision=float(average_precision_at(gains, [len(question.answers)], 10)[0]),
        group=question.group,
        answered=answered,
        slices=question.slices,
        expected=shown(next(iter(question.answers))[0], captions),
        found=[shown(hit.uri, captions) for hit in hits[:SHOWN]],
        hits=tuple(hits[:SHOWN]),
    )


def to_dict(outcome: Outcome) -> dict[str, Any]:
    """JSON-ready form; `read_outcome` reads it."""
    return {
        "id": outcome.id,
        "label": outcome.label,
        "rank": plain(outcome.rank),
        "ndcg": outcome.ndcg,
        "precision": outcome.precision,
        "group": outcome.group,
        "answered": outcome.answered,
        "slices": dict(outcome.slices),
        "expected": outcome.expected,
        "found": list(outcome.found),
    }


def read_outcome(read: Mapping[str, Any]) -> Outcome:
    """The reverse of `to_dict`."""
    rank = math.inf if read["rank"] is None else float(read["rank"])
    return Outcome(**{**read, "rank": rank})


def plain(value: float) -> float | None:
    """JSON knows no infinity: a rank that was not found is null."""
    return round(value, 6) if math.isfinite(value) else None


def _gains(question: Question, hits: Sequence[Hit]) -> NDArray[np.float64]:
    """``(1, n)`` gain of each hit; of hits that nothing tells apart the lowest comes first."""
    gains = [question.answers.get(hit.item, 0.0) for hit in hits]
    start = 0
    for end in range(1, len(hits) + 1):
        if end == len(hits) or _figure(hits[end]) != _figure(hits[start]):
            gains[start:end] = sorted(gains[start:end])
            start = end
    return np.array([gains], np.float64)


def _figure(hit: Hit) -> tuple[float | None, ...]:
    bias = hit.hub_bias
    return hit.probability, hit.score, bias, hit.text_score, hit.text_share


def _without_itself(question: Question, hits: Sequence[Hit]) -> Sequence[Hit]:
    """A query that is an item of the collection finds itself: that is no answer."""
    asked = own_item(question.asked) if question.asked else question.item
    if asked is None or asked in question.answers:
        return hits
    return [hit for hit in hits if hit.item != asked]
