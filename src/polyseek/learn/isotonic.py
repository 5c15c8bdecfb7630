"""Isotonic regression as a bend of a calibration's log-odds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from polyseek.core.tuning import Numbers

MIN_BLOCK = 25
"""Examples that a point of the curve stands for, so that it is no accident of a few."""

_RISE = 1e-3  # flat steps rise a little, so that the order by score is kept
_CLIP = 1e-4


def fit_curve(log_odds: Numbers, relevant: NDArray[np.bool_]) -> Sequence[tuple[float, float]]:
    """Points of an increasing curve from a calibration's log-odds to better ones.

    Args:
        log_odds: ``(n,)`` of a calibration.
        relevant: ``(n,)`` what the examples turned out to be.

    Returns:
        At least two points, or none where the examples allow no curve.

    Source: Zadrozny, Elkan: Transforming classifier scores into accurate multiclass probability
    estimates, KDD 2002; pool adjacent violators.
    """
    order = np.argsort(log_odds, kind="stable")
    x, hits = log_odds[order].astype(np.float64), relevant[order].astype(np.float64)
    parts = np.array_split(np.arange(len(x)), max(1, len(x) // MIN_BLOCK))
    blocks: list[tuple[float, float, float]] = []  # sum of x, sum of hits, count
    for part in parts:
        block = float(x[part].sum()), float(hits[part].sum()), float(len(part))
        while blocks and blocks[-1][1] * block[2] >= block[1] * blocks[-1][2]:  # falls
            before = blocks.pop()
            block = before[0] + block[0], before[1] + block[1], before[2] + block[2]
        blocks.append(block)
    if len(blocks) < 2:
        return ()
    middle = np.array([block[0] / block[2] for block in blocks])
    rate = np.clip([_rate(block) for block in blocks], _CLIP, 1 - _CLIP)
    height = np.log(rate / (1 - rate)) + _RISE * middle
    points: list[tuple[float, float]] = []
    for place, odds in zip(middle.tolist(), height.tolist(), strict=True):
        if not points or (place > points[-1][0] and odds > points[-1][1]):
            points.append((place, odds))
    return points if len(points) > 1 else ()


def _rate(block: tuple[float, float, float]) -> float:
    """Share of hits, kept off 0 and 1 by half an example (Krichevsky and Trofimov)."""
    return (block[1] + 0.5) / (block[2] + 1)
