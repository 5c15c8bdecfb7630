"""Labels switch the second look off where it hurts, and nowhere else."""

import numpy as np
import pytest
from PIL import Image

from polyseek.api.labels import LabelledTuner
from polyseek.api.opening import manifest_of
from polyseek.cli import render
from polyseek.core.config import SearchOptions
from polyseek.core.hits import Query
from polyseek.core.retriever import Refine, Retriever
from polyseek.core.tuning import Tuning
from polyseek.core.types import AssetRecord, AssetStatus, Modality, Role, Segment, SegmentBatch
from polyseek.learn.second_look import Looked, judge
from polyseek.learn.splits import CHOOSE, HELD_OUT
from polyseek.search.pipeline import search
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

IMAGE = Modality.IMAGE
SPLIT = 20 * ["train"] + 100 * ["validation"] + 100 * ["test"]


def looks(count, gain):
    """Every other query gains so much by the second look, the others lose a tenth of it."""
    return [
        Looked(once=0.5, twice=0.5 + (gain if i % 2 else -gain / 10), group=str(i))
        for i in range(count)
    ]


@pytest.mark.parametrize(
    ("choose", "held_out", "off", "says"),
    [
        (-0.2, -0.2, True, "switched off here, for it is worse: nDCG@10 0.500 without and 0.410"),
        (0.2, 0.2, False, "stays on, better: nDCG@10 0.500 without and 0.590"),
        (0.0, -0.2, False, "stays on, no clear difference: nDCG@10 0.500 without and 0.500"),
        (-0.2, 0.2, False, "stays on, not worse on held-out queries: "),
    ],
)
def test_it_goes_only_where_both_parts_are_against_it(choose, held_out, off, says):
    found, note = judge(IMAGE, {CHOOSE: looks(100, choose), HELD_OUT: looks(100, held_out)})
    assert found is off
    assert note.startswith(f"second look, image -> image: {says}")


def test_queries_about_one_asset_are_one_witness():
    one = [Looked(once=0.5, twice=0.3, group="the same")] * 100
    assert not judge(IMAGE, {CHOOSE: one, HELD_OUT: one})[0]


@pytest.mark.parametrize(("choose", "held_out"), [(100, 99), (1, 0), (300, 0), (0, 300)])
def test_too_few_labels_leave_it_on(choose, held_out):
    looked = {CHOOSE: looks(choose, -0.4), HELD_OUT: looks(held_out, -0.4)}
    off, note = judge(IMAGE, looked)
    assert not off
    assert note.endswith("are too few (at least 200): it stays on")


def test_without_such_queries_nothing_is_said():
    assert judge(IMAGE, {CHOOSE: [], HELD_OUT: []}) == (False, "")


def test_old_tunings_have_it_on_and_new_ones_keep_it():
    old = '{"calibrations": {}, "bank": [], "fitted_assets": {}, "notes": []}'
    assert Tuning.from_json(old).looked_once == ()
    once = Tuning(looked_once=(IMAGE,))
    assert Tuning.from_json(once.to_json()) == once


def noisy(rng, like=None):
    """A pattern of its own; or that of another in another shade, which the tower knows better."""
    if like is None:
        return rng.integers(0, 256, (8, 8, 3)).astype(np.float64)
    return np.clip(like + rng.normal(0, 40, like.shape) + rng.uniform(-60, 60, 3), 0, 255)


def shade(rng, like=None):
    """A colour with a pattern; or that of another, which the shared space knows better."""
    mean = rng.uniform(40, 215, 3) if like is None else like.mean(axis=(0, 1))
    pattern = rng.choice([-40.0, 40.0], (8, 8, 3))
    pattern -= pattern.mean(axis=(0, 1))
    return mean + pattern


def collection(folder, draw, split):
    """A store of pictures, and labelled pictures that each ask for one of them."""
    rng = np.random.default_rng(0)
    encoder = FakeEncoder()
    store = MemoryStore.create("memory", manifest_of(encoder.info))
    stored = [draw(rng) for _ in split]
    lines = ["query,path,split"]
    for i, (picture, part) in enumerate(zip(stored, split, strict=True)):
        Image.fromarray(draw(rng, picture).round().astype(np.uint8)).save(folder / f"{i}.png")
        lines.append(f"{i}.png,file:///stored/{i}.png,{part}")
    (folder / "pairs.csv").write_text("\n".join(lines))
    uris = [f"file:///stored/{i}.png" for i in range(len(split))]
    records = [
        AssetRecord(
            uri=uri, status=AssetStatus.INDEXED, modalities=(IMAGE,), etag="1", size_bytes=1
        )
        for uri in uris
    ]
    prepare = encoder.info.towers[IMAGE].prepare
    pixels = [prepare(Image.fromarray(p.round().astype(np.uint8))) for p in stored]
    rows = encoder.encode(IMAGE, pixels, role=Role.DOCUMENT)
    segments = [Segment(asset_uri=uri, modality=IMAGE) for uri in uris]
    store.upsert(records, [SegmentBatch(IMAGE, segments, rows)])
    tuner = LabelledTuner(store=store, encoder=encoder, defaults=None)
    return store, tuner.tune(Tuning(), folder / "pairs.csv")


def ask(store, folder, **given):
    with Image.open(folder / "30.png") as picture:
        query = Query(modality=IMAGE, signals=[picture.copy()], label="30.png")
    options = SearchOptions(show_all=True, limit=50, **given)
    return search(query, encoder=FakeEncoder(), store=store, options=options)


def note_of(tuning):
    return next(note for note in tuning.notes if note.startswith("second look"))


@pytest.mark.slow
def test_where_it_hurts_every_search_goes_without_unless_a_retriever_says_otherwise(
    tmp_path, capsys
):
    store, tuning = collection(tmp_path, noisy, SPLIT)
    assert tuning.looked_once == (IMAGE,)
    assert "switched off here" in note_of(tuning)
    found = ask(store, tmp_path)
    assert found.plan[0].refined is False
    assert found.to_dict(explain=True)["plan"][0]["refined"] is False
    assert "refine" not in found.timings_ms
    render.results(found, explain=True)
    assert "not looked at twice" in capsys.readouterr().out.replace("\n", " ")
    named = ask(store, tmp_path, retriever=Retriever(refine=Refine()))
    assert named.plan[0].refined is True
    store.save_tuning(Tuning())
    untuned = ask(store, tmp_path)
    assert [hit.uri for hit in untuned] == [hit.uri for hit in named]
    assert [hit.uri for hit in untuned] != [hit.uri for hit in found]


@pytest.mark.slow
def test_where_it_helps_it_stays(tmp_path):
    store, tuning = collection(tmp_path, shade, SPLIT)
    assert tuning.looked_once == ()
    assert "stays on, better" in note_of(tuning)
    once, twice = note_of(tuning).split("nDCG@10 ")[1].split(" with it")[0].split(" without and ")
    assert float(twice) > float(once) + 0.1
    assert ask(store, tmp_path).plan[0].refined is True


@pytest.mark.slow
def test_a_few_labels_decide_nothing(tmp_path):
    store, tuning = collection(tmp_path, noisy, SPLIT[15:130])
    assert tuning.looked_once == ()
    assert "110 labelled queries to choose and report with are too few" in note_of(tuning)
    assert ask(store, tmp_path).plan[0].refined is True
