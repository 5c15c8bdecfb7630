"""The first rungs: maps that a decomposition gives, with the unadapted vector as their prior."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polyseek.core.maps import QueryMap
from polyseek.core.types import Floats

Doubles = NDArray[np.float64]

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""In units of the features' variance, see `_unit_of`; the highest first."""

CCA_DIMS = 256

MIN_KEEP = 1e-3
"""The unadapted vector always counts a little: it is the direction where nothing was learned."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examples:
    """Linked rows to fit on, m of them.

    Attributes:
        features: ``(m, f)`` of the queries.
        unadapted: ``(m, dim)`` where the queries lie without an adapter.
        targets: ``(m, dim)`` what they shall find.
        target_rows: ``(m,)`` which of the targets are the same item.
    """

    features: Floats
    unadapted: Floats
    targets: Floats
    target_rows: NDArray[np.int64]


class Rung(Protocol):
    """A way to fit a map."""

    @property
    def name(self) -> str:
        """As reports show it."""
        ...

    def path(self, examples: Examples, only: int | None = None) -> Iterator[QueryMap]:
        """One map for each setting, always in the same order; the caller picks on other pairs.

        Args:
            examples: To fit on.
            only: The one setting that is wanted.
        """
        ...


class Ridge:
    """Linear regression of what the unadapted vector leaves to be explained.

    With few pairs, or a high penalty, it is the unadapted search.
    """

    name = "ridge"

    def path(self, examples: Examples, only: int | None = None) -> Iterator[QueryMap]:
        """See `Rung`."""
        x, mean = _centred(examples.features)
        y, _ = _centred(examples.targets)
        z, _ = _centred(examples.unadapted)
        explained = float((z * y).sum()) / max(float((z * z).sum()), 1e-9)
        keep = max(explained, MIN_KEEP)
        values, vectors = _eigen(x)
        rest = vectors.T @ _product(x, y - keep * z)
        for penalty in _chosen(only):
            weights = vectors @ (rest / (values + penalty * _unit_of(values))[:, None])
            yield QueryMap.linear(keep=keep, mean=mean, weights=weights)


class Cca:
    """Canonical correlations, weighted by themselves; both sides' maps folded into the queries."""

    name = "cca"

    def path(self, examples: Examples, only: int | None = None) -> Iterator[QueryMap]:
        """See `Rung`."""
        x, mean = _centred(examples.features)
        y, _ = _centred(examples.targets)
        both, of_x, of_y = _product(x, y), _eigen(x), _eigen(y)
        for penalty in _chosen(only):
            wx, wy = _whitener(*of_x, penalty), _whitener(*of_y, penalty)
            u, correlations, vt = np.linalg.svd(wx @ both @ wy, full_matrices=False)
            kept = correlations[:CCA_DIMS]
            left, right = wx @ u[:, : len(kept)], wy @ vt[: len(kept)].T
            yield QueryMap.linear(keep=0.0, mean=mean, weights=(left * kept) @ right.T)


def _chosen(only: int | None) -> Sequence[float]:
    return PENALTIES if only is None else PENALTIES[only : only + 1]


def _whitener(values: Doubles, vectors: Doubles, penalty: float) -> Doubles:
    root: Doubles = (vectors / np.sqrt(values + penalty * _unit_of(values))) @ vectors.T
    return root


def _unit_of(values: Doubles) -> float:
    """What penalties count in: a tenth of the eigenvalues' sum over the root of their number."""
    return max(float(values.sum()) / float(np.sqrt(len(values))) / 10, 1e-9)


def _eigen(rows: Floats) -> tuple[Doubles, Doubles]:
    """Eigenvalues and eigenvectors of the covariance of centred rows."""
    values, vectors = np.linalg.eigh(_product(rows, rows))
    return np.maximum(values, 0), vectors


def _product(left: Floats, right: Floats) -> Doubles:
    """Covariance of centred rows."""
    found: Doubles = (left.T @ right).astype(np.float64) / len(left)
    return found


def _centred(rows: Floats) -> tuple[Floats, Floats]:
    mean = rows.mean(axis=0)
    return rows - mean, mean
