"""Towers that share a space, and those that do not."""

from dataclasses import replace

import numpy as np
import pytest
from patients import IMAGE, TEXT, Altered, fake_collection, rotated, subject_of

from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.towers import check_towers, match
from polyseek.testing import FakeEncoder


def look(encoder):
    return check_towers(subject_of(fake_collection(), encoder=encoder))


def test_towers_of_one_space_are_healthy():
    found = look(FakeEncoder())
    assert found.verdict is Verdict.OK
    assert found.figures["text-image"]["by_chance"] < 0.002


@pytest.mark.parametrize("modality", [TEXT, IMAGE])
def test_a_tower_of_another_model_is_found(modality):
    found = look(Altered(rotated, modality))
    assert found.verdict is Verdict.FAILURE
    assert found.figures["text-image"]["by_chance"] > 0.002
    assert "no better than chance" in " ".join(found.notes)


def test_a_tower_that_sees_nothing_is_found():
    def constant(rows):
        same = np.zeros_like(rows)
        same[:, 0] = 1
        return same

    found = look(Altered(constant, IMAGE))
    assert found.verdict is Verdict.FAILURE
    assert found.figures["text-image"]["probes_above"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("change", [lambda rows: 3 * rows, lambda rows: rows * np.float32(np.nan)])
def test_embeddings_without_unit_length_are_found(change):
    found = look(Altered(change, IMAGE))
    assert found.verdict is Verdict.FAILURE
    assert "embeddings are not" in " ".join(found.notes)


def test_a_mirrored_pair_is_poor_and_a_right_one_is_certain():
    rows = np.eye(12, dtype=np.float32)
    assert match(rows, rows).first == 1
    assert match(rows, rows).above == 1
    assert match(rows, rows).chance < 0.001
    assert match(rows, np.roll(rows, 1, axis=0)).chance > 0.5


def test_without_a_text_tower_nothing_is_said():
    encoder = FakeEncoder()
    encoder.info = replace(encoder.info, towers={IMAGE: encoder.info.towers[IMAGE]})
    found = check_towers(subject_of(fake_collection(), encoder=encoder))
    assert found.verdict is Verdict.OK
    assert "reads no text" in found.summary
