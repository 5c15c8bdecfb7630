"""Labelled queries choose hub strength, calibration and words, and never to the worse."""

from dataclasses import replace

import numpy as np
import pytest

from polyseek.core.tuning import Calibration, Origin, Tuning, WordEvidence
from polyseek.core.types import Modality
from polyseek.learn.isotonic import fit_curve
from polyseek.learn.labelled import (
    MIN_PLATT,
    Answers,
    LabelledPair,
    calibration_error,
    choose_words,
    fit_with_labels,
    in_proportion,
    quality,
)
from polyseek.learn.splits import CHOOSE, HELD_OUT, split

pytestmark = pytest.mark.slow

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE
SHIPPED = Calibration(intercept=2.0, slope=5.0, hub_strength=0.25, origin=Origin.SHIPPED)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def world(count, *, noise=0.8, hubs=0.0, shuffled=False, seed=0, dim=24):
    """Segments, and a query near each; some segments are close to every query."""
    rng = np.random.default_rng(seed)
    middle = unit(rng.normal(size=(1, dim)))
    rows = unit(rng.normal(size=(count, dim)))
    queries = unit(rows + noise * unit(rng.normal(size=(count, dim))) + middle)
    pulled = rng.random(count) < 0.15
    rows = unit(rows + np.where(pulled[:, None], hubs * middle, 0))
    right = rng.permutation(count) if shuffled else np.arange(count)
    relevant = np.zeros((count, count), bool)
    relevant[np.arange(count), right] = True
    return LabelledPair(
        pair=(TEXT, IMAGE), queries=queries, rows=rows, relevant=relevant,
        bias=(rows @ middle.T)[:, 0], cohort=None, split=split(np.arange(count)),
    )  # fmt: skip


def test_too_few_labels_change_nothing():
    data = world(MIN_PLATT - 1)
    found = fit_with_labels(data, shipped=SHIPPED, unlabelled=None)
    assert found.calibration is None
    assert found.note == "199 labelled queries, at least 200 are needed: what ships stays"
    own = replace(SHIPPED, origin=Origin.COLLECTION)
    assert fit_with_labels(data, shipped=SHIPPED, unlabelled=own).calibration is own


def test_a_line_then_a_curve():
    few = fit_with_labels(world(400), shipped=SHIPPED, unlabelled=None)
    assert few.calibration.origin is Origin.PAIRS
    assert few.calibration.curve == ()
    many = world(1_200)
    found = fit_with_labels(many, shipped=SHIPPED, unlabelled=None)
    assert found.calibration.origin is Origin.PAIRS
    before, after = (quality(many, HELD_OUT, c) for c in (SHIPPED, found.calibration))
    assert after.error < 0.05 < before.error
    assert after.log_loss < before.log_loss
    assert "held-out" in found.note


@pytest.mark.parametrize("count", [400, 1_200])
def test_labels_do_not_change_how_many_queries_find_something(count):
    """None of them is without an answer, so they cannot say where that begins."""
    data = world(count)
    best = data.examples(HELD_OUT, 0.25)
    top = best.rank == 0
    usual = replace(
        SHIPPED, match_probability=float(np.quantile(best.probability(SHIPPED)[top], 0.1))
    )
    found = fit_with_labels(data, shipped=usual, unlabelled=None).calibration
    assert found.origin is Origin.PAIRS
    drawn = data.examples(HELD_OUT, found.hub_strength)
    shown = drawn.probability(found)[drawn.rank == 0] >= found.match_probability
    assert shown.mean() == pytest.approx(0.9, abs=0.1)


def test_hubs_that_labels_see_are_corrected():
    found = fit_with_labels(world(600, hubs=2.0), shipped=SHIPPED, unlabelled=None)
    assert found.calibration.hub_strength > SHIPPED.hub_strength


def test_what_was_fitted_without_labels_may_win():
    data = world(600)
    best = fit_with_labels(data, shipped=SHIPPED, unlabelled=None).calibration
    own = replace(best, origin=Origin.COLLECTION, hub_strength=0.25)
    oracle = replace(own, slope=own.slope * 1.001)
    found = fit_with_labels(data, shipped=SHIPPED, unlabelled=oracle)
    losses = [quality(data, CHOOSE, c).log_loss for c in (best, oracle)]
    assert (found.calibration is oracle) == (losses[1] < losses[0])


@pytest.mark.parametrize("seed", range(5))
def test_shuffled_labels_are_never_worse_than_what_ships(seed):
    data = world(400, shuffled=True, seed=seed)
    found = fit_with_labels(data, shipped=SHIPPED, unlabelled=None)
    if found.calibration is not None:
        before, after = (quality(data, HELD_OUT, c) for c in (SHIPPED, found.calibration))
        assert after.ndcg >= before.ndcg
        assert after.log_loss <= before.log_loss


def test_an_encoder_that_ships_nothing():
    found = fit_with_labels(world(300), shipped=None, unlabelled=None)
    assert found.calibration.origin is Origin.PAIRS


def test_a_shipped_one_that_is_right_stays():
    data = world(400)
    right = fit_with_labels(data, shipped=SHIPPED, unlabelled=None).calibration
    found = fit_with_labels(data, shipped=right, unlabelled=None)
    before = quality(data, HELD_OUT, right)
    if found.calibration is None:
        assert "what ships stays" in found.note
    else:
        assert quality(data, HELD_OUT, found.calibration).log_loss <= before.log_loss


def test_a_curve_keeps_the_order_and_meets_the_rates():
    rng = np.random.default_rng(0)
    raw = rng.normal(size=4_000)
    truth = 1 / (1 + np.exp(-np.where(raw > 0, 3 * raw, 0.2 * raw)))
    relevant = rng.random(4_000) < truth
    curve = fit_curve(raw, relevant)
    bent = Calibration(intercept=0, slope=1, curve=curve, origin=Origin.PAIRS)
    plain = Calibration(intercept=0, slope=1, origin=Origin.PAIRS)
    live = rng.normal(size=4_000)
    truth = 1 / (1 + np.exp(-np.where(live > 0, 3 * live, 0.2 * live)))
    after, before = (c.probability(live, cohort=0, rows=1) for c in (bent, plain))
    assert np.abs(after - truth).mean() < 0.5 * np.abs(before - truth).mean()
    assert (np.diff(after[np.argsort(live)]) > 0).all()
    far = bent.log_odds(np.array([-1e3, 1e3]), cohort=0, rows=1)
    assert far[0] < -900
    assert far[1] > 900


def test_no_curve_without_evidence():
    assert fit_curve(np.linspace(0, 1, 500), np.zeros(500, bool)) == ()
    assert fit_curve(np.linspace(0, 1, 500), np.arange(500) < 250) == ()  # falls
    with pytest.raises(ValueError, match="must increase"):
        Calibration(intercept=0, slope=1, curve=((0, 0), (1, 0)), origin=Origin.PAIRS)


def test_what_labels_chose_survives_its_text():
    tuning = Tuning(
        calibrations={(TEXT, IMAGE): replace(SHIPPED, curve=((-1.0, -2.0), (1.0, 3.0)))},
        words=WordEvidence(weight=0.25, share_power=1), fitted_queries=("0a1b2c3d",),
    )  # fmt: skip
    assert Tuning.from_json(tuning.to_json()) == tuning
    old = '{"calibrations": {}, "bank": [], "fitted_assets": {}, "notes": []}'
    assert Tuning.from_json(old).words == WordEvidence()


def test_calibration_error():
    p = np.repeat([0.1, 0.9], 500)
    exact = np.concatenate([np.arange(500) % 10 == 0, np.arange(500) % 10 != 0])
    assert calibration_error(p, exact) < 0.02
    assert calibration_error(p, ~exact) == pytest.approx(0.8, abs=0.06)


def found_by_words(count, *, help_, seed=0):
    """Ten hits each; the right one is third by its embedding, and has words of the query or not."""
    rng = np.random.default_rng(seed)
    answers = []
    for _ in range(count):
        scores, shares = np.zeros(10), np.zeros(10)
        where = 2 if rng.random() < help_ else int(rng.integers(3, 10))
        scores[where], shares[where] = 3.0, 0.5
        gains = np.eye(10)[2]
        answers.append(
            Answers(
                probabilities=np.linspace(0.7, 0.1, 10),
                scores=scores,
                shares=shares,
                products=np.full(10, np.nan),
                gains=gains,
                ideal=np.ones(1),
            )
        )
    return answers


def test_words_weigh_what_they_are_worth():
    now = WordEvidence()
    parts = {CHOOSE: found_by_words(150, help_=1), HELD_OUT: found_by_words(150, help_=1, seed=1)}
    found, note = choose_words(parts, now=now)
    assert found.weight * 0.5**found.share_power > now.weight * 0.5**now.share_power
    assert "-> 1.000 on 150 held-out queries" in note
    misled = {CHOOSE: found_by_words(150, help_=0), HELD_OUT: found_by_words(150, help_=0)}
    after, _ = choose_words(misled, now=WordEvidence(weight=1.5, share_power=0))
    assert after.weight * 0.5**after.share_power < 0.2


def test_words_keep_their_proportion_to_the_embedding():
    gentle = replace(SHIPPED, slope=SHIPPED.slope / 4, origin=Origin.PAIRS)
    pair = (TEXT, IMAGE)
    found = in_proportion({pair: gentle}, {pair: SHIPPED})
    assert found == WordEvidence(weight=WordEvidence().weight / 4)
    p, scores, shares = np.array([0.3, 0.3]), np.array([2.0, 0.0]), np.array([0.5, 0.0])
    lift = np.diff(np.log(p / (1 - p)) - _log_odds(WordEvidence().added(p, scores, shares)))
    assert np.diff(np.log(p / (1 - p)) - _log_odds(found.added(p, scores, shares))) == (
        pytest.approx(lift / 4)
    )
    own = replace(gentle, origin=Origin.COLLECTION)
    assert in_proportion({pair: own}, {pair: SHIPPED}) == WordEvidence()
    assert in_proportion({pair: gentle}, {}) == WordEvidence()


def _log_odds(p):
    return np.log(p / (1 - p))


def test_words_that_do_not_hold_out_stay_as_they_are():
    parts = {CHOOSE: found_by_words(150, help_=1), HELD_OUT: found_by_words(150, help_=0)}
    found, note = choose_words(parts, now=WordEvidence())
    assert found == WordEvidence()
    assert "what was chosen is worse" in note
    few = {CHOOSE: found_by_words(5, help_=1), HELD_OUT: []}
    assert choose_words(few, now=WordEvidence())[0] == WordEvidence()
