import numpy as np
import pytest

from polyseek.core.defaults import Defaults
from polyseek.core.tuning import Calibration, Origin, Tuning, cohort_match
from polyseek.core.types import Embeddings, Modality
from polyseek.learn.calibration import (
    Examples,
    examples,
    fit,
    match_probability,
    refit,
    separation,
)
from polyseek.learn.logistic import fit_logistic

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE


def drawn(count=20_000, *, slope=12.0, cohort=-4.0, size=-0.5, seed=0):
    """Examples whose relevance follows a known law."""
    rng = np.random.default_rng(seed)
    corrected = rng.normal(0.2, 0.2, size=count).astype(np.float32)
    match = rng.uniform(0, 1, size=count).astype(np.float32)
    rows = rng.choice([50.0, 500.0, 5000.0], size=count)
    odds = 1 + slope * corrected + cohort * match + size * np.log(rows)
    relevant = rng.random(count) < 1 / (1 + np.exp(-odds))
    return Examples(
        corrected=corrected,
        cohort=match,
        rows=rows,
        rank=np.zeros(count, int),
        relevant=relevant,
        answered=relevant,
    )


def test_the_law_behind_examples_is_found():
    found = fit(drawn(), strength=0.5, origin=Origin.SHIPPED)
    assert found.slope == pytest.approx(12, rel=0.08)
    assert found.cohort_weight == pytest.approx(-4, rel=0.1)
    assert found.size_weight == pytest.approx(-0.5, rel=0.1)
    assert found.intercept == pytest.approx(1, abs=0.35)
    assert (found.hub_strength, found.origin) == (0.5, Origin.SHIPPED)


def test_probabilities_are_shares_of_relevant_examples():
    given = drawn()
    p = drawn(seed=1).probability(fit(given, strength=0, origin=Origin.SHIPPED))
    for low in (0, 0.2, 0.4, 0.6, 0.8):
        inside = (p >= low) & (p < low + 0.2)
        assert drawn(seed=1).relevant[inside].mean() == pytest.approx(p[inside].mean(), abs=0.05)


def test_a_refit_keeps_the_proportions():
    base = Calibration(
        intercept=3, slope=24, cohort_weight=-8, size_weight=-1, origin=Origin.SHIPPED
    )
    found = refit(drawn(), base, strength=0.25, origin=Origin.COLLECTION)
    assert found.slope == pytest.approx(12, rel=0.08)
    assert found.cohort_weight / found.slope == pytest.approx(-1 / 3)
    assert found.size_weight / found.slope == pytest.approx(-1 / 24)
    assert (found.hub_strength, found.origin) == (0.25, Origin.COLLECTION)


def test_relevance_that_falls_with_the_score_is_refused():
    with pytest.raises(ValueError, match="slope"):
        fit(drawn(slope=-12.0), strength=0, origin=Origin.SHIPPED)


@pytest.mark.parametrize("label", [True, False])
def test_one_kind_of_examples_is_refused(label):
    with pytest.raises(ValueError, match="relevant and irrelevant"):
        fit_logistic(np.ones((5, 1)), np.full(5, label))


def test_examples_that_a_line_separates_stay_finite():
    x = np.concatenate([np.zeros(30), np.ones(30)])[:, None]
    found = fit_logistic(x, x[:, 0] > 0.5)
    assert np.isfinite(found).all()
    assert found[1] > 0


def test_a_constant_feature_changes_nothing():
    x = np.random.default_rng(0).normal(size=(500, 1))
    y = x[:, 0] + np.random.default_rng(1).normal(size=500) > 0
    alone = fit_logistic(x, y)
    with_constant = fit_logistic(np.column_stack([x, np.full(500, 7.0)]), y)
    assert with_constant[1] == pytest.approx(alone[1], rel=1e-4)
    assert with_constant[2] == pytest.approx(0, abs=1e-6)


def test_examples_are_the_best_hits_after_the_correction():
    queries = np.eye(3, dtype=np.float32)[:1]
    rows = np.array([[0.9, 0, 0], [0.8, 0, 0], [0.1, 0, 0]], np.float32)
    found = examples(
        queries,
        rows,
        relevant=np.array([[0.0, 1.0, np.nan]]),
        bias=np.array([0.9, 0.1, 0.0], np.float32),
        strength=0.5,
        cohort=np.array([0.3], np.float32),
    )
    np.testing.assert_allclose(found.corrected, [0.75, 0.45], rtol=1e-6)
    assert found.relevant.tolist() == [True, False]
    assert found.rank.tolist() == [0, 1]
    assert found.rows.tolist() == [3, 3]
    assert found.answered.tolist() == [True, True]
    assert found.hub_mean == pytest.approx(1 / 3)


def test_separation_is_the_area_under_the_curve():
    given = drawn(500)
    s, y = given.corrected, given.relevant
    pairs = s[y][:, None] > s[~y][None]
    assert separation(given) == pytest.approx(pairs.mean(), abs=1e-6)


def test_match_probability_lets_one_in_ten_pass():
    best = np.linspace(0, 1, 1001)
    least = match_probability(best, np.ones(1001))
    assert (best > least).mean() == pytest.approx(0.1, abs=0.002)
    only_low = match_probability(best, (best < 0.5).astype(float))
    assert only_low == pytest.approx(0.45, abs=0.01)


def test_a_slope_must_be_positive():
    with pytest.raises(ValueError, match="positive"):
        Calibration(intercept=0, slope=0, origin=Origin.SHIPPED)


def test_a_tuning_survives_json():
    tuning = Tuning(
        calibrations={
            (TEXT, IMAGE): Calibration(
                hub_strength=0.75, hub_mean=0.2, intercept=-1, slope=3, origin=Origin.PAIRS
            )
        },
        bank=("één", "two"),
        fitted_assets={IMAGE: 3},
        notes=("a note",),
    )
    assert Tuning.from_json(tuning.to_json()) == tuning


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"calibrations": {"text-image": {}}}'])
def test_other_json_is_no_tuning(text):
    with pytest.raises(ValueError, match=r"tuning|Expecting"):
        Tuning.from_json(text)


def test_a_cohort_is_compared_in_the_space_of_the_pair():
    shared, tower = np.eye(2, dtype=np.float32), np.eye(3, dtype=np.float32)
    nothing = np.empty((0, 3), np.float32)
    defaults = Defaults(
        tuning=Tuning(),
        bank=Embeddings(shared, tower),
        cohorts={TEXT: Embeddings(shared, tower), IMAGE: Embeddings(shared, nothing)},
    )
    assert defaults.cohort((IMAGE, TEXT)) is shared
    assert defaults.cohort((TEXT, TEXT)) is tower
    assert defaults.cohort((IMAGE, IMAGE)) is None
    assert defaults.cohort((TEXT, Modality.AUDIO)) is None
    np.testing.assert_allclose(cohort_match(shared[:1], shared), [0.5])
