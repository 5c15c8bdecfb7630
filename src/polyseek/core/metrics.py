"""Retrieval metrics and what they are worth: one value per query, intervals, and a paired test.

A query's value never depends on other queries, so means, slices, intervals and tests all start
from the same ``(q,)`` arrays. Of items with equal scores the irrelevant ones count as first: a
search that cannot tell a hit from the rest gets no credit for luck. Every query must have at least
one relevant item; the denominator of every mean is the number of queries.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]

RESAMPLES = 2_000
"""Of an interval."""

FLIPS = 10_000
"""Of a test."""

CONFIDENCE = 0.95

_SAME = 1e-9  # smaller differences are of rounding
_BLOCK = 500  # resamples drawn at once, so that memory stays small


def ranks(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> Values:
    """``(q,)`` rank of each query's best relevant item among all n items, from 1.

    Args:
        scores: ``(q, n)`` higher is better.
        relevant: ``(q, n)``.

    Raises:
        ValueError: A score is not a number, or a query has no relevant item.
    """
    _check(scores, relevant)
    best = np.where(relevant, scores, -np.inf).max(axis=1, keepdims=True)
    above: Values = 1.0 + ((scores >= best) & ~relevant).sum(axis=1)
    return above


def ranked_gains(
    scores: NDArray[np.floating], gains: NDArray[np.floating], depth: int
) -> NDArray[np.float64]:
    """``(q, min(depth, n))`` gains of each query's first items; of equal scores the lowest first.

    Args:
        scores: ``(q, n)`` higher is better.
        gains: ``(q, n)`` graded relevance; 0 for irrelevant.
        depth: How many places.

    Raises:
        ValueError: A score is not a number, or a query has no relevant item.
    """
    _check(scores, gains > 0)
    order = np.lexsort((gains, -scores), axis=1)[:, :depth]
    return np.take_along_axis(gains.astype(np.float64), order, axis=1)


def first_ranks(gains: NDArray[np.floating]) -> Values:
    """``(q,)`` rank of the first relevant item in ranked gains ``(q, d)``; inf where none is."""
    relevant = gains > 0
    if not gains.shape[1]:
        return np.full(len(gains), np.inf)
    places: Values = np.where(relevant.any(axis=1), relevant.argmax(axis=1) + 1.0, np.inf)
    return places


def recall_at(ranks: Values, k: int) -> Values:
    """``(q,)`` 1 where any relevant item is among the first k, else 0; also called hit@k."""
    return (ranks <= k).astype(np.float64)


def reciprocal_ranks(ranks: Values) -> Values:
    """``(q,)`` whose mean is the MRR."""
    return 1.0 / ranks


def ndcg_at(gains: NDArray[np.floating], ideal: NDArray[np.floating], k: int) -> Values:
    """``(q,)`` normalised discounted cumulative gain of the first k places.

    Args:
        gains: ``(q, d)`` of the ranked items.
        ideal: ``(q, m)`` of all that is relevant to the query, retrieved or not; in any order,
            padded with 0.
        k: Number of places.

    Raises:
        ValueError: A query has no relevant item.

    Source: Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques, TOIS 2002;
    linear gains, as trec_eval.
    """
    best = _discounted(-np.sort(-ideal, axis=1), k)
    if not (best > 0).all():
        raise _no_relevant(best > 0)
    return _discounted(gains, k) / best


def average_precision_at(gains: NDArray[np.floating], positives: ArrayLike, k: int) -> Values:
    """``(q,)`` average precision of the first k places, whose mean is the mAP@k.

    Args:
        gains: ``(q, d)`` of the ranked items.
        positives: ``(q,)`` number of all items that are relevant to each query: the denominator,
            also where it is above k, as trec_eval has it.
        k: Number of places.

    Raises:
        ValueError: A query has no relevant item.
    """
    count = np.asarray(positives, np.float64)
    if not (count > 0).all():
        raise _no_relevant(count > 0)
    relevant = gains[:, :k] > 0
    precision = np.cumsum(relevant, axis=1) / np.arange(1, relevant.shape[1] + 1)
    found: Values = (precision * relevant).sum(axis=1) / count
    return found


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high


def mean_interval(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
    samples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of the mean of ``(q,)`` values between 0 and 1.

    Queries about the same asset stand or fall together, so whole groups are drawn. Percentiles are
    widened by what Student's t asks of few groups; where all values are 0, or all are 1, and
    resampling knows no spread, the exact binomial limit for that many groups is given.

    Args:
        values: ``(q,)``; not empty.
        groups: ``(q,)`` whatever names each query's asset; every query its own if None.
        confidence: Share of intervals that shall cover.
        samples: Number of resamples.
        seed: Of the resampling.

    Source: Hesterberg: What teachers should know about the bootstrap, American Statistician 2015.
    """
    sums, sizes = _by_group(np.asarray(values, np.float64), groups)
    found = float(sums.sum() / sizes.sum())
    tail = (1 - confidence) / 2
    if found in (0.0, 1.0):
        limit = tail ** (1 / len(sums))
        return Interval(limit, 1.0) if found else Interval(0.0, 1 - limit)
    means = np.concatenate([
        (drawn @ sums) / (drawn @ sizes) for drawn in _resamples(len(sums), samples, seed)
    ])  # fmt: skip
    return _percentiles(means, tail, len(sums))


def median_interval(
    values: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    confidence: float = CONFIDENCE,
    samples: int = RESAMPLES,
    seed: int = 0,
) -> Interval:
    """Bootstrap interval of the median of ``(q,)`` values, such as ranks; see `mean_interval`."""
    known = np.asarray(values, np.float64)
    order = np.argsort(known, kind="stable")
    group = _group_of(len(known), groups)[order]
    sorted_values = known[order]
    medians = []
    for drawn in _resamples(int(group.max()) + 1, samples, seed):
        weight = np.cumsum(drawn[:, group], axis=1)
        half = weight[:, -1:] / 2
        low = (weight < half).sum(axis=1)
        high = np.minimum((weight <= half).sum(axis=1), len(known) - 1)
        medians.append((sorted_values[low] + sorted_values[high]) / 2)
    return _percentiles(np.concatenate(medians), (1 - confidence) / 2, int(group.max()) + 1)


def paired_test(
    first: ArrayLike,
    second: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    samples: int = FLIPS,
    seed: int = 0,
) -> float:
    """Two-sided p-value of a paired randomisation test: do two searches differ in their mean?

    If they do not, it is chance which of the two a group's difference speaks for: its sign is
    flipped at random, for all queries of a group together.

    Args:
        first: ``(q,)`` values of one search.
        second: ``(q,)`` values of the other, for the same queries in the same order.
        groups: ``(q,)`` as for `mean_interval`.
        samples: Number of random flips.
        seed: Of the flips.

    Source: Smucker, Allan, Carterette: A comparison of statistical significance tests, CIKM 2007.
    """
    difference = np.asarray(second, np.float64) - np.asarray(first, np.float64)
    sums, _ = _by_group(difference, groups)
    sums = sums[np.abs(sums) > _SAME]
    observed = abs(sums.sum()) - _SAME  # a flip that gives the same sum may round differently
    rng = np.random.default_rng(seed)
    extreme = 0
    for start in range(0, samples, _BLOCK):
        count = min(_BLOCK, samples - start)
        signs = rng.integers(0, 2, (count, len(sums)), dtype=np.int8) * 2.0 - 1.0
        extreme += int((np.abs(signs @ sums) >= observed).sum())
    return (1 + extreme) / (1 + samples)


def holm(p_values: ArrayLike) -> Values:
    """``(m,)`` p-values that may be compared with one level though m questions were asked.

    Source: Holm: A simple sequentially rejective multiple test procedure, 1979.
    """
    p = np.asarray(p_values, np.float64)
    order = np.argsort(p, kind="stable")
    stepped = p[order] * (len(p) - np.arange(len(p)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    return adjusted


def _check(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> None:
    if np.isnan(scores).any():
        raise ValueError("scores hold values that are not numbers")
    answered = np.asarray(relevant.any(axis=1))
    if not answered.all():
        raise _no_relevant(answered)


def _no_relevant(answered: NDArray[np.bool_]) -> ValueError:
    return ValueError(
        f"query {int(np.argmin(answered))} (of {int((~answered).sum())}) has no relevant item; "
        "leave such queries out"
    )


def _discounted(gains: NDArray[np.floating], k: int) -> Values:
    top = np.maximum(gains[:, :k], 0)
    found: Values = (top / np.log2(np.arange(top.shape[1]) + 2)).sum(axis=1)
    return found


def _group_of(count: int, groups: ArrayLike | None) -> NDArray[np.intp]:
    """``(q,)`` number of each query's group, from 0."""
    if groups is None:
        return np.arange(count)
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)


def _by_group(values: Values, groups: ArrayLike | None) -> tuple[Values, Values]:
    """Sum of the values and number of queries of each group."""
    if not len(values):
        raise ValueError("no queries")
    group = _group_of(len(values), groups)
    return np.bincount(group, values).astype(np.float64), np.bincount(group).astype(np.float64)


def _resamples(groups: int, samples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Blocks of ``(b, groups)``: how often each group is in each resample."""
    rng = np.random.default_rng(seed)
    for start in range(0, samples, _BLOCK):
        count = min(_BLOCK, samples - start)
        drawn = rng.integers(0, groups, (count, groups)) + groups * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * groups)
        yield times.reshape(count, groups).astype(np.float64)


def _percentiles(drawn: Values, tail: float, groups: int) -> Interval:
    """The middle of the resampled values, widened for few groups."""
    if groups < 2:
        return Interval(float(drawn.min()), float(drawn.max()))
    wide = NormalDist().cdf(math.sqrt(groups / (groups - 1)) * _student(tail, groups - 1))
    low, high = np.quantile(drawn, [wide, 1 - wide], method="inverted_cdf")
    return Interval(float(low), float(high))


def _student(tail: float, freedom: int) -> float:
    """Lower quantile of Student's t (Abramowitz and Stegun 26.7.5)."""
    z = NormalDist().inv_cdf(tail)
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return math.fsum(term / freedom**power for power, term in enumerate(terms))
