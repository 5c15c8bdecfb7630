"""Probabilities: how they are computed, what they decide, and when nothing matches."""

from dataclasses import replace

import numpy as np
import pytest

from polyseek.core.adapting import Adapter, Direction
from polyseek.core.config import SearchOptions
from polyseek.core.defaults import Defaults
from polyseek.core.errors import InvalidFilterError, QueryError
from polyseek.core.hits import Candidates, Hit, Query
from polyseek.core.maps import QueryMap
from polyseek.core.tuning import Calibration, Origin, Tuning
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Manifest,
    Modality,
    Segment,
    SegmentBatch,
    Span,
    SpanUnit,
)
from polyseek.search.calibrate import Calibrator
from polyseek.search.pipeline import search
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

TEXT, IMAGE, AUDIO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO
PLAIN = Calibration(intercept=-2, slope=10, origin=Origin.SHIPPED)


class FixedEncoder(FakeEncoder):
    """Gives every text query the first axis."""

    def encode(self, modality, batch, *, role):
        found = super().encode(modality, batch, role=role)
        return Embeddings(*(np.tile(np.eye(m.shape[1], dtype=np.float32)[:1], (len(m), 1))
                            for m in (found.shared, found.tower)))  # fmt: skip


def towards(cosine, dim):
    vector = np.zeros(dim, np.float32)
    vector[:2] = cosine, np.sqrt(1 - cosine**2)
    return vector


@pytest.fixture
def encoder():
    return FixedEncoder()


@pytest.fixture
def store(encoder):
    info = encoder.info
    dims = {modality: tower.dim for modality, tower in info.towers.items()} | {AUDIO: info.dim}
    manifest = Manifest(
        format_version=1, encoder=info.name, revision=info.revision, dim=info.dim, tower_dims=dims
    )
    return MemoryStore.create("memory", manifest)


def put(store, modality, *, bias=None, **cosines):
    """Assets by name; a sequence of cosines makes a recording of several segments."""
    segments, shared, tower, records = [], [], [], []
    for name, given in cosines.items():
        values = given if isinstance(given, list) else [given]
        for second, cosine in enumerate(values):
            span = Span(unit=SpanUnit.SECONDS, start=10 * second, end=10 * second + 9)
            segments.append(
                Segment(asset_uri=f"mem:/{name}", modality=modality,
                        span=span if len(values) > 1 else None)
            )  # fmt: skip
            shared.append(towards(cosine, store.manifest.dim))
            tower.append(towards(cosine, store.manifest.tower_dims[modality]))
        records.append(
            AssetRecord(uri=f"mem:/{name}", status=AssetStatus.INDEXED, modalities=(modality,),
                        etag="1", size_bytes=1)
        )  # fmt: skip
    hub = {} if bias is None else {TEXT: np.array(bias, np.float32)}
    rows = Embeddings(np.stack(shared), np.stack(tower))
    with store.writing():
        store.upsert(records, [SegmentBatch(modality, segments, rows, hub)])


def shipped(**by_target):
    calibrations = {(TEXT, Modality(name)): found for name, found in by_target.items()}
    return Defaults(
        tuning=Tuning(calibrations=calibrations),
        bank=Embeddings(np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32)),
        cohorts={},
    )


def ask(store, encoder, defaults=None, **options):
    query = Query(modality=TEXT, signals=["a red car"], label="a red car")
    return search(
        query, encoder=encoder, store=store, options=SearchOptions(**options), defaults=defaults
    )


def names(results):
    return [hit.uri.removeprefix("mem:/") for hit in results]


def logistic(x):
    return 1 / (1 + np.exp(-x))


def test_the_formula():
    calibration = Calibration(
        hub_strength=0.5, hub_mean=0.2, intercept=-1, slope=8, cohort_weight=-3, size_weight=-0.5,
        origin=Origin.SHIPPED,
    )  # fmt: skip
    cohort = np.array([[1, 0], [0, 1]], np.float32)
    defaults = replace(shipped(image=calibration), cohorts={IMAGE: Embeddings(cohort, cohort)})
    hits = [
        Hit(id="a", uri="a", modality=IMAGE, score=0.9, hub_bias=0.4),
        Hit(id="b", uri="b", modality=IMAGE, score=0.5),
    ]
    candidates = Candidates(hits=hits, tier="memory-exact", rows=100)
    found = Calibrator(defaults=defaults).probabilities(
        (TEXT, IMAGE), np.array([0.6, 0.8], np.float32), candidates
    )
    match = (0.6 + 0.8) / 2
    expected = [
        logistic(-1 + 8 * corrected - 3 * match - 0.5 * np.log(100))
        for corrected in (0.9 - 0.5 * 0.4, 0.5 - 0.5 * 0.2)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_a_collection_learned_comes_before_what_ships(store, encoder):
    put(store, IMAGE, a=0.5)
    before = ask(store, encoder, shipped(image=PLAIN), show_all=True).hits[0]
    own = Calibration(intercept=3, slope=10, origin=Origin.COLLECTION)
    store.save_tuning(Tuning(calibrations={(TEXT, IMAGE): own}))
    after = ask(store, encoder, shipped(image=PLAIN))
    assert before.probability == pytest.approx(logistic(-2 + 5))
    assert after.hits[0].probability == pytest.approx(logistic(3 + 5))
    assert after.hits[0].score == before.score
    (step,) = after.plan
    assert step.calibration.origin is Origin.COLLECTION


def turned(dim, features):
    """Moves queries from the first axis to the second."""
    weights = np.zeros((features, dim))
    weights[0, 1] = 1
    found = QueryMap.linear(keep=0.0, mean=np.zeros(features), weights=weights)
    return Direction(map=found, strength=1.0, rung="test")


@pytest.fixture
def moving(encoder):
    """Defaults whose text queries among sounds are moved, and whose calibration knows it."""
    dims = encoder.info.dim, encoder.info.dim + encoder.info.towers[TEXT].dim
    adapter = Adapter(name="names", encoder="fake", directions={(TEXT, AUDIO): turned(*dims)})
    found = shipped(audio=PLAIN, image=PLAIN)
    tuning = replace(found.tuning, adapted={(TEXT, AUDIO): "names@1"})
    return replace(found, tuning=tuning, adapter=adapter)


def test_an_adapter_that_ships_moves_queries_and_is_calibrated(store, encoder, moving):
    put(store, AUDIO, first=1.0, second=0.0)
    put(store, IMAGE, picture=0.5)
    found = ask(store, encoder, moving, show_all=True)
    assert names(found) == ["second", "picture", "first"]
    best, picture, worst = found.hits
    assert (best.score, worst.score) == (pytest.approx(1), pytest.approx(0))
    assert best.probability == pytest.approx(logistic(-2 + 10))
    assert picture.probability == pytest.approx(logistic(-2 + 5))
    assert {step.modality: step.adapter for step in found.plan} == {AUDIO: "names@1", IMAGE: ""}


def test_a_calibration_for_queries_that_lie_elsewhere_is_none(store, encoder, moving):
    put(store, AUDIO, sound=0.5)
    unaware = replace(moving, tuning=replace(moving.tuning, adapted={}))
    assert ask(store, encoder, unaware, show_all=True).hits[0].probability is None


@pytest.mark.parametrize("hub_strength", [0.0, 0.5])
def test_a_tuning_from_before_an_adapter_shipped_costs_only_what_it_knows(
    store, encoder, moving, hub_strength
):
    put(store, AUDIO, second=0.0, bias=[0.3])
    stale = replace(PLAIN, intercept=5, origin=Origin.COLLECTION)
    store.save_tuning(Tuning(calibrations={(TEXT, AUDIO): stale}))
    known = replace(PLAIN, hub_strength=hub_strength)
    tuning = replace(moving.tuning, calibrations={(TEXT, AUDIO): known})
    (hit,) = ask(store, encoder, replace(moving, tuning=tuning), show_all=True).hits
    # Its hub biases are of queries that lay elsewhere.
    assert hit.probability == (None if hub_strength else pytest.approx(logistic(-2 + 10)))


def test_probability_orders_a_mixed_list_and_the_score_does_not(store, encoder):
    put(store, IMAGE, picture=0.3)
    put(store, TEXT, passage=0.6)
    put(store, AUDIO, sound=0.5)
    found = ask(
        store,
        encoder,
        shipped(
            image=Calibration(intercept=-1, slope=10, origin=Origin.SHIPPED),
            text=Calibration(intercept=-5, slope=10, origin=Origin.SHIPPED),
            audio=Calibration(intercept=-4.5, slope=10, origin=Origin.SHIPPED),
        ),
    )
    assert names(found) == ["picture", "passage", "sound"]
    assert [hit.rank for hit in found] == [1, 2, 3]
    assert [hit.probability for hit in found] == sorted(
        (hit.probability for hit in found), reverse=True
    )


def test_the_hub_correction_of_the_pair_is_used(store, encoder):
    put(store, IMAGE, hub=0.6, quiet=0.55, bias=[0.5, 0.1])
    calibration = replace(PLAIN, hub_strength=0.5)
    assert names(ask(store, encoder, shipped(image=PLAIN))) == ["hub", "quiet"]
    found = ask(store, encoder, shipped(image=calibration))
    assert names(found) == ["quiet", "hub"]
    assert found.plan[0].hub_strength == 0.5


def test_nothing_probable_is_no_match(store, encoder):
    put(store, IMAGE, a=0.1, b=0.05)
    found = ask(store, encoder, shipped(image=PLAIN))
    assert (found.no_match, len(found)) == (True, 0)
    shown = ask(store, encoder, shipped(image=PLAIN), show_all=True)
    assert (shown.no_match, names(shown)) == (True, ["a", "b"])


def test_the_best_of_any_modality_makes_a_match(store, encoder):
    put(store, IMAGE, picture=0.1)
    put(store, TEXT, passage=0.9)
    picky = replace(PLAIN, match_probability=0.99999)
    assert not ask(store, encoder, shipped(image=picky, text=PLAIN)).no_match
    assert ask(store, encoder, shipped(image=picky, text=picky)).no_match


def test_hits_far_below_the_best_are_left_out(store, encoder):
    put(store, IMAGE, best=0.9, fair=0.2, poor=-0.6)
    assert names(ask(store, encoder, shipped(image=PLAIN))) == ["best", "fair"]
    every = ask(store, encoder, shipped(image=PLAIN), show_all=True)
    assert (every.no_match, names(every)) == (False, ["best", "fair", "poor"])


def test_a_least_probability_is_obeyed(store, encoder):
    put(store, IMAGE, best=0.9, fair=0.2, poor=-0.6)
    ship = shipped(image=replace(PLAIN, match_probability=0.99999))
    assert names(ask(store, encoder, ship, min_probability=0.9)) == ["best"]
    assert names(ask(store, encoder, ship, min_probability=0)) == ["best", "fair", "poor"]
    assert ask(store, encoder, ship, min_probability=0.9999).no_match


@pytest.mark.parametrize("least", [-0.1, 1.1, float("nan")])
def test_a_least_probability_is_a_probability(store, encoder, least):
    with pytest.raises(QueryError, match="between 0 and 1"):
        ask(store, encoder, min_probability=least)


def test_without_calibration_ranks_decide_and_everything_matches(store, encoder):
    put(store, IMAGE, picture=0.1, other=0.05)
    put(store, TEXT, passage=0.9)
    found = ask(store, encoder)
    assert (found.no_match, names(found)) == (False, ["picture", "passage", "other"])
    assert all(hit.probability is None for hit in found)
    half = ask(store, encoder, shipped(image=PLAIN))
    assert names(half) == names(found)
    with pytest.raises(QueryError, match="polyseek tune"):
        ask(store, encoder, min_probability=0.5)


def test_without_calibration_a_long_recording_takes_one_place(store, encoder):
    put(store, AUDIO, long=[0.9 - i / 100 for i in range(30)], short=0.3, faint=0.2)
    put(store, IMAGE, **{f"p{i}": 0.5 - i / 100 for i in range(20)})
    found = names(ask(store, encoder, limit=6))
    assert found == ["p0", "long", "p1", "short", "p2", "faint"]


def test_moments_have_probabilities_too(store, encoder):
    put(store, AUDIO, talk=[0.9, 0.5, 0.4])
    (hit,) = ask(store, encoder, shipped(audio=PLAIN))
    assert [m.probability for m in hit.moments] == [
        pytest.approx(logistic(-2 + 10 * c), rel=1e-4) for c in (0.5, 0.4)
    ]


def test_an_empty_collection_has_no_match(store, encoder):
    found = ask(store, encoder, shipped(image=PLAIN))
    assert (found.no_match, len(found)) == (True, 0)


def test_a_filter_that_does_not_fit_is_refused_before_anything_is_encoded(store):
    with pytest.raises(InvalidFilterError, match="nothing"):
        ask(store, None, filter="nothing = 1")
