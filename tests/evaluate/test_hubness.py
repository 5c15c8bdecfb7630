"""Segments that turn up for everything."""

import numpy as np
import pytest
from patients import IMAGE, bank_of, calibration, cloud, store_of, subject_of, unit, with_tuning

from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.hubness import check_hubs, k_occurrence, skewness
from polyseek.learn.hub import hub_bias


def with_hubs(corrected=0.0, bias=None):
    """Two of 120 pictures lie in the middle of all queries."""
    queries = cloud(300, at=0.7, seed=3)
    rows = cloud(120, at=0.1)
    rows[:2] = unit(queries.mean(axis=0) + 0.05 * cloud(2, seed=4))
    known = hub_bias(rows, queries) if bias is None else bias
    store = store_of({IMAGE: rows}, hub_bias={IMAGE: known})
    with_tuning(store, text_image=calibration(hub_strength=corrected))
    return subject_of(store, bank=bank_of(queries))


def test_formulas_on_known_numbers():
    assert skewness(np.array([3, 3, 3])) == 0
    assert skewness(np.array([1, 2, 3])) == pytest.approx(0)
    assert skewness(np.array([0, 0, 0, 4])) == pytest.approx(2 / np.sqrt(3))
    scores = np.array([[0.9] * 10 + [0.1, 0.2], [0.1] * 2 + [0.9] * 10], np.float32)
    assert k_occurrence(scores).tolist() == [1, 1] + [2] * 8 + [1, 1]


def test_hubs_are_found_and_named():
    found = check_hubs(with_hubs())
    assert found.verdict is not Verdict.OK
    hubs = found.figures["text-image"]["hubs"]
    assert {hub["uri"] for hub in hubs[:2]} == {"file:///image/000", "file:///image/001"}
    assert hubs[0]["lists_now"] == hubs[0]["lists_by_cosine"] > 200
    assert "000 in" in found.notes[0]
    assert found.advice
    assert sum(found.charts[0].series["by cosine"]) == 120


def test_the_correction_in_use_takes_them_away():
    found = check_hubs(with_hubs(corrected=1.0))
    figures = found.figures["text-image"]
    assert found.verdict is Verdict.OK
    assert figures["skewness_now"] < figures["skewness_by_cosine"] - 1
    assert figures["hubs"][0]["lists_now"] < 100


def test_a_correction_that_makes_hubs_is_found():
    queries, rows = cloud(300, seed=3), cloud(120)
    bias = np.zeros(120, np.float32)
    bias[:2] = -1
    store = store_of({IMAGE: rows}, hub_bias={IMAGE: bias})
    with_tuning(store, text_image=calibration(hub_strength=0.75))
    found = check_hubs(subject_of(store, bank=bank_of(queries)))
    assert found.verdict is not Verdict.OK
    assert "makes hubs" in found.summary


def test_evenly_spread_segments_have_no_hubs():
    store = store_of({IMAGE: cloud(200)})
    found = check_hubs(subject_of(store, bank=bank_of(cloud(500, seed=3))))
    assert found.verdict is Verdict.OK
    assert "few hubs" in found.summary


def test_few_segments_or_no_bank_are_no_finding():
    few = subject_of(store_of({IMAGE: cloud(20)}), bank=bank_of(cloud(50, seed=1)))
    assert "20 segments are too few" in check_hubs(few).notes[0]
    mute = subject_of(store_of({IMAGE: cloud(200)}))
    assert "reads no text" in check_hubs(mute).summary
    assert check_hubs(few).verdict is check_hubs(mute).verdict is Verdict.OK
