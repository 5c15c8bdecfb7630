"""Judge with labelled queries whether the best of their own kind are looked at twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from polyseek.core.metrics import paired_test
from polyseek.core.tuning import Numbers
from polyseek.core.types import Modality
from polyseek.learn.fusion import LEVEL
from polyseek.learn.labelled import MIN_PLATT
from polyseek.learn.splits import CHOOSE, HELD_OUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one query found among segments of its own kind.

    Attributes:
        once: nDCG@10 without the second look.
        twice: nDCG@10 with it, as it ships.
        group: What queries share that are about the same asset.
    """

    once: float
    twice: float
    group: str


def judge(kind: Modality, looked: Mapping[int, Sequence[Looked]]) -> tuple[bool, str]:
    """Whether looking once is better for a kind, and what was found, for people.

    The second look ships because a benchmark says so; it goes only where the queries to choose with
    are significantly worse with it, and those held out do not say otherwise.

    Args:
        kind: Of the queries and of what they find.
        looked: The queries of `CHOOSE` and of `HELD_OUT`, to none of which anything was fitted.

    Returns:
        Whether the second look is to be switched off; what to say, nothing without any query.
    """
    count = len(looked[CHOOSE]) + len(looked[HELD_OUT])
    name = f"second look, {kind} -> {kind}"
    if not count:
        return False, ""
    if count < MIN_PLATT or not looked[CHOOSE] or not looked[HELD_OUT]:
        return False, (
            f"{name}: {count} labelled queries to choose and report with are too few (at least "
            f"{MIN_PLATT}): it stays on"
        )
    once, twice = _ndcg(looked[CHOOSE])
    p = paired_test(once, twice, [one.group for one in looked[CHOOSE]])
    before, after = (values.mean() for values in _ndcg(looked[HELD_OUT]))
    clear = p < LEVEL
    worse = clear and twice.mean() < once.mean()
    figures = (
        f"nDCG@10 {once.mean():.3f} without and {twice.mean():.3f} with it on {len(once):,} "
        f"queries to choose with (p = {p:.3f}), {before:.3f} and {after:.3f} on "
        f"{len(looked[HELD_OUT]):,} held-out ones"
    )
    if worse and after <= before:
        return True, f"{name}: switched off here, for it is worse: {figures}"
    why = "not worse on held-out queries" if worse else "better" if clear else "no clear difference"
    return False, f"{name}: stays on, {why}: {figures}"


def _ndcg(looked: Sequence[Looked]) -> tuple[Numbers, Numbers]:
    """``(q,)`` each, looking once and looking twice."""
    return np.array([one.once for one in looked]), np.array([one.twice for one in looked])
