"""Recall of an approximate index against exact search, for two kinds of query.

Indexes are usually judged by queries that look like the stored vectors. A text among pictures does
not: it lies off to one side of all of them. So recall is measured for stored vectors plus noise,
and for the same moved far away by one constant shift, and the lower of the two is reported.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from polyseek.core.types import Floats
from polyseek.store.layout import unit_rows
from polyseek.store.scan import Rows

QUERIES = 64
AT = 10
_NOISE = 0.3
_TOLERANCE = 1e-5  # of sums in another order


def sample_rows(rows: int) -> Rows:
    """Row numbers, ascending, whose vectors the queries are made from; the same every time."""
    return np.sort(np.random.default_rng(0).choice(rows, min(rows, QUERIES), replace=False))


def measure(
    near: Floats,
    *,
    search: Callable[[Floats], Floats],
    exact: Callable[[Floats], Floats],
) -> float:
    """Recall@10. A found row counts when no more than nine rows score higher: copies are as good.

    Args:
        near: ``(q, dim)`` stored vectors, at `sample_rows`.
        search: ``(10,)`` scores of the index's best rows for one query.
        exact: ``(q, 10)`` true best scores of each query.
    """
    rng = np.random.default_rng(0)
    noise = rng.normal(size=near.shape).astype(np.float32) / np.sqrt(near.shape[1])
    shift = noise[0] / np.linalg.norm(noise[0])
    recalls = []
    for queries in (unit_rows(near + _NOISE * noise), unit_rows(near + noise + shift)):
        tenth_best = exact(queries).min(axis=1)
        found = sum(
            np.count_nonzero(search(query) >= least - _TOLERANCE)
            for query, least in zip(queries, tenth_best, strict=True)
        )
        recalls.append(found / (len(queries) * AT))
    return float(min(recalls))
