"""Nearest rows by inner product over vectors in memory: an exact scan, and a coded one.

The exact scan reads every vector once and runs at memory bandwidth. Past `EXACT_ROWS` that takes
too long, and 1-bit RaBitQ codes are scanned instead, 1/32 of the bytes, and the best of them
rescored. Both look at every row, so queries that lie far from all stored vectors (a text among
images) lose nothing, unlike with partitions or a graph.

Source: Gao, Long: RaBitQ, SIGMOD 2024 (arXiv 2405.12497).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import chain, pairwise
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyseek.core.runtime import available_cores
from polyseek.core.types import Floats

Rows: TypeAlias = "NDArray[np.int64]"

EXACT_ROWS = 250_000
"""Up to here the exact scan is used; measured in benchmarks/search_speed.py."""

MAX_THREADS = 4  # a few cores saturate the memory bus; more only steal from the encoder
_ROWS_PER_THREAD = 16_384
_GATHER_SHARE = 4  # scanning everything is faster than gathering more than a quarter of the rows
_TRAIN_ROWS = 20_000
_RESCORE_MIN, _RESCORE_PER_HIT = 400, 8
_SELECT_EXACT_ROWS = 20_000


class VectorIndex(Protocol):
    """Vectors in memory that can be searched."""

    def search(
        self,
        query: Floats,
        limit: int,
        rows: Rows | None = None,
        *,
        offsets: Floats | None = None,
    ) -> tuple[Rows, Floats]:
        """The best rows with their scores, in no particular order, ties with the last included.

        Args:
            query: ``(dim,)`` float32.
            limit: How many, at least; fewer when there are fewer rows.
            rows: Only look at these rows, ascending; None for all.
            offsets: ``(n,)`` float32, subtracted from the products with all n rows.
        """
        ...

    def gather(self, rows: Rows) -> Floats:
        """These vectors as float32."""
        ...

    @property
    def tier(self) -> str:
        """Name for `Candidates.tier`."""
        ...

    @property
    def recall(self) -> float | None:
        """Measured recall@10 against exact search."""
        ...


class ExactIndex:
    """``(n, dim)`` float32 vectors, scanned exactly."""

    tier = "memory-exact"
    recall: float | None = 1.0

    def __init__(self, vectors: Floats) -> None:
        self.vectors = vectors

    def search(
        self,
        query: Floats,
        limit: int,
        rows: Rows | None = None,
        *,
        offsets: Floats | None = None,
    ) -> tuple[Rows, Floats]:
        """See `VectorIndex`."""
        if rows is None:
            scores = inner_products(self.vectors, query)
            if offsets is not None:
                scores -= offsets
            best = top(scores, limit)
            return best, scores[best]
        if len(rows) * _GATHER_SHARE > len(self.vectors):
            scores = inner_products(self.vectors, query)[rows]
        else:
            scores = np.vecdot(self.vectors[rows], query)
        if offsets is not None:
            scores -= offsets[rows]
        best = top(scores, limit)
        return rows[best], scores[best]

    def gather(self, rows: Rows) -> Floats:
        """See `VectorIndex`."""
        return self.vectors[rows]


class CodedIndex:
    """Vectors as 1-bit codes for the scan and as float16 for rescoring its best.

    Memory: ``dim / 8 + 8`` and ``2 * dim`` bytes per row.
    """

    tier = "memory-coded"

    def __init__(self, blocks: Iterator[Floats], *, rows: int) -> None:
        self.recall: float | None = None
        first = next(blocks)
        self._half = np.empty((rows, first.shape[1]), np.float16)
        start = 0
        for block in chain([first], blocks):
            self._half[start : start + len(block)] = block
            start += len(block)
        self._rotation, self._shards = _encode(self._half)

    def search(
        self,
        query: Floats,
        limit: int,
        rows: Rows | None = None,
        *,
        offsets: Floats | None = None,
    ) -> tuple[Rows, Floats]:
        """See `VectorIndex`."""
        if rows is None or len(rows) > _SELECT_EXACT_ROWS:
            rows = self._coarse(query, max(_RESCORE_MIN, _RESCORE_PER_HIT * limit), rows)
        scores = np.vecdot(self._half[rows].astype(np.float32), query)
        if offsets is not None:
            scores -= offsets[rows]
        best = top(scores, limit)
        return rows[best], scores[best]

    def exact(self, queries: Floats, limit: int) -> Floats:
        """``(q, limit)`` highest scores of each query by a full scan; for measuring recall."""
        return exact_scores((self._half[i : i + 8192] for i in range(0, len(self._half), 8192)),
                          queries, limit)  # fmt: skip

    def gather(self, rows: Rows) -> Floats:
        """See `VectorIndex`."""
        return self._half[rows].astype(np.float32)

    def _coarse(self, query: Floats, depth: int, rows: Rows | None) -> Rows:
        with _own_threads_only():
            rotated = self._rotation.apply(query[None])
        per_shard = min(depth, len(self._half))

        def look(shard: tuple[int, Any]) -> Rows:
            start, index = shard
            with _own_threads_only():
                found = index.search(
                    rotated, min(per_shard, index.ntotal), params=_only(rows, shard)
                )
            numbers: Rows = found[1][0]
            return numbers[numbers >= 0] + start

        def scored(found: list[Rows]) -> Rows:
            return np.sort(np.concatenate(found)).astype(np.int64)

        return scored(_parallel(look, self._shards))


def _encode(half: NDArray[np.float16]) -> tuple[Any, list[tuple[int, Any]]]:
    """The rotation, and one code index per thread with its first row."""
    import faiss

    rows, dim = half.shape
    rotation = faiss.RandomRotationMatrix(dim, dim)
    trained = faiss.IndexRaBitQ(dim, faiss.METRIC_INNER_PRODUCT)
    step = max(1, rows // _TRAIN_ROWS)
    with _own_threads_only():
        rotation.init(7)
        trained.train(rotation.apply(half[::step][:_TRAIN_ROWS].astype(np.float32)))

    def shard(bounds: tuple[int, int]) -> tuple[int, Any]:
        start, end = bounds
        index = faiss.clone_index(trained)
        with _own_threads_only():
            for i in range(start, end, 8192):
                index.add(rotation.apply(half[i : min(end, i + 8192)].astype(np.float32)))
        return start, index

    bounds = np.unique(np.linspace(0, rows, _threads() + 1).astype(int)).tolist()
    return rotation, _parallel(shard, pairwise(bounds))


@contextmanager
def _own_threads_only() -> Iterator[None]:
    """Keep faiss, when called from this thread, from starting threads of its own beside ours.

    Those wait for each other by spinning: on a busy machine up to fifty times as long as they work.
    """
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _only(rows: Rows | None, shard: tuple[int, Any]) -> Any:
    """Search parameters that restrict a shard to these rows; None for all."""
    if rows is None:
        return None
    import faiss

    start, index = shard
    inside = rows[(rows >= start) & (rows < start + index.ntotal)] - start
    bits = np.zeros(index.ntotal, bool)
    bits[inside] = True
    # The stubs know the C++ signatures only, not the array forms of the Python wrappers.
    wrapped: Any = faiss
    selector = wrapped.IDSelectorBitmap(np.packbits(bits, bitorder="little"))
    return wrapped.RaBitQSearchParameters(sel=selector)


def inner_products(vectors: Floats, query: Floats) -> Floats:
    """``(n,)`` products of the rows with a query, at memory bandwidth.

    `np.vecdot` treats each row alone, so equal rows get equal scores wherever they lie (a matrix
    product does not promise that) and in our measurements reads memory 2.5 times as fast.
    """
    scores = np.empty(len(vectors), np.float32)
    parts = min(_threads(), 1 + len(vectors) // _ROWS_PER_THREAD)
    bounds = np.linspace(0, len(vectors), parts + 1).astype(int)

    def scan(part: int) -> None:
        a, b = bounds[part], bounds[part + 1]
        np.vecdot(vectors[a:b], query, out=scores[a:b])

    _parallel(scan, range(parts))
    return scores


def top(scores: Floats, limit: int) -> Rows:
    """Positions of the `limit` highest scores, and of all that equal the last of them.

    A sample gives a threshold that most scores fail, so that only a few have to be partitioned.
    """
    count = len(scores)
    if limit >= count:
        return np.arange(count)
    above = np.arange(count)
    if count > 64 * limit and count > 4096:
        step = max(1, count // (32 * limit) // 4)
        sample = scores[::step]
        keep = min(len(sample), max(8, 4 * limit * len(sample) // count))
        passing = np.flatnonzero(scores >= np.partition(sample, len(sample) - keep)[-keep])
        above = passing if len(passing) >= limit else above
    values = scores[above]
    last = np.partition(values, len(values) - limit)[-limit]
    best: Rows = above[values >= last]
    return best


def exact_scores(blocks: Iterable[NDArray[Any]], queries: Floats, limit: int) -> Floats:
    """``(q, limit)`` highest scores of each query over vectors that come in blocks."""
    best = np.full((len(queries), limit), -np.inf, np.float32)
    for block in blocks:
        scores = np.hstack([best, queries @ block.astype(np.float32, copy=False).T])
        best = np.partition(scores, scores.shape[1] - limit, axis=1)[:, -limit:]
    return best


def _threads() -> int:
    return min(MAX_THREADS, available_cores())


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_threads(), thread_name_prefix="polyseek-scan")


def _parallel(work: Callable[[Any], Any], parts: Iterable[Any]) -> list[Any]:
    """The work on each part, the first in this thread."""
    first, *others = parts
    waiting = [_pool().submit(work, part) for part in others]
    return [work(first), *(future.result() for future in waiting)]
