"""Logistic regression with few features: what calibrations are fitted with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

RIDGE = 1e-3
_STEPS = 50


def fit_logistic(
    features: NDArray[np.floating], labels: NDArray[np.bool_], weights: Doubles | None = None
) -> Doubles:
    """Weights of a logistic regression by Newton's method.

    Labels are smoothed towards each other as Platt proposes, so that examples that a line
    separates do not drive the slope to infinity.

    Args:
        features: ``(n, f)``.
        labels: ``(n,)`` whether each example is relevant; both kinds must occur.
        weights: ``(n,)`` how much each example counts; equally if None.

    Returns:
        ``(1 + f,)``: intercept and one weight per feature.

    Raises:
        ValueError: Only one kind of example is there.

    Source: Platt: Probabilistic outputs for support vector machines, 1999.
    """
    positive = int(labels.sum())
    negative = len(labels) - positive
    if not positive or not negative:
        raise ValueError("a calibration needs relevant and irrelevant examples")
    target = np.where(labels, (positive + 1) / (positive + 2), 1 / (negative + 2))
    share = np.full(len(labels), 1 / len(labels)) if weights is None else weights / weights.sum()
    features = features.astype(np.float64)
    mean = features.mean(axis=0)
    scale = np.maximum(features.std(axis=0), 1e-9)
    design = np.column_stack([np.ones(len(features)), (features - mean) / scale])
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0
    found = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        predicted = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        gradient = design.T @ (share * (predicted - target)) + penalty @ found
        curvature = (design * (share * predicted * (1 - predicted))[:, None]).T @ design + penalty
        step = np.linalg.solve(curvature + 1e-9 * np.eye(len(curvature)), gradient)
        found -= step
        if np.abs(step).max() < 1e-8:
            break
    slopes = found[1:] / scale
    return np.concatenate([[found[0] - slopes @ mean], slopes])
