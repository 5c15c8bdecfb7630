"""The search road: query to embedding to candidates per modality to one ranked list."""

from dataclasses import replace

import numpy as np
import pytest
from watched import (
    IMAGE,
    TEXT,
    add,
    ask,
    colour,
    names,
    picture,
    record,
    words,
)

from polyseek.core.errors import InvalidFilterError, QueryError
from polyseek.core.filters import parse
from polyseek.core.hits import Query
from polyseek.core.reports import Coverage
from polyseek.core.types import (
    AssetStatus,
    Modality,
    Role,
    Space,
)
from polyseek.testing import FakeEncoder


@pytest.fixture
def mixed(store):
    """Three pictures and three texts."""
    add(store, IMAGE, car=colour("red"), sea=colour("blue"), lawn=colour("green"))
    add(store, TEXT, roses="red roses bloom", waves="blue waves roll", receipt="two eggs and milk")
    return store


def test_a_text_finds_pictures_and_texts_and_they_take_turns(mixed, encoder):
    results = ask(words("red roses"), mixed, encoder, limit=4)
    assert names(results)[:2] == ["car", "roses"]
    assert [hit.modality for hit in results] == [IMAGE, TEXT, IMAGE, TEXT]
    assert [hit.rank for hit in results] == [1, 2, 3, 4]
    assert results.query == "red roses"


def test_ties_favour_crossing_to_the_other_modality(mixed, encoder):
    assert ask(words("red"), mixed, encoder, limit=1)[0].modality is IMAGE
    assert ask(picture("red"), mixed, encoder, limit=1)[0].modality is TEXT


def test_its_own_kind_is_compared_in_the_towers_space(mixed, encoder):
    for query, own, other in ((words("blue"), TEXT, IMAGE), (picture("blue"), IMAGE, TEXT)):
        mixed.requests = ()
        ask(query, mixed, encoder)
        spaces = {request.modality: request.space for request in mixed.requests}
        assert spaces == {own: Space.TOWER, other: Space.SHARED}
        prepared = encoder.info.towers[query.modality].prepare(query.signals[0])
        expected = FakeEncoder().encode(query.modality, [prepared], role=Role.QUERY)
        for request in mixed.requests:
            rows = expected.tower if request.modality is own else expected.shared
            np.testing.assert_array_equal(request.vector, rows[0])


def test_a_query_is_encoded_once_as_a_query(mixed, encoder):
    ask(words("red"), mixed, encoder)
    assert encoder.roles == (Role.QUERY,)


def test_enough_candidates_are_asked_for(mixed, encoder):
    ask(words("red"), mixed, encoder, limit=1)
    ask(words("red"), mixed, encoder, limit=100 + 1)
    asked = [request.limit for request in mixed.requests]
    assert asked == [100] * 2 + [100 + 1] * 2


@pytest.mark.parametrize(
    ("wanted", "searched"),
    [
        ([], [IMAGE, TEXT]),
        ([IMAGE], [IMAGE]),
        ([TEXT], [TEXT]),
        ([TEXT, IMAGE, TEXT], [IMAGE, TEXT]),
        ([Modality.AUDIO], []),
        ([Modality.AUDIO, TEXT], [TEXT]),
    ],
)
def test_only_the_wanted_modalities_are_searched(mixed, encoder, wanted, searched):
    results = ask(words("red"), mixed, encoder, modalities=wanted)
    assert [step.modality for step in results.plan] == searched
    assert {hit.modality for hit in results} == set(searched)


def test_the_plan_has_a_step_per_target(mixed, encoder):
    results = ask(words("red"), mixed, encoder, filter="length <= 4")
    steps = [(step.modality, step.space, step.tier, step.rows) for step in results.plan]
    assert steps == [
        (IMAGE, Space.SHARED, "memory-exact", 3),
        (TEXT, Space.TOWER, "memory-exact", 0),
    ]
    assert all(step.recall == 1.0 and step.elapsed_ms >= 0 for step in results.plan)


def test_the_filter_holds_in_every_modality(mixed, encoder):
    results = ask(words("red"), mixed, encoder, filter="name IN ('sea', 'waves')")
    assert sorted(names(results)) == ["sea", "waves"]
    assert {r.filter for r in mixed.requests} == {parse("name IN ('sea', 'waves')")}


@pytest.mark.parametrize("condition", ["nmae = 'sea'", "name = = 'sea'", "length = 'x'"])
def test_a_wrong_filter_is_refused(mixed, encoder, condition):
    with pytest.raises(InvalidFilterError):
        ask(words("red"), mixed, encoder, filter=condition)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused_before_encoding(mixed, encoder, limit):
    with pytest.raises(QueryError, match=f"limit must be at least 1, got {limit}"):
        ask(words("red"), mixed, encoder, limit=limit)
    assert encoder.calls == 0


def test_a_query_without_a_tower_names_what_can_be_read(mixed, encoder):
    query = Query(modality=Modality.AUDIO, signals=[np.zeros(4)], label="song.wav")
    with pytest.raises(
        QueryError, match="encoder 'fake' cannot read audio queries; it reads image, text"
    ):
        ask(query, mixed, encoder)
    encoder.info = replace(encoder.info, towers={IMAGE: encoder.info.towers[IMAGE]})
    with pytest.raises(QueryError, match="cannot read text queries; it reads image"):
        ask(words("red"), mixed, encoder)


def test_coverage_counts_every_asset_once(mixed, encoder):
    mixed.upsert(
        [
            record("half.txt", AssetStatus.PARTIAL, (TEXT,)),
            record("broken.jpg", AssetStatus.FAILED, (IMAGE,)),
            record("film.mkv", AssetStatus.UNSUPPORTED),
            record("tool.exe", AssetStatus.UNSUPPORTED),
            record("new.jpg", AssetStatus.PENDING),
        ],
        [],
    )
    assert ask(words("red"), mixed, encoder).coverage == Coverage(searched=7, failed=3, pending=1)


@pytest.mark.parametrize("query", [words("red"), picture("red")], ids=["text", "picture"])
def test_an_empty_collection_has_no_hits(store, encoder, query):
    results = ask(query, store, encoder)
    assert (len(results), results.plan) == (0, ())
    assert results.coverage == Coverage(searched=0, failed=0, pending=0)


def test_assets_without_segments_are_no_targets_to_stumble_over(store, encoder):
    store.upsert([record("broken.jpg", AssetStatus.FAILED, (IMAGE,))], [])
    assert names(ask(words("red"), store, encoder)) == []


def test_times_are_kept_by_stage(mixed, encoder):
    times = ask(words("red"), mixed, encoder).timings_ms
    assert list(times) == ["encode", "retrieve", "fuse", "total"]
    assert all(ms >= 0 for ms in times.values())
    assert times["total"] == pytest.approx(sum(times.values()) - times["total"])
