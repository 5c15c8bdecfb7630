"""Hub bias: how close a segment lies to queries in general."""

from __future__ import annotations

import numpy as np

from polyseek.core.types import Floats

NEIGHBOURS = 16
_BLOCK = 4096


def hub_bias(vectors: Floats, bank: Floats, *, neighbours: int = NEIGHBOURS) -> Floats:
    """Mean cosine of each segment with the bank's queries that are nearest to it.

    A segment that is close to many queries of the bank turns up for queries it has nothing to do
    with; part of this is subtracted from its scores.

    Args:
        vectors: ``(n, dim)`` float32, unit length.
        bank: ``(m, dim)`` float32, unit length: queries like those people ask.
        neighbours: How many of the bank count; all when it has fewer.

    Returns:
        ``(n,)`` float32.

    Source: Chowdhury et al.: Nearest Neighbor Normalization, EMNLP 2024 (arXiv 2410.24114).
    """
    nearest = min(neighbours, len(bank))
    found = np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), _BLOCK):
        cosines = vectors[start : start + _BLOCK] @ bank.T
        best = np.partition(cosines, cosines.shape[1] - nearest, axis=1)[:, -nearest:]
        found[start : start + _BLOCK] = best.mean(axis=1)
    return found
