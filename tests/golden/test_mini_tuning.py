"""The tunings that ship with encoders are whole, and say what they said."""

import numpy as np
import pytest

from polyseek.core.defaults import shipped_adapters
from polyseek.core.tuning import Origin
from polyseek.core.types import Modality
from polyseek.encode.mini import DIM
from polyseek.encode.mini_defaults import defaults, multilingual_defaults
from polyseek.search.calibrate import Calibrator

TEXT, IMAGE, AUDIO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO


@pytest.fixture(scope="module")
def shipped():
    return defaults()


def test_every_pair_of_its_towers_has_a_calibration(shipped):
    _whole(shipped)


def test_so_has_the_multilingual_one():
    found = multilingual_defaults()
    _whole(found)
    assert found.bank.shared.shape == (3000, DIM)
    assert found.bank.tower.shape == (3000, 384 + 512 + 1)


def _whole(shipped):
    pairs = {(query, target) for query in (TEXT, IMAGE, AUDIO) for target in (TEXT, IMAGE, AUDIO)}
    assert pairs <= set(shipped.tuning.calibrations)
    for found in shipped.tuning.calibrations.values():
        assert found.origin is Origin.SHIPPED
        assert 0.1 < found.match_probability < 0.6


def test_the_bank_is_three_thousand_unit_vectors_in_both_spaces(shipped):
    for rows in (shipped.bank.shared, shipped.bank.tower):
        assert rows.shape == (3000, DIM)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=2e-3)


def test_only_pictures_and_videos_are_corrected_for_hubs(shipped):
    calibrator = Calibrator(defaults=shipped)
    for target in (IMAGE, Modality.VIDEO):
        assert calibrator.hub((TEXT, target)).strength == 0.75
    for pair in ((TEXT, TEXT), (TEXT, AUDIO), (IMAGE, AUDIO), (AUDIO, AUDIO), (IMAGE, IMAGE)):
        assert calibrator.hub(pair) is None


@pytest.mark.parametrize("find", [defaults, multilingual_defaults])
def test_words_and_sounds_look_for_each_other_by_names_too(find):
    shipped = find()
    assert shipped.tuning.adapted == shipped_adapters(shipped).keys
    assert set(shipped.tuning.adapted) == {(TEXT, AUDIO), (AUDIO, TEXT)}
    moved = shipped_adapters(shipped).move(TEXT, shipped.bank)
    rows = moved.compared((TEXT, AUDIO))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert 0.3 < np.vecdot(rows, shipped.bank.shared).mean() < 0.95  # not far, and not nowhere
    assert not rows[:, -1].any()  # the pictures' own coordinate
    assert moved.compared((TEXT, IMAGE)) is shipped.bank.shared


@pytest.mark.parametrize(
    ("pair", "cosine", "cohort", "probability"),
    [
        ((TEXT, IMAGE), 0.17, 0.15, 0.79),
        ((TEXT, TEXT), 0.60, 0.15, 0.79),
        ((TEXT, AUDIO), 0.45, 0.40, 0.51),
        ((IMAGE, IMAGE), 0.75, 0.60, 0.81),
    ],
)
def test_probabilities_among_a_hundred_segments_stay_where_they_were(
    shipped, pair, cosine, cohort, probability
):
    found = shipped.tuning.calibrations[pair]
    corrected = np.array([cosine - found.hub_strength * found.hub_mean])
    said = found.probability(corrected, cohort=np.array([cohort]), rows=100)
    assert said[0] == pytest.approx(probability, abs=0.01)
