"""Fit the probability of relevance of one pair of modalities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polyseek.core.tuning import FALSE_HITS, Calibration, Numbers, Origin
from polyseek.core.types import Floats
from polyseek.learn.logistic import fit_logistic

HUB_STRENGTH = 0.75
DEPTH = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examples:
    """Retrieved segments with a known relevance, n of them.

    Attributes:
        corrected: ``(n,)`` cosine minus the hub correction.
        cohort: ``(n,)`` how well each one's query matches the cohort; zeros without a cohort.
        rows: ``(n,)`` size of the collection it was found in.
        rank: ``(n,)`` where in its list it was, from 0; what nobody knows of is not in the list.
        relevant: ``(n,)`` bool.
        answered: ``(n,)`` whether its query has a relevant segment in the collection.
        hub_mean: Mean hub bias of the collections.
    """

    corrected: Floats
    cohort: Floats
    rows: NDArray[np.float64]
    rank: NDArray[np.int64]
    relevant: NDArray[np.bool_]
    answered: NDArray[np.bool_]
    hub_mean: float = 0.0

    @staticmethod
    def join(parts: Sequence[Examples]) -> Examples:
        """All of them as one."""
        return Examples(
            corrected=np.concatenate([p.corrected for p in parts]),
            cohort=np.concatenate([p.cohort for p in parts]),
            rows=np.concatenate([p.rows for p in parts]),
            rank=np.concatenate([p.rank for p in parts]),
            relevant=np.concatenate([p.relevant for p in parts]),
            answered=np.concatenate([p.answered for p in parts]),
            hub_mean=float(np.mean([p.hub_mean for p in parts])),
        )

    def probability(self, found: Calibration) -> Numbers:
        """``(n,)`` what a calibration says about them."""
        return found.probability(self.corrected, cohort=self.cohort, rows=self.rows)


def examples(
    queries: Floats,
    vectors: Floats,
    *,
    relevant: NDArray[np.float64],
    bias: Floats | None,
    strength: float,
    cohort: Floats | None,
) -> Examples:
    """The best hits of each query as examples.

    Args:
        queries: ``(q, dim)`` unit length.
        vectors: ``(n, dim)`` unit length.
        relevant: ``(q, n)`` 1 or 0; NaN where nobody knows.
        bias: ``(n,)`` hub bias, or None.
        strength: Share of it that is subtracted.
        cohort: ``(q,)`` match of each query with the cohort, or None.
    """
    corrected = queries @ vectors.T
    if bias is not None:
        corrected = corrected - strength * bias
    best = np.argsort(-corrected, axis=1, kind="stable")[:, :DEPTH]
    known = np.take_along_axis(relevant, best, axis=1)
    keep = ~np.isnan(known)
    match = np.zeros(len(queries), np.float32) if cohort is None else cohort
    rank = np.cumsum(keep, axis=1) - 1
    return Examples(
        corrected=np.take_along_axis(corrected, best, axis=1)[keep].astype(np.float32),
        cohort=np.broadcast_to(match[:, None], best.shape)[keep].astype(np.float32),
        rows=np.full(int(keep.sum()), float(len(vectors))),
        rank=rank[keep],
        relevant=known[keep] > 0.5,
        answered=np.broadcast_to(np.nanmax(relevant, axis=1)[:, None] > 0.5, best.shape)[keep],
        hub_mean=0.0 if bias is None else float(bias.mean()),
    )


def fit(drawn: Examples, *, strength: float, origin: Origin) -> Calibration:
    """A calibration from examples of one pair of modalities.

    Raises:
        ValueError: Only relevant or only irrelevant examples, or relevance falls with the score.
    """
    features = np.column_stack([drawn.corrected, drawn.cohort, np.log(drawn.rows)])
    intercept, slope, cohort_weight, size_weight = fit_logistic(features, drawn.relevant).tolist()
    return Calibration(
        hub_strength=strength,
        hub_mean=drawn.hub_mean,
        intercept=intercept,
        slope=slope,
        cohort_weight=cohort_weight,
        size_weight=size_weight,
        origin=origin,
    )


def refit(drawn: Examples, base: Calibration, *, strength: float, origin: Origin) -> Calibration:
    """A calibration that keeps the proportions of another one: Platt scaling of its log-odds.

    What a collection alone cannot tell, such as how size and cohort count, stays as it was fitted
    on many.

    Raises:
        ValueError: Only relevant or only irrelevant examples, or relevance falls with the score.
    """
    known = base.log_odds(drawn.corrected, cohort=drawn.cohort, rows=drawn.rows)
    shift, scale = fit_logistic(known[:, None], drawn.relevant).tolist()
    return Calibration(
        hub_strength=strength,
        hub_mean=drawn.hub_mean,
        intercept=shift + scale * base.intercept,
        slope=scale * base.slope,
        cohort_weight=scale * base.cohort_weight,
        size_weight=scale * base.size_weight,
        origin=origin,
    )


def separation(drawn: Examples) -> float:
    """Area under the ROC curve: how often a relevant example scores above an irrelevant one."""
    order = np.argsort(np.argsort(drawn.corrected, kind="stable")) + 1.0
    positive = int(drawn.relevant.sum())
    negative = len(drawn.relevant) - positive
    if not positive or not negative:
        return 0.0
    above = float(order[drawn.relevant].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)


def with_match(found: Calibration, drawn: Examples) -> Calibration:
    """The same with the match probability that these examples ask for."""
    best = drawn.probability(found)[drawn.rank == 0]
    return replace(found, match_probability=match_probability(best, 1 - best))


def match_probability(best: Numbers, weights: Numbers) -> float:
    """The probability that a share of `FALSE_HITS` of the queries without an answer exceeds.

    Args:
        best: ``(q,)`` probability of each query's best hit.
        weights: ``(q,)`` how likely each query is one without an answer.
    """
    order = np.argsort(best)
    share = np.cumsum(weights[order]) / max(float(weights.sum()), 1e-12)
    place = min(int(np.searchsorted(share, 1 - FALSE_HITS)), len(best) - 1)
    return float(np.clip(best[order[place]], 0.001, 0.95))
