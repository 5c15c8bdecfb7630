"""Scanning vectors in memory, against NumPy's answer computed the plain way."""

import numpy as np
import pytest

from polyseek.store import scan
from polyseek.store.scan import CodedIndex, ExactIndex, exact_scores, inner_products, top


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def vectors(count, dim, seed=0):
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


def clustered(rng, *, count, dim):
    """Like embeddings of one modality: groups in a cone, where the mean cosine is 0.4."""
    centres = rng.normal(size=(200, dim)) + np.eye(dim)[0] * np.sqrt(dim)
    spread = 0.5 * rng.normal(size=(count, dim))
    return unit(centres[rng.integers(0, 200, count)] + spread)


def brute_force(rows_, query, limit, among=None):
    """The row numbers whose scores reach the limit-th best: ties with it included."""
    among = np.arange(len(rows_)) if among is None else among
    scores = rows_[among].astype(np.float64) @ query.astype(np.float64)
    if limit >= len(among):
        return set(among.tolist())
    return set(among[scores >= np.sort(scores)[-limit] - 1e-7].tolist())


@pytest.fixture(params=[1, 3])
def threads(request, monkeypatch):
    """Scans on one thread and on several, in pools of their own."""
    monkeypatch.setattr(scan, "_threads", lambda: request.param)
    monkeypatch.setattr(scan, "_ROWS_PER_THREAD", 100)
    scan._pool.cache_clear()
    yield request.param
    scan._pool().shutdown()
    scan._pool.cache_clear()


@pytest.mark.parametrize(("count", "dim"), [(1, 3), (7, 1), (350, 13), (5000, 64)])
@pytest.mark.parametrize("limit", [1, 5, 7, 10_000])
def test_the_exact_scan_finds_what_numpy_finds(threads, count, dim, limit):
    stored, query = vectors(count, dim), vectors(1, dim, seed=1)[0]
    rows, scores = ExactIndex(stored).search(query, limit)
    assert set(rows.tolist()) == brute_force(stored, query, limit)
    assert len(set(rows.tolist())) == len(rows)
    np.testing.assert_allclose(scores, stored[rows] @ query, atol=1e-6)


def test_thread_counts_change_no_bit(monkeypatch):
    stored, query = vectors(2011, 17), vectors(1, 17, seed=1)[0]
    monkeypatch.setattr(scan, "_ROWS_PER_THREAD", 50)
    answers = []
    for count in (1, 2, 4):
        monkeypatch.setattr(scan, "_threads", lambda count=count: count)
        scan._pool.cache_clear()
        answers.append(inner_products(stored, query).tobytes())
        scan._pool().shutdown()
    scan._pool.cache_clear()
    assert len(set(answers)) == 1


@pytest.mark.parametrize("share", [0, 1, 30, 300, 999, 1000], ids="{} of 1000 rows".format)
@pytest.mark.parametrize("limit", [1, 20, 1000])
def test_only_the_wanted_rows_are_looked_at(share, limit):
    stored, query = vectors(1000, 9), vectors(1, 9, seed=1)[0]
    among = np.sort(np.random.default_rng(2).choice(1000, share, replace=False))
    rows, scores = ExactIndex(stored).search(query, limit, among)
    assert set(rows.tolist()) == brute_force(stored, query, limit, among)
    np.testing.assert_allclose(scores, stored[rows] @ query, atol=1e-6)


def test_equal_rows_have_equal_scores_wherever_they_lie(threads):
    stored = vectors(999, 33)
    stored[[0, 5, 333, 998]] = stored[5]
    assert len(set(inner_products(stored, vectors(1, 33, seed=1)[0])[[0, 5, 333, 998]])) == 1


@pytest.mark.parametrize("count", [10, 5000], ids=["partitioned", "sampled first"])
def test_all_ties_with_the_last_are_returned(count):
    scores = np.zeros(count, np.float32)
    scores[[2, 3, 7]] = 0.5
    scores[9] = 0.9
    assert top(scores, 1).tolist() == [9]
    for limit in (2, 3, 4):
        assert top(scores, limit).tolist() == [2, 3, 7, 9]
    assert top(scores, 5).tolist() == list(range(count))


def test_identical_vectors_all_tie():
    stored = np.repeat(vectors(1, 8), 300, axis=0)
    rows, _ = ExactIndex(stored).search(stored[0], 10)
    assert rows.tolist() == list(range(300))


@pytest.mark.parametrize("shape", ["random", "rising", "falling", "few values", "one peak"])
def test_the_sample_never_changes_the_best(shape):
    rng, count = np.random.default_rng(0), 20_000
    scores = {
        "random": rng.random(count),
        "rising": np.linspace(0, 1, count),
        "falling": np.linspace(1, 0, count),
        "few values": rng.integers(0, 50, count) / 50,
        "one peak": np.eye(1, count, 12_345)[0],
    }[shape].astype(np.float32)
    for limit in (1, 3, 10, 100):
        cut = np.sort(scores)[-limit]
        assert top(scores, limit).tolist() == np.flatnonzero(scores >= cut).tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_exact_scores_do_not_depend_on_the_blocks(dtype):
    stored, queries = vectors(100, 12).astype(dtype), vectors(5, 12, seed=1)
    scores = np.sort(queries @ stored.astype(np.float32).T, axis=1)
    for cuts in ([], [1], [50, 50, 99], range(1, 100)):
        best = exact_scores(np.split(stored, list(cuts)), queries, 10)
        np.testing.assert_allclose(np.sort(best, axis=1), scores[:, -10:], atol=1e-6)


def test_fewer_rows_than_asked_for_leave_minus_infinity():
    best = exact_scores([vectors(2, 4)], vectors(1, 4, seed=1), 3)
    assert np.isneginf(np.sort(best)[0]).tolist() == [True, False, False]


def coded(stored, blocks=3):
    return CodedIndex(iter(np.array_split(stored, blocks)), rows=len(stored))


@pytest.mark.parametrize("queries", ["in distribution", "shifted"])
@pytest.mark.slow
def test_codes_lose_next_to_nothing(monkeypatch, queries):
    """400 of 4,000 are rescored; shifted queries stand for texts among pictures."""
    monkeypatch.setattr(scan, "_threads", lambda: 1)
    rng = np.random.default_rng(4)
    stored = clustered(rng, count=4000, dim=256)
    asked = stored[rng.choice(4000, 40)] + 0.02 * rng.normal(size=(40, 256))
    if queries == "shifted":
        asked = asked + 1.5 * unit(rng.normal(size=256))
    index, found = coded(stored), 0
    exactly = np.argsort(-(index.gather(np.arange(4000)) @ unit(asked).T), axis=0)[:10]
    for query, expected in zip(unit(asked), exactly.T, strict=True):
        rows, scores = index.search(query, 10)
        best = rows[np.argsort(-scores)[:10]]
        found += len(np.intersect1d(best, expected))
    assert found / (40 * 10) >= 0.99


@pytest.mark.parametrize(("count", "dim"), [(1, 8), (2, 5), (3, 64), (401, 13)])
def test_codes_of_few_rows_and_odd_dimensions(threads, count, dim):
    stored = vectors(count, dim)
    index = coded(stored, blocks=1)
    rows, scores = index.search(stored[count // 2], 3)
    assert rows[np.argmax(scores)] == count // 2
    assert len(rows) == min(3, count)
    assert index.search(stored[0], count + 5)[0].tolist() == list(range(count))
    half = stored.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(scores, half[rows] @ stored[count // 2], atol=1e-6)


def test_codes_leave_the_callers_openmp_threads_as_they_were():
    import faiss

    before = faiss.omp_get_max_threads()
    try:
        faiss.omp_set_num_threads(3)
        index = coded(vectors(50, 8))
        index.search(vectors(1, 8)[0], 5)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)


def test_codes_look_only_at_the_wanted_rows(threads, monkeypatch):
    monkeypatch.setattr(scan, "_SELECT_EXACT_ROWS", 50)
    monkeypatch.setattr(scan, "_RESCORE_MIN", 40)
    stored = clustered(np.random.default_rng(0), count=900, dim=24)
    index, query = coded(stored), stored[450]
    for among in (np.arange(0), np.arange(450, 451), np.arange(0, 900, 2), np.arange(300, 420)):
        rows, _ = index.search(query, 5, among)
        assert len(rows) == min(5, len(among))
        assert np.isin(rows, among).all()
        assert (450 in rows) == (450 in among)


def test_a_sample_and_its_exact_scores_are_the_rescored_ones():
    stored = vectors(300, 16)
    index = coded(stored)
    asked = index.gather(np.array([0, 299]))
    np.testing.assert_allclose(asked, stored[[0, 299]], atol=1e-3)
    for query, best in zip(asked, index.exact(asked, 5), strict=True):
        _, scores = index.search(query, 5)
        np.testing.assert_allclose(np.sort(best), np.sort(scores), atol=1e-6)
