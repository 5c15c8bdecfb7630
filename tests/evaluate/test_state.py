"""Coverage, tuning and the bank."""

from dataclasses import replace

import pytest
from patients import (
    IMAGE,
    TEXT,
    Altered,
    bank_of,
    calibration,
    cloud,
    record,
    store_of,
    subject_of,
    with_tuning,
)

from polyseek.core.types import AssetStatus
from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.state import check_bank, check_coverage, check_tuning
from polyseek.testing import FakeEncoder


def spoil(store, n, status=AssetStatus.FAILED):
    with store.writing():
        store.upsert(
            [record(f"file:///bad/{i}.png", status=status, reason="no picture") for i in range(n)],
            [],
        )
    return store


def test_a_complete_collection_is_healthy():
    found = check_coverage(spoil(store_of({IMAGE: cloud(10)}), 2, AssetStatus.UNSUPPORTED))
    assert found.verdict is Verdict.OK
    assert "10 assets" in found.summary
    assert "2 files of formats" in found.notes[0]


@pytest.mark.parametrize(
    ("bad", "status", "verdict"),
    [
        (1, AssetStatus.FAILED, Verdict.WARNING),
        (1, AssetStatus.PENDING, Verdict.WARNING),
        (1, AssetStatus.PARTIAL, Verdict.WARNING),
        (11, AssetStatus.FAILED, Verdict.FAILURE),
    ],
)
def test_what_is_not_searched_is_counted_and_named(bad, status, verdict):
    found = check_coverage(spoil(store_of({IMAGE: cloud(10)}), bad, status))
    assert found.verdict is verdict
    assert f"{bad} {status}" in found.summary
    assert "0.png: no picture" in found.notes[0]


def test_an_empty_collection_is_a_warning():
    found = check_coverage(store_of({}))
    assert found.verdict is Verdict.WARNING
    assert "empty" in found.summary


PAIRS = {"text_text": 0, "text_image": 0.75, "image_text": 0, "image_image": 0}


def tuned(n=60, *, bias=True, leave_out=()):
    store = store_of(
        {IMAGE: cloud(n), TEXT: cloud(n, seed=1)},
        hub_bias={IMAGE: cloud(n)[:, 0]} if bias else None,
    )
    return with_tuning(
        store,
        **{
            name: calibration(hub_strength=strength)
            for name, strength in PAIRS.items()
            if name not in leave_out
        },
    )


def test_a_tuned_collection_is_healthy():
    found = check_tuning(subject_of(tuned()))
    assert found.verdict is Verdict.OK, found
    assert found.figures["own_calibrations"] == 4


def test_a_missing_calibration_is_found():
    found = check_tuning(subject_of(tuned(leave_out=("image_text",))))
    assert found.verdict is Verdict.WARNING
    assert "image -> text: no calibration" in found.notes[0]
    assert found.advice == "polyseek tune"


def test_segments_without_a_hub_bias_are_found():
    found = check_tuning(subject_of(tuned(bias=False)))
    assert found.verdict is Verdict.WARNING
    assert found.figures["segments_without_hub_bias"] == {"text -> image": 60}


def test_growth_since_it_was_tuned_is_found():
    store = tuned()
    store.save_tuning(replace(store.tuning, fitted_assets={IMAGE: 39, TEXT: 60}))
    found = check_tuning(subject_of(store))
    assert found.verdict is Verdict.WARNING
    assert found.notes == ["image: 39 assets when it was tuned, 60 now"]
    store.save_tuning(replace(store.tuning, fitted_assets={IMAGE: 41, TEXT: 60}))
    assert check_tuning(subject_of(store)).verdict is Verdict.OK


def test_a_tuning_for_queries_that_lay_elsewhere_is_found():
    store = tuned()
    store.save_tuning(replace(store.tuning, adapted={(TEXT, IMAGE): "gone-1@0.5"}))
    found = check_tuning(subject_of(store))
    assert found.verdict is Verdict.WARNING
    assert "text -> image: tuned when an adapter had moved such queries elsewhere" in found.notes


def test_never_tuned_is_a_finding_only_where_tuning_would_help():
    large = tuned()
    shipped = subject_of(large).scale
    large.tuning = None
    found = check_tuning(replace(subject_of(large), scale=shipped))
    assert found.verdict is Verdict.WARNING
    assert "never tuned" in found.notes[-1]
    small = tuned(n=12)
    shipped = subject_of(small).scale
    small.tuning = None
    assert check_tuning(replace(subject_of(small), scale=shipped)).verdict is Verdict.OK


def test_a_bank_whose_queries_differ_is_healthy():
    found = check_bank(subject_of(store_of({}), bank=bank_of(cloud(200))))
    assert found.verdict is Verdict.OK
    assert "200 queries" in found.summary


def test_a_bank_in_a_language_the_encoder_does_not_read_is_found():
    found = check_bank(subject_of(store_of({}), bank=bank_of(cloud(200, at=1, width=0.7))))
    assert found.verdict is Verdict.WARNING
    assert "one place" in found.summary
    assert "language" in found.advice


def test_an_encoder_that_crowds_everything_is_not_held_against_the_bank():
    def crowded(rows):
        rows = rows.copy()
        rows[:, 0] += 1
        return rows / (rows**2).sum(axis=1, keepdims=True) ** 0.5

    bank = bank_of(cloud(200, at=1, width=0.9))
    assert check_bank(subject_of(store_of({}), bank=bank)).figures["mean_cosine"] > 0.4
    crowd = subject_of(store_of({}), bank=bank, encoder=Altered(crowded))
    assert check_bank(crowd).verdict is Verdict.OK


def test_no_bank_is_no_finding():
    found = check_bank(subject_of(store_of({}), encoder=FakeEncoder()))
    assert found.verdict is Verdict.OK
