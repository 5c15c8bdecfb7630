"""Finding segments by sparse vectors."""

from __future__ import annotations

import numpy as np
import pytest

from polyseek.core.filters import parse
from polyseek.core.hits import Candidates, Retrieval
from polyseek.core.protocols import Store
from polyseek.core.sparse import SparseVector
from polyseek.testing.store.samples import DIM, TEXT, Row, axis, put, row, stored, unit, uris

VOCABULARY = 200


class SparseChecks:
    """Checks that need a `store` fixture."""

    def test_products_are_exact(self, store: Store) -> None:
        rng = np.random.default_rng(0)
        rows = [row(f"mem:/{i}", sparse=_random(rng), metadata={"n": i}) for i in range(60)]
        put(store, *rows[:30], row("mem:/none"))
        put(store, *rows[30:])
        for query in (_random(rng), _random(rng)):
            expected = _products(rows, query)
            found = ask(store, query)
            products = {hit.id: hit.sparse_score for hit in found.hits}
            assert products == pytest.approx(expected, abs=1e-6)
            scores = [hit.sparse_score or 0.0 for hit in found.hits]
            assert scores == sorted(scores, reverse=True)
            assert found.rows == 61
            best = [hit.id for hit in found.hits]
            assert [hit.id for hit in ask(store, query, limit=5).hits] == best[:5]
            some = ask(store, query, where="n < 10")
            assert some.rows == 10
            assert [h.id for h in some.hits] == [h.id for h in found.hits if h.metadata["n"] < 10]  # type: ignore[operator]

    def test_a_hit_has_its_cosine_and_rows_without_are_no_candidates(self, store: Store) -> None:
        a, query = unit(np.arange(1.0, DIM + 1)), SparseVector.of({3: 2.0, 9: 1.0})
        put(store, row("mem:/a", shared=a, sparse=SparseVector.of({3: 0.5})), row("mem:/b"))
        (hit,) = ask(store, query).hits
        assert (hit.uri, hit.sparse_score, hit.rank) == ("mem:/a", 1.0, 1)
        assert hit.score == pytest.approx(float(a[0]), abs=1e-5)
        assert not ask(store, SparseVector.of({4: 1.0})).hits
        assert not ask(store, SparseVector.of({})).hits

    def test_sparse_vectors_come_back_and_follow_writes(self, store: Store) -> None:
        vector = SparseVector.of({0: -1.5, 7: 0.25, 2**31 - 1: 3.0})
        put(store, row("mem:/plain"))
        assert not ask(store, vector).hits
        put(store, row("mem:/a", sparse=vector), row("mem:/b", sparse=SparseVector.of({7: 1.0})))
        (got,) = stored(store, "mem:/a").values()
        assert got.segment.sparse is not None
        np.testing.assert_array_equal(got.segment.sparse.indices, vector.indices)
        np.testing.assert_array_equal(got.segment.sparse.weights, vector.weights)
        with store.writing():
            store.optimize()
        assert uris(ask(store, vector)) == {"mem:/a", "mem:/b"}
        put(store, row("mem:/a"))
        assert uris(ask(store, vector)) == {"mem:/b"}
        assert next(iter(stored(store, "mem:/a").values())).segment.sparse is None


def ask(
    store: Store, vector: SparseVector, *, where: str | None = None, limit: int = 100
) -> Candidates:
    """A search by a sparse vector among texts."""
    condition = parse(where) if where else None
    return store.search_sparse(
        vector, Retrieval(vector=axis(0), modality=TEXT, limit=limit, filter=condition)
    )


def _random(rng: np.random.Generator) -> SparseVector:
    indices = rng.choice(VOCABULARY, 12, replace=False).tolist()
    return SparseVector.of(dict(zip(indices, rng.normal(size=12).tolist(), strict=True)))


def _products(rows: list[Row], query: SparseVector) -> dict[str, float]:
    dense = np.zeros(VOCABULARY)
    dense[query.indices] = query.weights
    found = {}
    for each in rows:
        vector = each.segment.sparse
        if vector is not None and np.isin(vector.indices, query.indices).any():
            found[each.segment.id] = float(dense[vector.indices] @ vector.weights)
    return found
