"""The fusion model: learned where it helps, refused where it does not."""

import numpy as np
import pytest

from polyseek.core.errors import ConfigError
from polyseek.core.fusion import FEATURES, FusionModel, features
from polyseek.learn.fusion import Case, learn_fusion
from polyseek.testing.reranker import candidates


def cases(count, useful, seed=0):
    """Queries with one right answer among ten; `useful` tells it, the order does not."""
    rng = np.random.default_rng(seed)
    made = []
    for i in range(count):
        rows = rng.normal(size=(10, len(FEATURES)))
        right = int(rng.integers(10))
        rows[right, 3] += 3 * useful
        gains = np.zeros(10)
        gains[right] = 1
        made.append(Case(features=rows, gains=gains, ideal=[1.0], group=f"asset {i}"))
    return made


def test_a_signal_that_tells_is_learned():
    found = learn_fusion(cases(400, useful=True))
    assert found.model is not None
    assert int(np.argmax(np.abs(found.model.weights))) == 3
    assert "nDCG@10" in found.note
    assert "left out" in found.note
    assert FusionModel.from_json(found.model.to_json()) == found.model


def test_noise_is_refused():
    for seed in range(3):
        found = learn_fusion(cases(400, useful=False, seed=seed))
        assert found.model is None
        assert found.note.startswith("refused, not better")


def test_a_good_order_is_not_made_worse():
    good = []
    for case in cases(400, useful=False):
        order = np.argsort(-case.gains, kind="stable")
        good.append(
            Case(features=case.features, gains=case.gains[order], ideal=[1.0], group=case.group)
        )
    assert learn_fusion(good).model is None


def test_queries_about_the_same_stay_on_one_side():
    same = [
        Case(features=c.features, gains=c.gains, ideal=c.ideal, group="one")
        for c in cases(400, useful=True)
    ]
    with pytest.raises(ConfigError, match=r"0 queries in one half .* at least 50: give more pairs"):
        learn_fusion(same)


def test_too_few_pairs_are_refused():
    with pytest.raises(ConfigError, match="give more pairs"):
        learn_fusion(cases(60, useful=True))


def test_features_are_finite_whatever_is_missing():
    rows = features(candidates(9))
    assert rows.shape == (9, len(FEATURES))
    assert np.isfinite(rows).all()
    assert features([]).shape == (0, len(FEATURES))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"weights": {"log_odds": 1}, "note": ""}'])
def test_other_texts_are_no_model(text):
    with pytest.raises(ValueError, match="."):
        FusionModel.from_json(text)
