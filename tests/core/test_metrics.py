"""Metrics: against trec_eval, ties, intervals that cover, a test that keeps its level."""

import numpy as np
import pytest
import pytrec_eval

from polyseek.core.metrics import (
    Interval,
    average_precision_at,
    first_ranks,
    holm,
    mean_interval,
    median_interval,
    ndcg_at,
    paired_test,
    ranked_gains,
    ranks,
    recall_at,
    reciprocal_ranks,
)


def a_collection(seed, queries=60, items=200, answers=4):
    """Distinct scores and graded relevance."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(items, dtype=np.float64), (queries, 1)), axis=1)
    gains = np.zeros((queries, items))
    for row in gains:
        row[rng.choice(items, rng.integers(1, answers + 1), replace=False)] = rng.integers(1, 4)
        row[rng.integers(items)] = 2
    return scores + (40 + 1 / 7) * gains, gains


def trec(scores, gains, measures):
    qrels = {
        str(q): {str(i): int(g) for i, g in enumerate(row) if g} for q, row in enumerate(gains)
    }
    run = {str(q): {str(i): float(s) for i, s in enumerate(row)} for q, row in enumerate(scores)}
    found = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    return [found[str(q)] for q in range(len(scores))]


@pytest.mark.parametrize("seed", range(4))
def test_every_metric_is_that_of_trec_eval(seed):
    scores, gains = a_collection(seed, answers=30)
    expected = trec(
        scores, gains, {"success.1,5,10", "recip_rank", "ndcg_cut.5,10", "map_cut.5,10,100"}
    )
    place = ranks(scores, gains > 0)
    top = ranked_gains(scores, gains, 100)
    positives = (gains > 0).sum(axis=1)
    ours = {
        "recip_rank": reciprocal_ranks(place),
        **{f"success_{k}": recall_at(place, k) for k in (1, 5, 10)},
        **{f"ndcg_cut_{k}": ndcg_at(top, gains, k) for k in (5, 10)},
        **{f"map_cut_{k}": average_precision_at(top, positives, k) for k in (5, 10, 100)},
    }
    for name, values in ours.items():
        assert values == pytest.approx([row[name] for row in expected], abs=1e-6), name


def test_ranks_of_a_matrix_and_of_ranked_gains_agree():
    scores, gains = a_collection(7)
    place = ranks(scores, gains > 0)
    top = first_ranks(ranked_gains(scores, gains, 10))
    assert (top[place <= 10] == place[place <= 10]).all()
    assert np.isinf(top[place > 10]).all()
    assert (recall_at(top, 10) == recall_at(place, 10)).all()
    assert reciprocal_ranks(top)[place > 10].max(initial=0) == 0


def test_ties_count_against_us():
    scores, gains = np.array([[1.0, 1.0, 1.0, 0.5]]), np.array([[0.0, 2.0, 0.0, 1.0]])
    assert ranks(scores, gains > 0) == [3]
    assert ranked_gains(scores, gains, 4).tolist() == [[0, 0, 2, 1]]
    constant = np.zeros((1, 4))
    assert ranks(constant, gains > 0) == [3]  # two irrelevant ones come first
    assert ranked_gains(constant, gains, 4).tolist() == [[0, 0, 1, 2]]


def test_relevant_items_do_not_push_each_other_back():
    scores = np.array([[3.0, 3.0, 1.0]])
    assert ranks(scores, np.array([[True, True, False]])) == [1]


def test_the_ideal_counts_what_was_not_retrieved():
    top = np.array([[1.0, 0.0]])
    assert ndcg_at(top, np.array([[1.0, 1.0, 0.0]]), 2) == pytest.approx(1 / (1 + 1 / np.log2(3)))
    assert average_precision_at(top, [4], 2) == pytest.approx(0.25)


@pytest.mark.parametrize("metric", [ranks, lambda s, r: ranked_gains(s, r.astype(float), 2)])
def test_what_cannot_be_measured_is_refused(metric):
    with pytest.raises(ValueError, match="query 1 .* no relevant item"):
        metric(np.zeros((2, 3)), np.array([[True, False, False], [False] * 3]))
    with pytest.raises(ValueError, match="not numbers"):
        metric(np.array([[np.nan, 1.0]]), np.array([[True, False]]))


def test_queries_without_an_answer_have_no_ndcg_and_no_precision():
    with pytest.raises(ValueError, match="no relevant"):
        ndcg_at(np.zeros((1, 3)), np.zeros((1, 3)), 10)
    with pytest.raises(ValueError, match="no relevant"):
        average_precision_at(np.zeros((1, 3)), [0], 10)
    with pytest.raises(ValueError, match="no queries"):
        mean_interval([])


def test_intervals_widen_with_groups():
    rng = np.random.default_rng(0)
    asset = np.repeat(rng.random(60) < 0.5, 5)  # five captions that agree
    groups = np.repeat([f"photo-{i}" for i in range(60)], 5)
    alone, by_asset = mean_interval(asset), mean_interval(asset, groups)
    assert alone.low < asset.mean() < alone.high
    assert (by_asset.high - by_asset.low) > 1.8 * (alone.high - alone.low)
    assert mean_interval(asset, groups) == by_asset
    assert asset.mean() in by_asset


def test_no_misses_is_no_certainty():
    found = mean_interval(np.ones(20))
    assert found.high == 1
    assert found.low == pytest.approx(0.025 ** (1 / 20))
    assert mean_interval(np.zeros(20)).high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert mean_interval(np.ones(5), ["one"] * 5).low == pytest.approx(0.025)


def test_medians_of_ranks_also_of_those_not_found():
    values = np.array([1.0, 1, 2, 3, 5, 8, 13, np.inf, np.inf])
    found = median_interval(values)
    assert found.low <= 5 <= found.high
    assert median_interval([np.inf] * 5) == Interval(np.inf, np.inf)


def test_a_difference_is_seen_and_none_is_not():
    rng = np.random.default_rng(1)
    before = (rng.random(300) < 0.5).astype(float)
    after = np.where(rng.random(300) < 0.15, 1.0, before)
    assert paired_test(before, after) < 0.001
    assert paired_test(after, before) == paired_test(before, after)
    assert paired_test(before, before) == 1
    # Five captions of one photograph are one observation, not five.
    assert paired_test(np.zeros(5), np.ones(5), ["a"] * 5) > 0.4


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])


def clustered(rng, assets, captions, effect):
    """Hits of captions that share the difficulty of their photograph; mean .5 over everything."""
    difficulty = np.repeat(rng.normal(size=assets), captions)
    noise = rng.normal(size=assets * captions)
    return (effect * difficulty + noise > 0).astype(float), np.repeat(np.arange(assets), captions)


@pytest.mark.slow
@pytest.mark.parametrize(("assets", "captions", "effect"), [(200, 1, 0), (60, 5, 1), (20, 5, 1)])
def test_intervals_cover(assets, captions, effect):
    rng = np.random.default_rng(5)
    trials = 600
    covered = sum(
        0.5 in mean_interval(*clustered(rng, assets, captions, effect), samples=500)
        for _ in range(trials)
    )
    assert 0.92 <= covered / trials <= 0.98


@pytest.mark.slow
@pytest.mark.parametrize(("assets", "captions", "effect"), [(200, 1, 0), (60, 5, 1), (12, 5, 1)])
def test_the_paired_test_keeps_its_level(assets, captions, effect):
    rng = np.random.default_rng(6)
    trials = 1_000
    rejected = 0
    for _ in range(trials):
        first, groups = clustered(rng, assets, captions, effect)
        second, _ = clustered(rng, assets, captions, effect)
        rejected += paired_test(first, second, groups, samples=500) <= 0.05
    assert 0.03 <= rejected / trials <= 0.066
