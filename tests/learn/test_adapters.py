"""Adapters from pairs, on made-up embeddings whose best map is known."""

from dataclasses import replace

import numpy as np
import pytest

from polyseek.core.adapting import Adapter, Adapters, Direction, QueryMap, Use, between
from polyseek.core.errors import ConfigError
from polyseek.core.types import Embeddings, Modality
from polyseek.learn.adapters.closed_form import Cca, Ridge
from polyseek.learn.adapters.general import kept
from polyseek.learn.adapters.ladder import Task, fit
from polyseek.learn.adapters.pairs import Linked, Side, folds_of, same
from polyseek.learn.adapters.residual import Residual
from polyseek.learn.adapters.trial import calibrate, climb

TEXT, IMAGE, AUDIO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO
DIM = 12


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def pairs(count=120, noise=0.3, seed=0, *, shuffled=False, useful=0.0):
    """Texts whose tower vectors are a rotation of their picture's; the shared ones know little."""
    rng = np.random.default_rng(seed)
    pictures = unit(rng.normal(size=(count, DIM)))
    rotation = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    towers = unit(pictures @ rotation + noise * rng.normal(size=(count, DIM)) / np.sqrt(DIM))
    shared = unit(useful * pictures + rng.normal(size=(count, DIM)) / np.sqrt(DIM))
    order = rng.permutation(count) if shuffled else np.arange(count)
    return Linked(
        first=side(TEXT, shared, towers),
        second=side(IMAGE, pictures, pictures),
        links=np.stack([np.arange(count), order], axis=1),
    )


def side(modality, shared, tower, keys=None):
    keys = keys or [f"{modality} {i}" for i in range(len(shared))]
    return Side(modality=modality, keys=keys, embeddings=Embeddings(shared, tower))


def task(linked):
    return Task(pairs=linked, distractors=np.zeros((0, DIM), np.float32))


def test_what_can_be_learned_is_learned_and_proves_itself():
    verdict = climb(task(pairs()))
    report = verdict.to_dict()
    assert verdict.better
    assert report["before"]["R@1"][0] < 0.1
    assert report["after"]["R@1"][0] > 0.6
    assert report["queries"] == report["groups"] == 120
    assert report["items"] == 24  # a fifth is held out at a time


@pytest.mark.parametrize("rung", [Ridge(), Cca(), Residual()])
def test_every_rung_maps_unseen_queries(rung):
    both = task(pairs(200, noise=0.1))
    training = np.arange(200) < 150
    fitted = fit(rung, both, training)
    placed = fitted.place(both.features[150:], both.unadapted[150:])
    np.testing.assert_allclose(np.linalg.norm(placed, axis=1), 1, atol=1e-5)
    found = (placed @ both.targets.T).argmax(axis=1)
    assert (found == np.arange(150, 200)).mean() > 0.6


def test_pairs_at_random_are_refused():
    better = [climb(task(pairs(60, seed=seed, shuffled=True))).better for seed in range(12)]
    assert sum(better) <= 1


def test_a_good_search_is_not_made_worse_by_few_pairs():
    verdict = climb(task(pairs(24, noise=3.0, useful=3.0)))
    assert not verdict.better or verdict.after.ranks.mean() <= verdict.before.ranks.mean()


def test_groups_hold_together_what_shares_an_item_a_copy_or_words():
    rng = np.random.default_rng(0)
    rows = unit(rng.normal(size=(60, DIM)))
    rows[7] = rows[3]
    keys = [f"text {i}" for i in range(60)]
    keys[11] = "TEXT, 10!"
    linked = Linked(
        first=side(TEXT, rows, rows, keys),
        second=side(IMAGE, rows, rows),
        links=np.array([*((i, i) for i in range(60)), (20, 21)]),
    )
    groups = linked.groups
    assert groups[7] == groups[3]
    assert groups[11] == groups[10]
    assert groups[20] == groups[21] == groups[60]
    assert len(np.unique(groups)) == 57
    assert linked.relevant[3, 7]
    assert linked.relevant[20, 21]
    folds = folds_of(groups, 5)
    for group in np.unique(groups):
        assert len(np.unique(folds[groups == group])) == 1
    held_out = np.arange(61) == 11
    assert linked.leaks(held_out) == ["TEXT, 10! | image 11"]
    assert not linked.leaks(np.arange(61) == 30)


def test_pairs_that_teach_nothing_are_refused_with_a_reason():
    good = pairs(40)
    with pytest.raises(ConfigError, match="5 independent groups"):
        Linked(first=good.first, second=good.second, links=good.links[:5])
    broken = good.first.embeddings.shared.copy()
    broken[4, 2] = np.nan
    with pytest.raises(ConfigError, match="1 of 40 text embeddings hold values that are not num"):
        Linked(
            first=side(TEXT, broken, good.first.embeddings.tower),
            second=good.second,
            links=good.links,
        )
    flat = np.tile(good.first.embeddings.tower[:1], (40, 1))
    with pytest.raises(ConfigError, match="all 40 text embeddings are equal"):
        Linked(first=side(TEXT, flat, flat), second=good.second, links=good.links)
    chained = np.concatenate([good.links, np.stack([np.arange(20), np.arange(1, 21)], axis=1)])
    with pytest.raises(ConfigError, match="hang together"):
        Linked(first=good.first, second=good.second, links=chained)


def test_media_that_are_equal_but_for_noise_are_the_same():
    rng = np.random.default_rng(1)
    rows = unit(rng.normal(size=(50, DIM)) + 2)
    rows[20] = unit(rows[30:31] + 0.001)[0]
    assert same(side(IMAGE, rows, rows)).tolist() == [[20, 30]]


def test_an_adapter_survives_its_bytes():
    both = task(pairs())
    fitted = fit(Residual(), both, np.ones(120, bool))
    verdict = climb(both)
    calibration = calibrate(both, verdict.after, None)
    before = Adapter(
        name="text-image-1",
        encoder="fake@1",
        directions={
            (TEXT, IMAGE): Direction(
                map=fitted.map, strength=0.5, rung="residual", calibration=calibration
            )
        },
        report={"n": 1},
    )
    after = Adapter.from_bytes(before.to_bytes())
    assert (after.name, after.encoder, after.report) == ("text-image-1", "fake@1", {"n": 1})
    direction = after.directions[TEXT, IMAGE]
    assert direction.calibration == calibration
    np.testing.assert_array_equal(
        direction.map(both.features, both.unadapted), fitted.map(both.features, both.unadapted)
    )
    with pytest.raises(ValueError, match="no adapter"):
        Adapter.from_bytes(b"junk")


def test_calibrated_probabilities_rise_with_relevance():
    both = task(pairs())
    verdict = climb(both)
    found = calibrate(both, verdict.after, None)
    assert found is not None
    scores = both.scores(verdict.after.placed)
    right = found.probability(scores[both.relevant], cohort=0.0, rows=120)
    wrong = found.probability(scores[~both.relevant], cohort=0.0, rows=120)
    assert right.mean() > wrong.mean() + 0.2


def test_scores_that_tell_nothing_apart_are_not_calibrated():
    """As when nine texts are looked for by a hundred sounds: each would be 3 % probable."""
    both = task(pairs(shuffled=True))
    verdict = climb(both)
    nothing = replace(verdict.after, placed=unit(np.random.default_rng(1).normal(size=(120, DIM))))
    assert calibrate(both, nothing, None) is None


def test_strength_goes_from_unadapted_to_adapted():
    linked = pairs()
    direction = Direction(map=fit(Ridge(), task(linked), np.ones(120, bool)).map, strength=1.0,
                          rung="ridge")  # fmt: skip
    adapter = Adapter(name="a", encoder="e", directions={(TEXT, IMAGE): direction})
    active = Adapters({(TEXT, IMAGE): Use(adapter="a", strength=0.75)}, {"a": adapter})
    queries = linked.first.embeddings
    unmoved = active.at(0).move(TEXT, active.move(TEXT, queries))
    assert unmoved.compared((TEXT, IMAGE)) is queries.shared
    assert active.at(0).key((TEXT, IMAGE)) == "" != active.key((TEXT, IMAGE))
    moved = active.move(TEXT, queries)
    assert not active.move(IMAGE, linked.second.embeddings).adapted
    np.testing.assert_array_equal(moved.compared((TEXT, TEXT)), queries.tower)
    np.testing.assert_array_equal(active.move(TEXT, moved).adapted[IMAGE], moved.adapted[IMAGE])
    whole = active.at(1).move(TEXT, queries).compared((TEXT, IMAGE))
    np.testing.assert_allclose(
        moved.compared((TEXT, IMAGE)), between(queries.shared, whole, 0.75), atol=1e-6
    )
    np.testing.assert_array_equal(
        moved.take(np.array([3])).adapted[IMAGE], moved.adapted[IMAGE][3:4]
    )


def shift(by, strength=0.5):
    """Moves queries towards their own embedding, turned by so many places."""
    turned = np.roll(np.eye(DIM), by, axis=1)
    weights = np.concatenate([turned, np.zeros((DIM, DIM))])
    found = QueryMap.linear(keep=0.0, mean=np.zeros(2 * DIM), weights=weights)
    return Direction(map=found, strength=strength, rung="test")


def test_what_ships_serves_its_pairs_and_own_adapters_start_from_it():
    pair, other = (TEXT, AUDIO), (TEXT, IMAGE)
    queries = pairs().first.embeddings
    ships = Adapter(name="names-1", encoder="e", directions={pair: shift(1)})
    fitted = replace(shift(2), start="names-1@0.5")
    own = Adapter(name="a", encoder="e", directions={pair: fitted, other: shift(3)})
    shipped = Adapters(shipped=ships)
    alone = shipped.move(TEXT, queries)
    turned = np.roll(queries.shared, 1, axis=1)
    np.testing.assert_allclose(
        alone.compared(pair), between(queries.shared, turned, 0.5), atol=1e-6
    )
    assert alone.compared(other) is queries.shared
    assert not shipped.move(IMAGE, queries).adapted

    uses = {p: Use(adapter="a", strength=1.0) for p in own.directions}
    both = replace(shipped, uses=uses, by_name={"a": own})
    expected = between(alone.compared(pair), np.roll(queries.shared, 2, axis=1), 1.0)
    np.testing.assert_allclose(both.move(TEXT, alone).compared(pair), expected, atol=1e-6)
    np.testing.assert_array_equal(
        both.at(0).move(TEXT, queries).compared(pair), alone.compared(pair)
    )
    assert shipped.keys == {pair: "names-1@0.5"} == both.at(0).keys
    assert both.keys == {pair: "names-1@0.5 a@1", other: "a@1"}
    assert (both.direction(pair), shipped.direction(pair)) == (fitted, None)
    assert Adapter.from_bytes(own.to_bytes()).directions[pair].start == "names-1@0.5"


@pytest.mark.parametrize("start", ["", "names-0@0.5"])
def test_an_adapter_from_before_one_shipped_serves_as_it_was_fitted(start):
    pair = (TEXT, AUDIO)
    queries = pairs().first.embeddings
    ships = Adapter(name="names-1", encoder="e", directions={pair: shift(1)})
    own = Adapter(name="a", encoder="e", directions={pair: replace(shift(2), start=start)})
    uses = {pair: Use(adapter="a", strength=1.0)}
    both = Adapters(uses, {"a": own}, shipped=ships)
    turned = np.roll(queries.shared, 2, axis=1)
    np.testing.assert_allclose(both.move(TEXT, queries).compared(pair), turned, atol=1e-6)
    assert both.keys == {pair: "a@1"}
    assert both.at(0).keys == {pair: "names-1@0.5"}


def test_a_query_without_a_direction_stays_where_it_was():
    nothing = QueryMap.linear(keep=0.0, mean=np.zeros(2 * DIM), weights=np.zeros((2 * DIM, DIM)))
    rows = unit(np.random.default_rng(0).normal(size=(3, DIM)))
    np.testing.assert_array_equal(nothing(np.concatenate([rows, rows], axis=1), rows), rows)


def test_generic_queries_keep_what_they_find_or_not():
    rng = np.random.default_rng(0)
    items, queries = unit(rng.normal(size=(100, DIM))), unit(rng.normal(size=(20, DIM)))
    assert kept(queries, queries, items) == 1
    assert kept(queries, unit(rng.normal(size=(20, DIM))), items) < 0.4
