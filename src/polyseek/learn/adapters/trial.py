"""Climb the ladder: each rung is judged on pairs it was not fitted on, and must earn its place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np

from polyseek.core.defaults import Defaults
from polyseek.core.metrics import (
    Interval,
    Values,
    mean_interval,
    ranks,
    recall_at,
    reciprocal_ranks,
)
from polyseek.core.tuning import Calibration, Origin, cohort_match
from polyseek.core.types import Floats
from polyseek.learn.adapters.closed_form import Cca, Ridge, Rung
from polyseek.learn.adapters.ladder import Fitted, Task, fit
from polyseek.learn.adapters.pairs import Flags, Rows, folds_of
from polyseek.learn.adapters.residual import Residual
from polyseek.learn.calibration import examples, match_probability, refit, separation
from polyseek.learn.calibration import fit as fit_calibration

FOLDS = 5
"""Every pair is held out once, with all pairs of its group."""

CONFIDENCE = 0.99
"""Of the interval that a gain must lie above: one direction in 200 without any passes by chance."""

TOLD_APART = 0.6
"""Area under the curve, of relevant against other hits, that a calibration needs: below, it
would say the same of everything, and mostly that nothing was found."""

AT = (1, 5, 10)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Judged:
    """A rung, and what its queries found while they were held out.

    Attributes:
        rung: Its name; ``none`` for the unadapted search, ``chance`` for one that knows nothing.
        placed: ``(q, dim)`` where maps that had not seen them put the queries.
        ranks: ``(q,)`` of each query's best answer.
        seconds: It took.
        fitted: On all pairs.
    """

    rung: str
    placed: Floats
    ranks: Values
    seconds: float = 0.0
    fitted: Fitted | None = None


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Verdict:
    """What became of one direction.

    Attributes:
        before: The unadapted search.
        after: The rung that was chosen, or the best that was tried.
        groups: ``(q,)`` queries that stand or fall together.
        gain: Of the mean reciprocal rank, with `CONFIDENCE`.
        gallery: Number of items that queries competed for, on average.
        tried: Mean reciprocal rank by rung.
    """

    before: Judged
    after: Judged
    groups: Rows
    gain: Interval
    gallery: int
    tried: dict[str, float]

    @property
    def better(self) -> bool:
        """Whether held-out queries found more, beyond chance."""
        return better(self.before.ranks, self.after.ranks, self.groups)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form: recall in percent with intervals, before and after."""
        return {
            "rung": self.after.rung,
            "baseline": self.before.rung,
            "better": self.better,
            "strength": self.after.fitted.strength if self.after.fitted else 0.0,
            "queries": len(self.groups),
            "groups": len(np.unique(self.groups)),
            "items": self.gallery,
            "before": self._figures(self.before.ranks),
            "after": self._figures(self.after.ranks),
            "gain_mrr": [self.gain.low, self.gain.high],
            "tried_mrr": self.tried,
            "seconds": round(self.after.seconds, 2),
        }

    def _figures(self, found: Values) -> dict[str, list[float]]:
        figures = {f"R@{k}": recall_at(found, k) for k in AT}
        return {
            name: [float(values.mean()), *_ends(mean_interval(values, self.groups))]
            for name, values in {**figures, "MRR": reciprocal_ranks(found)}.items()
        }


def climb(task: Task, *, tried: Callable[[str], None] | None = None) -> Verdict:
    """The highest rung that is better than the last one that was, beyond its interval.

    Args:
        task: What to fit.
        tried: Called with the name of every rung that is begun.
    """
    name, rows = task.baseline
    before = Judged(rung=name, placed=rows, ranks=held_out_ranks(task, rows))
    groups, current, best = task.query_groups(), before, None
    values = {before.rung: float(reciprocal_ranks(before.ranks).mean())}
    everything = np.ones(len(task.pairs.links), bool)
    for rung in LADDER:
        if tried:
            tried(rung.name)
        judged = cross_fitted(rung, task)
        values[rung.name] = float(reciprocal_ranks(judged.ranks).mean())
        won = better(current.ranks, judged.ranks, groups)
        if won or best is None:
            best = replace(judged, fitted=fit(rung, task, everything))
        if won:
            current = best
    assert best is not None  # noqa: S101 - the first rung is always tried
    return Verdict(
        before=before,
        after=best,
        groups=groups,
        gain=gain(before.ranks, best.ranks, groups),
        gallery=gallery_size(task),
        tried=values,
    )


LADDER: tuple[Rung, ...] = (Ridge(), Cca(), Residual())
"""The cheapest first."""


def cross_fitted(rung: Rung, task: Task) -> Judged:
    """Every query where a map puts it that was fitted without its group."""
    started = perf_counter()
    placed = task.unadapted.copy()
    for held_out in _folds(task):
        found, rows = fit(rung, task, ~held_out), task.queries_of(held_out)
        placed[rows] = found.place(task.features[rows], task.unadapted[rows])
    return Judged(
        rung=rung.name,
        placed=placed,
        ranks=held_out_ranks(task, placed),
        seconds=perf_counter() - started,
    )


def held_out_ranks(task: Task, placed: Floats) -> Values:
    """``(q,)`` rank of each query's best answer among what it competes with while held out."""
    found = np.zeros(len(placed))
    for held_out in _folds(task):
        rows, items = task.queries_of(held_out), task.competitors(held_out)
        scores = placed[rows] @ task.gallery[items].T
        found[rows] = ranks(scores, task.relevant[np.ix_(rows, items)])
    return found


def gallery_size(task: Task) -> int:
    """Number of items that held-out queries compete for, on average."""
    return round(float(np.mean([len(task.competitors(held_out)) for held_out in _folds(task)])))


def _folds(task: Task) -> list[Flags]:
    """Which links are held out together."""
    folds = folds_of(task.pairs.groups, FOLDS, seed=1)
    return [folds == fold for fold in range(FOLDS)]


def better(before: Values, after: Values, groups: Rows) -> bool:
    """Whether a search is better than another one beyond chance.

    Both its mean reciprocal rank and its mean logarithm of the rank must be: the first is what
    users see, but where hardly anything is found it hangs on a few lucky queries.
    """
    closer = np.log(before) - np.log(after)
    return (
        gain(before, after, groups).low > 0
        and mean_interval(closer, groups, confidence=CONFIDENCE).low > 0
    )


def gain(before: Values, after: Values, groups: Rows) -> Interval:
    """Of the mean reciprocal rank, with its interval."""
    difference = reciprocal_ranks(after) - reciprocal_ranks(before)
    return mean_interval(difference, groups, confidence=CONFIDENCE)


def calibrate(task: Task, judged: Judged, defaults: Defaults | None) -> Calibration | None:
    """Score -> probability, from the pairs as they were held out; None where they say too little.

    Half of the queries are asked without their answers, as `learn.tune` has none for most.
    """
    pair = task.pairs.pair
    relevant = task.relevant.astype(np.float64)
    alone = np.random.default_rng(0).random(len(relevant)) < 0.5
    relevant[alone] = np.where(task.relevant[alone], np.nan, 0.0)
    cohort = defaults.cohort(pair) if defaults else None
    drawn = examples(
        judged.placed,
        task.gallery,
        relevant=relevant,
        bias=None,
        strength=0.0,
        cohort=None if cohort is None else cohort_match(judged.placed, cohort),
    )
    if separation(drawn) < TOLD_APART:
        return None
    base = defaults.tuning.calibrations.get(pair) if defaults else None
    try:
        found = (
            refit(drawn, base, strength=0.0, origin=Origin.PAIRS)
            if base
            else fit_calibration(drawn, strength=0.0, origin=Origin.PAIRS)
        )
    except ValueError:
        return None
    best = drawn.probability(found)[(drawn.rank == 0) & ~drawn.answered]
    if not len(best):
        return None
    return replace(found, match_probability=match_probability(best, np.ones(len(best))))


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
