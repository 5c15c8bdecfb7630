"""Fitting the fusion model to pairs, and refusing it where it is not better."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import ConfigError
from polyseek.core.fusion import FEATURES, Features, FusionModel
from polyseek.core.metrics import ndcg_at, paired_test

MIN_QUERIES = 50
"""With an answer among their candidates, on either side of the split."""

LEVEL = 0.05
RIDGE = 1e-3
_STEPS = 30
AT = 10


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Case:
    """A query's candidates, best first.

    Attributes:
        features: ``(n, f)`` `core.fusion.FEATURES`.
        gains: ``(n,)`` relevance of each; 0 for irrelevant.
        ideal: Relevance of all that answers the query, among the candidates or not.
        group: What it is about; queries about the same stay on one side of the split.
    """

    features: Features
    gains: NDArray[np.float64]
    ideal: Sequence[float]
    group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """What fitting came to.

    Attributes:
        model: None where it was refused.
        note: What was measured, for people.
    """

    model: FusionModel | None
    note: str


def learn_fusion(cases: Sequence[Case]) -> Fitted:
    """Fit on half of the queries, judge on the other half.

    Args:
        cases: Queries with their candidates as a search without the model ranks them.

    Raises:
        ConfigError: There are too few queries whose answer is among their candidates.
    """
    fitting: list[Case] = []
    held_out: list[Case] = []
    for case in cases:
        digest = hashlib.blake2b(case.group.encode(errors="surrogateescape"), digest_size=1)
        (fitting if digest.digest()[0] % 2 else held_out).append(case)
    for side in (fitting, held_out):
        found = sum(1 for case in side if case.gains.any())
        if found < MIN_QUERIES:
            raise ConfigError(
                f"{found} queries in one half have an answer among their candidates; learning "
                f"needs at least {MIN_QUERIES}: give more pairs"
            )
    model = _fit(fitting)
    before = _quality(held_out, None)
    after = _quality(held_out, model)
    p = paired_test(before, after, [case.group for case in held_out])
    figures = (
        f"nDCG@{AT} {before.mean():.3f} -> {after.mean():.3f} on {len(held_out):,} queries that "
        f"were left out (p = {p:.3f})"
    )
    if after.mean() <= before.mean() or p >= LEVEL:
        return Fitted(model=None, note=f"refused, not better: {figures}")
    note = f"fitted on {len(fitting):,} queries; {figures}"
    return Fitted(model=FusionModel(weights=model.weights, note=note), note=note)


def _fit(cases: Sequence[Case]) -> FusionModel:
    """Weights under which the relevant candidates of each query are chosen among all of its own.

    A conditional logit by Newton's method, drawn towards the order there is: the log-odds alone.

    Source: McFadden: Conditional logit analysis of qualitative choice behavior, 1974.
    """
    known = [case for case in cases if case.gains.any() and not case.gains.all()]
    scale = np.maximum(np.concatenate([case.features for case in known]).std(axis=0), 1e-9)
    start = np.zeros(len(scale))
    start[FEATURES.index("log_odds")] = scale[FEATURES.index("log_odds")]
    weights = start.copy()
    for _ in range(_STEPS):
        gradient, curvature = RIDGE * (weights - start), RIDGE * np.eye(len(scale))
        for case in known:
            rows = case.features / scale
            odds = rows @ weights
            chosen = np.exp(odds - odds.max())
            chosen /= chosen.sum()
            expected = chosen @ rows
            gradient += (expected - case.gains / case.gains.sum() @ rows) / len(known)
            apart = rows - expected
            curvature += (apart * chosen[:, None]).T @ apart / len(known)
        step = np.linalg.solve(curvature, gradient)
        weights -= step
        if np.abs(step).max() < 1e-6:
            break
    return FusionModel(weights=tuple((weights / scale).tolist()))


def _quality(cases: Sequence[Case], model: FusionModel | None) -> NDArray[np.float64]:
    """``(q,)`` nDCG of the order as it was, or as the model gives it."""
    values = []
    for case in cases:
        order = np.arange(len(case.gains))
        if model is not None:
            order = np.argsort(-model.score(case.features), kind="stable")
        ideal = np.array(case.ideal)[None]
        values.append(ndcg_at(case.gains[order][None], ideal, AT)[0])
    return np.array(values)
