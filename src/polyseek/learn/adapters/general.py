"""What an adapter does to everything it was not fitted for."""

from __future__ import annotations

import numpy as np

from polyseek.core.types import Floats

DEPTH = 10


def kept(before: Floats, after: Floats, items: Floats) -> float:
    """Share of what generic queries find among generic items that they still find.

    Args:
        before: ``(q, dim)`` queries that have nothing to do with the pairs.
        after: ``(q, dim)`` the same, adapted.
        items: ``(n, dim)`` items that have nothing to do with them, either.

    Returns:
        Of the `DEPTH` nearest items of each query, how many stay among them: 0 to 1.
    """
    depth = min(DEPTH, len(items))
    return float(np.mean([_overlap(a, b) for a, b in zip(
        _nearest(before, items, depth), _nearest(after, items, depth), strict=True
    )]))  # fmt: skip


def _nearest(queries: Floats, items: Floats, depth: int) -> list[set[int]]:
    order = np.argsort(-(queries @ items.T), axis=1, kind="stable")[:, :depth]
    return [set(row) for row in order.tolist()]


def _overlap(a: set[int], b: set[int]) -> float:
    return len(a & b) / len(a)
