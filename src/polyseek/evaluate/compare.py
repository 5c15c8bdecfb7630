"""Two runs over the same questions: what differs by more than chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from polyseek.core.metrics import holm, paired_test
from polyseek.evaluate.outcomes import METRICS
from polyseek.evaluate.runs import Measured, Run

LEVEL = 0.05
"""Chance that a run which is no different from its base is called so, over all its figures."""

MIN_SHARED = 0.5
"""Share of the base's questions that a run must have been asked to be compared with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure before and after.

    Attributes:
        direction: Of the questions.
        metric: Name of the figure.
        before: Of the base, over the questions that both runs have.
        after: Of the run, over the same.
        p_value: Of a paired randomisation test, corrected for the number of figures (Holm).
    """

    direction: str
    metric: str
    before: float
    after: float
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether chance does not explain it."""
        return self.p_value <= LEVEL

    @property
    def dropped(self) -> bool:
        """Whether it is significantly worse."""
        return self.significant and self.after < self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A run against a base.

    Attributes:
        differences: Every figure of every direction that both have.
        notes: What could not be compared, for people.
        missing: Directions of the base that could not be compared.
    """

    differences: Sequence[Difference]
    notes: Sequence[str]
    missing: Sequence[str]

    @property
    def drops(self) -> list[Difference]:
        """What became significantly worse."""
        return [difference for difference in self.differences if difference.dropped]

    @property
    def passed(self) -> bool:
        """Whether nothing became worse and nothing of the base is missing."""
        return not self.drops and not self.missing

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "passed": self.passed,
            "missing": list(self.missing),
            "notes": list(self.notes),
            "differences": [
                {
                    "direction": one.direction,
                    "metric": one.metric,
                    "before": round(one.before, 6),
                    "after": round(one.after, 6),
                    "p_value": round(one.p_value, 6),
                    "significant": one.significant,
                }
                for one in self.differences
            ],
        }


def compare(base: Run, run: Run) -> Comparison:
    """What differs between two runs, question by question.

    Questions are the same when their ids are. The level of all tests together is `LEVEL`.
    """
    raw: list[Difference] = []
    notes, missing = [], []
    for before in base.directions:
        after = next((one for one in run.directions if one.name == before.name), None)
        if after is None:
            missing.append(before.name)
            notes.append(f"{before.name}: in the base, but not measured now")
            continue
        shared = {one.id for one in before.outcomes} & {one.id for one in after.outcomes}
        if len(shared) < MIN_SHARED * len(before.outcomes):
            missing.append(before.name)
            notes.append(
                f"{before.name}: only {len(shared):,} of the base's {len(before.outcomes):,} "
                "questions were asked; compare runs over the same pairs"
            )
            continue
        if len(shared) < max(len(before.outcomes), len(after.outcomes)):
            notes.append(f"{before.name}: compared over the {len(shared):,} questions both have")
        if before.mode != after.mode:
            notes.append(f"{before.name}: the base is {before.mode}, this run {after.mode}")
        raw += _differences(before, after, shared)
    adjusted = holm([one.p_value for one in raw])
    return Comparison(
        differences=[
            Difference(
                direction=one.direction, metric=one.metric, before=one.before, after=one.after,
                p_value=float(p),
            )
            for one, p in zip(raw, adjusted, strict=True)
        ],
        notes=notes,
        missing=missing,
    )  # fmt: skip


def _differences(before: Measured, after: Measured, shared: set[str]) -> list[Difference]:
    ids = sorted(shared)
    earlier = {one.id: one for one in before.outcomes}
    later = {one.id: one for one in after.outcomes}
    groups = [earlier[one].group for one in ids]
    found = []
    for name, metric in METRICS.items():
        first = metric([earlier[one] for one in ids])
        second = metric([later[one] for one in ids])
        found.append(
            Difference(
                direction=before.name,
                metric=name,
                before=float(np.mean(first)),
                after=float(np.mean(second)),
                p_value=paired_test(first, second, groups),
            )
        )
    return found
