"""Length, spread and copies of stored vectors."""

from dataclasses import replace

import numpy as np
import pytest
from patients import AUDIO, IMAGE, cloud, store_of, subject_of, unit

from polyseek.core.types import Embeddings
from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.vectors import check_duplicates, check_norms, check_spread, copies, spread


def test_unit_vectors_that_differ_are_healthy():
    subject = subject_of(store_of({IMAGE: cloud(60), AUDIO: cloud(30, seed=1)}))
    for check in (check_norms, check_spread, check_duplicates):
        assert check(subject).verdict is Verdict.OK
    assert check_norms(subject).figures["image-shared"]["wrong"] == 0


def test_vectors_of_another_length_are_found_and_named():
    rows = cloud(20)
    rows[7] *= 2
    found = check_norms(subject_of(store_of({IMAGE: rows})))
    assert found.verdict is Verdict.FAILURE
    assert "1 of 20" in found.notes[0]
    assert "007" in found.notes[0]
    assert found.figures["image-shared"]["longest"] == pytest.approx(2)


def test_vectors_that_are_not_finite_are_found_and_give_no_nan():
    subject = subject_of(store_of({IMAGE: cloud(20)}))
    batch = subject.samples[IMAGE]
    rows = batch.embeddings.shared.copy()
    rows[3, 0] = np.nan
    broken = replace(batch, embeddings=Embeddings(shared=rows, tower=batch.embeddings.tower))
    subject = replace(subject, samples={IMAGE: broken})
    found = check_norms(subject)
    assert found.verdict is Verdict.FAILURE
    assert found.figures["image-shared"]["not_finite"] == 1
    assert found.figures["image-shared"]["longest"] is None
    assert check_spread(subject).verdict is Verdict.OK


@pytest.mark.parametrize(
    ("width", "verdict"),
    [(0.03, Verdict.FAILURE), (0.15, Verdict.WARNING), (1.0, Verdict.OK)],
)
def test_vectors_that_point_into_one_direction_are_found(width, verdict):
    found = check_spread(subject_of(store_of({IMAGE: cloud(50, at=1, width=width)})))
    assert found.verdict is verdict
    assert bool(found.advice) == (verdict is not Verdict.OK)


def test_a_few_segments_are_not_judged():
    found = check_spread(subject_of(store_of({IMAGE: cloud(9, at=1, width=0.001)})))
    assert found.verdict is Verdict.OK
    assert "9 segments are too few" in found.notes[0]


@pytest.mark.parametrize(
    ("same", "verdict"), [(1, Verdict.OK), (6, Verdict.WARNING), (20, Verdict.FAILURE)]
)
def test_copies_are_counted_and_named(same, verdict):
    rows = cloud(20)
    rows[:same] = rows[0]
    found = check_duplicates(subject_of(store_of({IMAGE: rows})))
    assert found.verdict is verdict
    assert found.figures["image"]["copies"] == same - 1
    if same > 1:
        assert "000, 001" in found.notes[0]
        assert found.figures["image"]["examples"][0][0] == "file:///image/000"


def test_spread_and_copies_of_known_vectors():
    cosine, rank = spread(unit(np.eye(4)))
    assert cosine == pytest.approx(0)
    assert rank == pytest.approx(3)
    assert spread(np.tile(unit([[1, 0]]), (5, 1))) == pytest.approx((1, 1))
    groups = copies(unit([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [1, 1]]))
    assert [group.tolist() for group in groups] == [[0, 2, 4], [1, 3]]
