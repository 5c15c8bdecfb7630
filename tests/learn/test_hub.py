import numpy as np
import pytest

from polyseek.learn.hub import hub_bias


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def bank():
    return unit(np.random.default_rng(0).normal(size=(50, 6)))


def test_it_is_the_mean_of_the_nearest_queries(bank):
    rows = unit(np.random.default_rng(1).normal(size=(9, 6)))
    expected = np.sort(rows @ bank.T, axis=1)[:, -16:].mean(axis=1)
    np.testing.assert_allclose(hub_bias(rows, bank), expected, rtol=1e-5)


def test_blocks_make_no_difference(bank, monkeypatch):
    rows = unit(np.random.default_rng(2).normal(size=(25, 6)))
    whole = hub_bias(rows, bank)
    monkeypatch.setattr("polyseek.learn.hub._BLOCK", 4)
    np.testing.assert_allclose(hub_bias(rows, bank), whole, rtol=1e-6)


def test_a_small_bank_counts_as_a_whole(bank):
    rows = bank[:2]
    np.testing.assert_allclose(hub_bias(rows, bank[:3]), (rows @ bank[:3].T).mean(axis=1), 1e-5)


def test_no_rows_have_no_biases(bank):
    assert hub_bias(np.empty((0, 6), np.float32), bank).shape == (0,)


def test_a_hub_has_the_highest_bias(bank):
    hub = unit(bank.mean(axis=0, keepdims=True))
    others = unit(np.random.default_rng(3).normal(size=(20, 6)))
    assert hub_bias(np.concatenate([others, hub]), bank).argmax() == 20
