"""The last rung: a small network that corrects a closed-form map, trained to tell items apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.maps import QueryMap
from polyseek.core.types import Floats
from polyseek.learn.adapters.closed_form import Examples, Ridge

START = 1
"""Which of the ridge maps it starts from."""

HIDDEN = 256
EPOCHS = 4
TEMPERATURE = 0.03
RATE = 5e-4
DECAY = 0.02
"""Of the distance from the closed-form map, per step and unit of the rate."""

BATCH = 256
ALIKE = 0.9
"""Items whose adapted neighbourhoods are this alike are not told apart: they may both be right."""

_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-8
_SEED = 0


class Residual:
    """Contrastive training from a firmly penalised ridge map; the path is one map per epoch.

    A map that already fits its pairs leaves nothing to learn: on photographs the gain is twice as
    high from a penalty of 3 as from the one that is best for ridge itself.
    """

    name = "residual"

    def path(self, examples: Examples, only: int | None = None) -> Iterator[QueryMap]:
        """See `Rung`."""
        start = next(iter(Ridge().path(examples, START)))
        for epoch, found in enumerate(_epochs(start, examples)):
            if only in (None, epoch):
                yield found
            if only == epoch:
                return


def _epochs(start: QueryMap, examples: Examples) -> Iterator[QueryMap]:
    rng = np.random.default_rng(_SEED)
    features, dim = start.weights.shape
    inner = rng.normal(0, 1 / np.sqrt(features), (features, HIDDEN)).astype(np.float32)
    found = replace(
        start,
        inner=inner,
        offset=np.zeros(HIDDEN, np.float32),
        outer=np.zeros((HIDDEN, dim), np.float32),
    )
    targets, forbidden = _items(examples)
    optimiser = _Adam()
    for _ in range(EPOCHS):
        order = rng.permutation(len(examples.features))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            gradient = _gradient(found, examples, rows, targets=targets, forbidden=forbidden)
            gradient["weights"] += DECAY * (found.weights - start.weights)
            found = optimiser.step(found, gradient)
        yield found


def _items(examples: Examples) -> tuple[Floats, NDArray[np.bool_]]:
    """``(n, dim)`` every target once, and ``(n, n)`` which of them are not told apart."""
    _, first = np.unique(examples.target_rows, return_index=True)
    targets = examples.targets[first]
    centred = targets - targets.mean(axis=0)
    centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-9)
    return targets, centred @ centred.T >= ALIKE


def _gradient(
    found: QueryMap,
    examples: Examples,
    rows: NDArray[np.int64],
    *,
    targets: Floats,
    forbidden: NDArray[np.bool_],
) -> dict[str, Floats]:
    """Of the cross entropy of the right target among all that are told apart from it.

    Source: van den Oord et al.: Representation learning with contrastive predictive coding, 2018
    (arXiv 1807.03748).
    """
    x = examples.features[rows] - found.mean
    hidden = x @ found.inner + found.offset
    active = np.maximum(hidden, 0)
    moved = found.keep * examples.unadapted[rows] + x @ found.weights + active @ found.outer
    length = np.maximum(np.linalg.norm(moved, axis=1, keepdims=True), 1e-9)
    placed = moved / length
    right = examples.target_rows[rows]
    logits = placed @ targets.T / TEMPERATURE
    masked = forbidden[right]
    masked[np.arange(len(rows)), right] = False
    logits[masked] = -np.inf
    share = np.exp(logits - logits.max(axis=1, keepdims=True))
    share /= share.sum(axis=1, keepdims=True)
    share[np.arange(len(rows)), right] -= 1
    by_place = share @ targets / (TEMPERATURE * len(rows))
    by_moved = (by_place - placed * (placed * by_place).sum(axis=1, keepdims=True)) / length
    by_hidden = (by_moved @ found.outer.T) * (hidden > 0)
    return {
        "weights": x.T @ by_moved,
        "outer": active.T @ by_moved,
        "inner": x.T @ by_hidden,
        "offset": by_hidden.sum(axis=0),
    }


class _Adam:
    """Adaptive steps (Kingma, Ba: Adam, ICLR 2015)."""

    def __init__(self) -> None:
        self._steps = 0
        self._means: dict[str, Floats] = {}
        self._squares: dict[str, Floats] = {}

    def step(self, found: QueryMap, gradient: dict[str, Floats]) -> QueryMap:
        """The map after one step."""
        self._steps += 1
        after: dict[str, Any] = {}
        for name, slope in gradient.items():
            mean = self._means.get(name, np.zeros_like(slope))
            square = self._squares.get(name, np.zeros_like(slope))
            mean = _BETA_1 * mean + (1 - _BETA_1) * slope
            square = _BETA_2 * square + (1 - _BETA_2) * slope**2
            self._means[name], self._squares[name] = mean, square
            rate = RATE * np.sqrt(1 - _BETA_2**self._steps) / (1 - _BETA_1**self._steps)
            after[name] = getattr(found, name) - rate * mean / (np.sqrt(square) + _EPSILON)
        return replace(found, **after)
