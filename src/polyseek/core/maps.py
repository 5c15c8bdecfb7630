"""Maps from features to places among unit vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyseek.core.tuning import Numbers
from polyseek.core.types import Floats


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class QueryMap:
    """A query's features -> its place among segments of another modality.

    The place is the direction of ``keep * unadapted + (features - mean) @ weights``, plus
    ``relu(features @ inner + offset) @ outer`` where there is a hidden layer.

    Attributes:
        keep: How much the unadapted vector counts.
        mean: ``(f,)`` of the features.
        weights: ``(f, dim)``.
        inner: ``(f, h)``; h is 0 for a linear map.
        offset: ``(h,)``.
        outer: ``(h, dim)``.
    """

    keep: float
    mean: Floats
    weights: Floats
    inner: Floats
    offset: Floats
    outer: Floats

    @classmethod
    def linear(cls, *, keep: float, mean: Floats, weights: Numbers) -> QueryMap:
        """A map without a hidden layer."""
        features, dim = weights.shape
        return cls(
            keep=keep,
            mean=mean.astype(np.float32),
            weights=weights.astype(np.float32),
            inner=np.zeros((features, 0), np.float32),
            offset=np.zeros(0, np.float32),
            outer=np.zeros((0, dim), np.float32),
        )

    def __call__(self, features: Floats, unadapted: Floats) -> Floats:
        """``(n, dim)`` unit length from ``(n, f)`` features and ``(n, dim)`` unadapted vectors."""
        centred = features - self.mean
        moved = self.keep * unadapted + centred @ self.weights
        if len(self.offset):
            moved = moved + np.maximum(centred @ self.inner + self.offset, 0) @ self.outer
        return unit_or(moved, unadapted)


def unit_or(rows: Numbers, otherwise: Floats) -> Floats:
    """Rows at unit length; one without a direction is replaced."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    flat = lengths < 1e-9
    scaled: Floats = np.where(flat, otherwise, rows / np.where(flat, 1, lengths))
    return scaled.astype(np.float32)
