"""What a search returns: a sequence of hits that people, notebooks and programs can read."""

import json
import math
import pickle
from datetime import UTC, datetime

import numpy as np
import pytest

from polyseek.core.hits import Hit
from polyseek.core.reports import Coverage
from polyseek.core.tuning import Calibration, Origin
from polyseek.core.types import Modality, Space, Span, SpanUnit
from polyseek.search.results import PlanStep, Results

PICTURE = Hit(
    id="1f",
    uri="file:///photos/a.jpg",
    modality=Modality.IMAGE,
    score=0.31234567,
    probability=0.925,
    hub_bias=0.125,
    text_score=2.5,
    text_share=0.5,
    rank=1,
    metadata={
        "folder": "trip",
        "year": 2024,
        "iso": 0.5,
        "flash": False,
        "taken": datetime(2024, 5, 31, 12, tzinfo=UTC),
        "tags": ["cat", "Größe"],
    },
)
PASSAGE = Hit(
    id="2e",
    uri="file:///notes/b.txt",
    modality=Modality.TEXT,
    score=0.25,
    rank=2,
    span=Span(unit=SpanUnit.CHARACTERS, start=0.0, end=41.0),
    text="a red\ncar " + "x" * 80,
)
STEP = PlanStep(
    modality=Modality.IMAGE,
    space=Space.SHARED,
    tier="memory-exact",
    rows=12,
    recall=1.0,
    elapsed_ms=0.12345,
    hub_strength=0.75,
    calibration=Calibration(intercept=-1, slope=9, match_probability=0.4, origin=Origin.SHIPPED),
)


def results(*hits, **given):
    given = {"query": "a red car", "coverage": Coverage(searched=7, failed=2, pending=1)} | given
    return Results(hits=hits, **given)


def test_the_dictionary_is_the_documented_one():
    answer = results(
        PICTURE,
        PASSAGE,
        nearest=0.925,
        timings_ms={"encode": 1.23456, "total": 2.0},
        plan=[STEP],
    ).to_dict()
    assert answer == {
        "query": "a red car",
        "no_match": False,
        "nearest": 0.925,
        "hits": [
            {
                "rank": 1,
                "id": "1f",
                "uri": "file:///photos/a.jpg",
                "modality": "image",
                "probability": 0.925,
                "score": 0.312346,
                "hub_bias": 0.125,
                "text_score": 2.5,
                "text_share": 0.5,
                "sparse_score": None,
                "span": None,
                "text": None,
                "moments": [],
                "duplicates": [],
                "metadata": {
                    "folder": "trip",
                    "year": 2024,
                    "iso": 0.5,
                    "flash": False,
                    "taken": "2024-05-31T12:00:00+00:00",
                    "tags": ["cat", "Größe"],
                },
            },
            {
                "rank": 2,
                "id": "2e",
                "uri": "file:///notes/b.txt",
                "modality": "text",
                "probability": None,
                "score": 0.25,
                "hub_bias": None,
                "text_score": None,
                "text_share": None,
                "sparse_score": None,
                "span": {"unit": "characters", "start": 0, "end": 41},
                "text": PASSAGE.text,
                "moments": [],
                "duplicates": [],
                "metadata": {},
            },
        ],
        "coverage": {"searched": 7, "failed": 2, "pending": 1},
        "notes": [],
        "timings_ms": {"encode": 1.235, "total": 2.0},
    }
    keys = ["query", "no_match", "nearest", "hits", "coverage", "notes", "timings_ms"]
    assert list(answer) == keys
    names = "rank id uri modality probability score hub_bias text_score text_share"
    assert list(answer["hits"][0]) == [
        *names.split(),
        "sparse_score",
        "span",
        "text",
        "moments",
        "duplicates",
        "metadata",
    ]


def test_the_dictionary_survives_json():
    answer = results(PICTURE, PASSAGE, plan=[STEP]).to_dict(explain=True)
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer


@pytest.mark.parametrize(
    ("value", "plain"), [(math.inf, "inf"), (-math.inf, "-inf"), (1e308, 1e308)]
)
def test_json_knows_no_infinity(value, plain):
    hit = Hit(id="1", uri="u", modality=Modality.TEXT, score=0.5, metadata={"f": value})
    metadata = results(hit).to_dict()["hits"][0]["metadata"]
    assert metadata == {"f": plain}
    json.dumps(metadata, allow_nan=False)


def test_a_numpy_score_becomes_a_plain_number():
    hit = Hit(id="1", uri="u", modality=Modality.TEXT, score=np.float32(0.25))
    assert type(results(hit).to_dict()["hits"][0]["score"]) is float


def test_fractions_of_seconds_stay():
    span = Span(unit=SpanUnit.SECONDS, start=1.5, end=3.0)
    hit = Hit(id="1", uri="u", modality=Modality.TEXT, score=0.5, span=span)
    shown = results(hit).to_dict()["hits"][0]["span"]
    assert json.dumps(shown) == '{"unit": "seconds", "start_s": 1.5, "end_s": 3}'


def test_the_plan_is_there_for_the_asking():
    found = results(plan=[STEP])
    assert "plan" not in found.to_dict()
    assert found.to_dict(explain=True)["plan"] == [
        {
            "modality": "image",
            "space": "shared",
            "tier": "memory-exact",
            "rows": 12,
            "words": None,
            "sparse": None,
            "fusion": None,
            "refined": None,
            "adapter": None,
            "recall": 1.0,
            "hub_strength": 0.75,
            "calibration": "shipped",
            "match_probability": 0.4,
            "elapsed_ms": 0.123,
        }
    ]


def test_results_are_a_sequence_of_hits():
    found = results(PICTURE, PASSAGE)
    assert len(found) == 2
    assert list(found) == [PICTURE, PASSAGE]
    assert found[0] is PICTURE
    assert found[-1] is PASSAGE
    assert list(found[:1]) == [PICTURE]
    assert list(reversed(found)) == [PASSAGE, PICTURE]
    assert PASSAGE in found
    assert found.index(PASSAGE) == 1
    with pytest.raises(IndexError):
        found[2]
    assert not results()


def test_results_can_be_pickled():
    found = results(PICTURE, PASSAGE, plan=[STEP], timings_ms={"total": 1.0})
    assert pickle.loads(pickle.dumps(found)) == found


def test_a_print_is_one_line_per_hit():
    shown = str(results(PICTURE, PASSAGE))
    assert shown == repr(results(PICTURE, PASSAGE))
    assert shown.splitlines() == [
        "2 hits for 'a red car'",
        "  1   92%  image  file:///photos/a.jpg",
        f"  2  0.250  text   file:///notes/b.txt  a red car {'x' * 50}",
    ]


def test_a_print_of_nothing_says_so():
    assert str(results()) == "0 hits for 'a red car'"
