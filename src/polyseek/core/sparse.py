"""Sparse vectors: a weight for each of a few of very many indices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SparseVector:
    """A vector of which only a few components are not 0, as SPLADE and its kin make them.

    Attributes:
        indices: ``(k,)`` int32, ascending, each once, 0 or more.
        weights: ``(k,)`` float32, finite.

    Raises:
        ValueError: They are not.
    """

    indices: NDArray[np.int32]
    weights: NDArray[np.float32]

    def __post_init__(self) -> None:
        indices, weights = self.indices, self.weights
        if indices.shape != weights.shape or indices.ndim != 1:
            raise ValueError(
                f"a sparse vector has as many indices as weights; got shapes {indices.shape} and "
                f"{weights.shape}"
            )
        if len(indices) and (indices[0] < 0 or not (np.diff(indices) > 0).all()):
            raise ValueError("a sparse vector's indices are ascending, each once, 0 or more")
        if not np.isfinite(weights).all():
            raise ValueError("a sparse vector's weights must be finite")

    @classmethod
    def of(cls, weights: Mapping[int, float]) -> SparseVector:
        """From weights by index; zeros are left out."""
        kept = sorted((index, weight) for index, weight in weights.items() if weight)
        return cls(
            indices=np.array([index for index, _ in kept], np.int32),
            weights=np.array([weight for _, weight in kept], np.float32),
        )
