"""Tuning on a collection in which it is known what belongs to what."""

import numpy as np
import pytest

from polyseek.core.defaults import Defaults
from polyseek.core.errors import ConfigError
from polyseek.core.tuning import Calibration, Origin, Tuning
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Manifest,
    Modality,
    Segment,
    SegmentBatch,
)
from polyseek.learn import tune as tune_module
from polyseek.learn.bank import MIN_QUERIES, embed_bank, generic_queries, read_bank
from polyseek.learn.tune import fit_pair, hub_strength, mutual_nearest, tune
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

TEXT, IMAGE, AUDIO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO
DIM = 32


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def both(rows):
    return Embeddings(shared=rows, tower=rows)


def world(count=400, *, hubs=0.0, noise=0.7, seed=0):
    """Pictures, and for each a query that lies near it; `hubs` pulls some to the middle."""
    rng = np.random.default_rng(seed)
    middle = unit(rng.normal(size=(1, DIM)))
    pictures = unit(rng.normal(size=(count, DIM)))
    queries = unit(pictures + noise * unit(rng.normal(size=(count, DIM))) + 0.6 * middle)
    pulled = rng.random(count) < 0.1
    pictures = unit(pictures + np.where(pulled[:, None], hubs * middle, 0))
    return queries, pictures


def store_of(**by_modality):
    dims = {Modality(name): rows.shape[1] for name, rows in by_modality.items()}
    manifest = Manifest(format_version=1, encoder="fake", revision="1", dim=DIM, tower_dims=dims)
    store = MemoryStore.create("memory", manifest)
    for name, rows in by_modality.items():
        modality = Modality(name)
        segments = [
            Segment(asset_uri=f"mem:/{name}/{i}", modality=modality) for i in range(len(rows))
        ]
        records = [
            AssetRecord(
                uri=segment.asset_uri, status=AssetStatus.INDEXED, modalities=(modality,),
                etag="1", size_bytes=1,
            )
            for segment in segments
        ]  # fmt: skip
        with store.writing():
            store.upsert(records, [SegmentBatch(modality, segments, both(rows))])
    return store


def test_hub_biases_of_sounds_belong_to_the_bank():
    """They are computed as sounds come, by the bank and the adapters of that time."""
    queries, sounds = world(30)
    store = store_of(audio=sounds)
    with store.writing():
        store.set_hub_bias(AUDIO, TEXT, lambda rows: np.full(len(rows), 9, np.float32))
    tuning = tune(store, bank=both(queries))
    assert tuning.calibrations == {}
    expected = tune_module.hub_bias(sounds, queries)
    assert [row.hub_bias[TEXT] for row in store._rows.values()] == pytest.approx(expected.tolist())


def test_hubs_are_corrected_and_their_absence_is_noticed():
    queries, pictures = world(hubs=3.0)
    assert hub_strength(queries, pictures) > 0
    rng = np.random.default_rng(9)
    nowhere_near = unit(rng.normal(size=(300, DIM)) * np.array([1] + [1e-3] * (DIM - 1)))
    flat = unit(np.concatenate([np.zeros((200, 1)), rng.normal(size=(200, DIM - 1))], axis=1))
    assert hub_strength(nowhere_near, flat) == 0


def test_mutual_nearest_finds_pairs():
    queries, pictures = world(100, noise=0.1)
    found = mutual_nearest(queries @ pictures.T)
    assert found.diagonal().mean() > 0.9
    assert found.sum() == found.diagonal().sum()
    assert (found.sum(axis=0) <= 1).all()


def test_probabilities_of_a_tuned_pair_are_honest():
    queries, pictures = world(600)
    half = 300
    fitted = fit_pair((TEXT, IMAGE), both(queries[:half]), both(pictures), None).calibration
    assert fitted is not None
    assert fitted.origin is Origin.COLLECTION
    asked = queries[half:]
    corrected = asked @ pictures.T
    if fitted.hub_strength:
        corrected = corrected - fitted.hub_strength * tune_module.hub_bias(pictures, queries[:half])
    p = fitted.probability(corrected, cohort=0.0, rows=len(pictures))
    best = p.argmax(axis=1)
    right = best == np.arange(half, 600)
    assert p.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.15)


def test_what_was_fitted_is_kept_with_the_collection():
    queries, pictures = world()
    store = store_of(image=pictures)
    tuning = tune(store, bank=both(queries))
    assert store.tuning == tuning
    assert set(tuning.calibrations) == {(TEXT, IMAGE)}
    assert tuning.fitted_assets == {IMAGE: 400}
    assert all(row.hub_bias for row in store._rows.values())
    assert any("text -> image: hub correction" in note for note in tuning.notes)


def test_pictures_of_the_collection_ask_for_its_texts():
    queries, pictures = world()
    store = store_of(image=pictures, text=queries)
    tuning = tune(store, bank=both(unit(np.random.default_rng(5).normal(size=(200, DIM)))))
    assert (IMAGE, TEXT) in tuning.calibrations
    assert (IMAGE, IMAGE) not in tuning.calibrations


def test_sounds_keep_what_ships():
    queries, sounds = world()
    store = store_of(audio=sounds)
    assert not tune(store, bank=both(queries)).calibrations


@pytest.mark.parametrize(
    ("pictures", "words"),
    [
        (unit(np.random.default_rng(0).normal(size=(10, DIM))), "10 different segments"),
        (np.tile(unit(np.ones((1, DIM))), (300, 1)), "1 different segments"),
    ],
    ids=["ten", "all the same"],
)
def test_too_little_leaves_what_ships_and_says_so(pictures, words):
    queries, _ = world()
    store = store_of(image=pictures)
    tuning = tune(store, bank=both(queries))
    assert not tuning.calibrations
    assert words in tuning.notes[0]
    assert tuning.notes[0].startswith("text -> image")


def test_an_empty_collection_has_nothing_to_fit():
    queries, _ = world()
    tuning = tune(store_of(), bank=both(queries))
    assert (tuning.calibrations, tuning.notes) == ({}, ())


def test_noise_teaches_nothing():
    rng = np.random.default_rng(0)
    bank = unit(rng.normal(size=(200, DIM)) * np.array([1] + [1e-4] * (DIM - 1)))
    rows = unit(rng.normal(size=(200, DIM)) * np.array([1e-4] + [1] * (DIM - 1)))
    base = Calibration(intercept=0, slope=50, origin=Origin.SHIPPED)
    shipped = Defaults(
        tuning=Tuning(calibrations={(TEXT, IMAGE): base}), bank=both(bank), cohorts={}
    )
    found = fit_pair((TEXT, IMAGE), both(bank), both(rows), shipped)
    assert found.calibration is None
    assert "stays" in found.note


def test_tuning_twice_gives_the_same():
    queries, pictures = world(hubs=2.0)
    first, second = (tune(store_of(image=pictures), bank=both(queries)) for _ in range(2))
    assert first == second


def test_the_shipped_bank_is_what_people_type():
    bank = generic_queries()
    assert len(bank) == len(set(bank)) == 3000
    assert all(2 < len(query) < 120 for query in bank)
    assert 1.5 < np.mean([len(query.split()) for query in bank]) < 9


def test_a_bank_of_ones_own_is_read(tmp_path):
    path = tmp_path / "bank.txt"
    path.write_text("\ufeff" + "\n".join(["one", "", " one "] + [f"q {i}" for i in range(120)]))
    assert read_bank(path)[:2] == ("one", "q 0")
    assert len(read_bank(path)) == 121


def test_a_bank_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"--bank .*nowhere"):
        read_bank(tmp_path / "nowhere")
    small = tmp_path / "small.txt"
    small.write_text("one\n" * 500)
    with pytest.raises(ConfigError, match=f"1 distinct queries.*{MIN_QUERIES}"):
        read_bank(small)
    binary = tmp_path / "bank.bin"
    binary.write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_bank(binary)


def test_a_bank_is_embedded_as_queries():
    encoder = FakeEncoder()
    rows = embed_bank([f"query {i}" for i in range(70)], encoder)
    assert rows.shared.shape == (70, encoder.info.dim)
