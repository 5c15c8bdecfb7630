"""How much sparse vectors prove is chosen with labels, and never to the worse."""

import numpy as np
import pytest

from polyseek.core.tuning import SparseEvidence, Tuning, WordEvidence
from polyseek.learn.labelled import MIN_PLATT, Answers
from polyseek.learn.sparse import choose_sparse
from polyseek.learn.splits import CHOOSE, HELD_OUT

ROWS = 12


def answers(count, *, right=1.0, scale=7.0, seed=0):
    """Queries whose embedding puts the answer third; a share of their best products is right."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        products = np.full(ROWS, np.nan)
        best = 2 if rng.random() < right else int(rng.integers(3, ROWS))
        products[best] = scale * rng.uniform(0.7, 1.3)
        products[[8, 9]] = 0.2 * scale
        made.append(
            Answers(
                probabilities=np.linspace(0.7, 0.1, ROWS), scores=np.zeros(ROWS),
                shares=np.zeros(ROWS), products=products, gains=np.eye(ROWS)[2], ideal=np.ones(1),
            )
        )  # fmt: skip
    return made


def chosen(right=(1.0, 1.0), count=150, **more):
    parts = {
        part: answers(count, right=share, seed=part, **more)
        for part, share in zip((CHOOSE, HELD_OUT), right, strict=True)
    }
    return parts, *choose_sparse(parts, words=WordEvidence())


@pytest.mark.parametrize("scale", [0.1, 7.0, 400.0])
@pytest.mark.slow
def test_what_helps_is_weighed_on_whatever_scale_it_comes(scale):
    parts, sparse, words, note = chosen(scale=scale)
    after = np.mean([one.ndcg(words, sparse) for one in parts[HELD_OUT]])
    assert after > 0.99 > np.mean([one.ndcg(words) for one in parts[HELD_OUT]])
    assert "held-out queries" in note


@pytest.mark.slow
def test_what_says_nothing_gets_no_weight():
    _, sparse, words, _ = chosen(right=(0.0, 0.0))
    assert sparse == SparseEvidence(weight=0.0, share_power=0.0)
    p = np.array([0.2, 0.9])
    np.testing.assert_array_equal(sparse.added(p, np.array([3.0, np.nan])), p)


@pytest.mark.slow
def test_what_does_not_hold_out_stays_fused_by_rank():
    _, sparse, words, note = chosen(right=(1.0, 0.0))
    assert (sparse, words) == (None, WordEvidence())
    assert "fused by rank, for nothing better holds" in note


def test_too_few_labels_or_nothing_found():
    _, sparse, _, note = chosen(count=MIN_PLATT // 2 - 1)
    assert sparse is None
    assert "198 labelled queries are too few" in note
    parts = {part: answers(200) for part in (CHOOSE, HELD_OUT)}
    for one in parts[CHOOSE]:
        one.products[:] = np.nan
    sparse, _, note = choose_sparse(parts, words=WordEvidence())
    assert sparse is None
    assert "no labelled query finds anything" in note


def test_what_is_missing_is_not_zero_and_what_is_there_never_counts_against():
    evidence = SparseEvidence(weight=1.0, share_power=1.0)
    p = np.array([0.5, 0.5, 0.5, 0.5])
    after = evidence.added(p, np.array([np.nan, 2.0, 1.0, -3.0]))
    assert after[0] == after[3] == 0.5
    np.testing.assert_allclose(after[1], 1 / (1 + np.exp(-2.0)))
    np.testing.assert_allclose(after[2], 1 / (1 + np.exp(-0.5)))  # half the best: half of it
    nothing = np.full(4, np.nan)
    np.testing.assert_array_equal(evidence.added(p, nothing), p)


def test_it_is_kept_with_the_tuning_and_older_ones_have_none():
    tuning = Tuning(sparse=SparseEvidence(weight=0.3, share_power=2.0))
    assert Tuning.from_json(tuning.to_json()).sparse == tuning.sparse
    assert Tuning.from_json(Tuning().to_json().replace('"sparse": null, ', "")).sparse is None
