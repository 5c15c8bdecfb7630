"""The first rungs: maps that a decomposition gives, with the unadapted vector as their prior."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from polyseek.core.adapting import QueryMap
from polyseek.core.types import Floats

Doubles = NDArray[np.float64]

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003)
"""In units of the features' variance, see `_unit_of`; the highest first."""

CCA_DIMS = 256
CCA_PENALTIES = (3.0, 1.0, 0.3, 0.1, 0.03, 0.01)


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

    def path(self, examples: Examples) -> Iterator[QueryMap]:
        """One map for each setting, always in the same order; the caller picks on other pairs."""
        ...


class Ridge:
    """Linear regression of what the unadapted vector leaves to be explained.

    With few pairs, or a high penalty, it is the unadapted search.
    """

    name = "ridge"

    def path(self, examples: Examples) -> Iterator[QueryMap]:
        """See `Rung`."""
        x, mean = _centred(examples.features)
        y, _ = _centred(examples.targets)
        z, _ = _centred(examples.unadapted)
        keep = max(float((z * y).sum() / max(float((z * z).sum()), 1e-12)), 0.0)
        keep = max(keep, 1e-3)
        values, vectors = np.linalg.eigh(x.T @ x / len(x))
        explained = vectors.T @ (x.T @ (y - keep * z)) / len(x)
        scale = _unit_of(values)
        for penalty in PENALTIES:
            weights = vectors @ (explained / (np.maximum(values, 0) + penalty * scale)[:, None])
            yield QueryMap.linear(keep=keep, mean=mean, weights=weights)


class Cca:
    """Canonical correlations, weighted by themselves; both sides' maps folded into the queries."""

    name = "cca"

    def path(self, examples: Examples) -> Iterator[QueryMap]:
        """See `Rung`."""
        x, mean = _centred(examples.features)
        y, _ = _centred(examples.targets)
        cxx, cyy, cxy = x.T @ x / len(x), y.T @ y / len(x), x.T @ y / len(x)
        for penalty in CCA_PENALTIES:
            wx, wy = _whitener(cxx, penalty), _whitener(cyy, penalty)
            u, correlations, vt = np.linalg.svd(wx @ cxy @ wy, full_matrices=False)
            kept = correlations[:CCA_DIMS]
            left, right = wx @ u[:, : len(kept)], wy @ vt[: len(kept)].T
            yield QueryMap.linear(keep=0.0, mean=mean, weights=(left * kept) @ right.T)


def _whitener(covariance: Doubles, penalty: float) -> Doubles:
    values, vectors = np.linalg.eigh(covariance)
    raised = np.maximum(values, 0) + penalty * _unit_of(values)
    root: Doubles = (vectors / np.sqrt(raised)) @ vectors.T
    return root


def _unit_of(values: Doubles) -> float:
    """What penalties count in: a tenth of the eigenvalues' sum over the root of their number."""
    return max(float(values.sum()) / float(np.sqrt(len(values))) / 10, 1e-9)


def _centred(rows: Floats) -> tuple[Doubles, Floats]:
    mean = rows.mean(axis=0)
    return (rows - mean).astype(np.float64), mean
