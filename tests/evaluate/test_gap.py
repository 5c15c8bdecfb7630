"""How far modalities lie apart, and who fills a mixed list."""

import numpy as np
import pytest
from patients import (
    AUDIO,
    IMAGE,
    TEXT,
    bank_of,
    calibration,
    cloud,
    store_of,
    subject_of,
    unit,
    with_tuning,
)

from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.gap import check_gap, gap, separability


def test_mixed_sets_have_no_gap_and_divided_ones_do():
    a, b = cloud(200, seed=1), cloud(200, seed=2)
    mixed = gap(a, b)
    assert mixed.separability == pytest.approx(0.5, abs=0.1)
    assert mixed.distance < 0.2
    divided = gap(cloud(200, at=3, seed=1), cloud(40, at=-3, seed=2))
    assert divided.separability == 1
    assert divided.distance > 1.5
    assert divided.relative > 2


def test_gaps_of_points_and_of_few_vectors_are_numbers():
    point = np.tile(unit([[1, 0, 0]]), (12, 1))
    assert gap(point, point).distance == 0
    assert gap(point, point).relative is None
    assert separability(point, point) == 0.5
    assert 0 <= separability(cloud(2, seed=1), cloud(2, seed=2)) <= 1


def loud_sounds():
    """Sounds lie where text queries do; pictures far from both."""
    store = store_of(
        {IMAGE: cloud(90, at=-1, width=0.8), AUDIO: cloud(20, at=1, width=0.5, seed=1)}
    )
    return store, bank_of(cloud(60, at=1, seed=2))


def test_a_modality_that_never_appears_is_found():
    store, bank = loud_sounds()
    with_tuning(store, text_image=calibration(), text_audio=calibration())
    found = check_gap(subject_of(store, bank=bank))
    assert found.verdict is Verdict.WARNING
    assert "image" in found.summary
    assert "polyseek tune" in found.advice
    assert found.figures["share_of_first_hits"]["image"]["now"] == 0
    assert found.figures["pairs"]["image-audio"]["linear_separability"] > 0.95


def test_calibrations_bring_it_back():
    store, bank = loud_sounds()
    with_tuning(store, text_image=calibration(intercept=6.0), text_audio=calibration())
    found = check_gap(subject_of(store, bank=bank))
    share = found.figures["share_of_first_hits"]["image"]
    assert found.verdict is Verdict.OK
    assert share["cosine"] == 0
    assert share["now"] > 0.3
    assert found.figures["queries_answered"] == 1
    assert set(found.charts[0].series) == {"of the segments", "by cosine", "as searched now"}


def test_without_calibrations_modalities_take_turns():
    store, bank = loud_sounds()
    shares = check_gap(subject_of(store, bank=bank)).figures["share_of_first_hits"]
    assert shares["image"]["now"] == shares["audio"]["now"] == 0.5


def test_large_collections_are_asked_through_their_store(monkeypatch):
    store, _ = loud_sounds()
    bank = bank_of(cloud(20, at=1, seed=2))
    with_tuning(store, text_image=calibration(intercept=6.0), text_audio=calibration())
    whole = check_gap(subject_of(store, bank=bank)).figures["share_of_first_hits"]
    monkeypatch.setattr("polyseek.evaluate.subject.SAMPLE", 15)
    subject = subject_of(store, bank=bank)
    assert len(subject.samples[IMAGE]) == 15
    assert subject.rows == {IMAGE: 90, AUDIO: 20}
    assert check_gap(subject).figures["share_of_first_hits"] == whole


@pytest.mark.parametrize(
    ("vectors", "bank", "says"),
    [
        ({IMAGE: cloud(20)}, bank_of(cloud(30)), "one modality only"),
        ({IMAGE: cloud(20), TEXT: cloud(20)}, None, "reads no text"),
        ({}, bank_of(cloud(30)), "no segments"),
    ],
)
def test_where_there_is_nothing_to_compare_it_says_so(vectors, bank, says):
    found = check_gap(subject_of(store_of(vectors), bank=bank))
    assert found.verdict is Verdict.OK
    assert says in found.summary
