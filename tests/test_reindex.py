"""Another encoder for a collection: built beside it, compared, switched to, undone."""

from dataclasses import replace

import pytest
from PIL import Image

import polyseek
from polyseek.api import opening
from polyseek.api import reindex as road
from polyseek.core.errors import CollectionNotFoundError, ConfigError
from polyseek.core.types import AssetStatus, Embeddings, Modality
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


class ColourBlindEncoder(FakeEncoder):
    """Takes red for green and green for red in texts."""

    def __init__(self):
        super().__init__(revision="7")
        self.info = replace(self.info, name="colour-blind")

    def encode(self, modality, batch, *, role):
        found = super().encode(modality, batch, role=role)
        shared = found.shared.copy()
        if modality is Modality.TEXT:
            shared[:, [0, 1]] = shared[:, [1, 0]]
        return Embeddings(shared=shared, tower=found.tower)


class DeafEncoder(FakeEncoder):
    """Has no tower for pictures."""

    def __init__(self):
        super().__init__(revision="9")
        towers = {Modality.TEXT: self.info.towers[Modality.TEXT]}
        self.info = replace(self.info, name="texts-only", towers=towers)


ENCODERS = {"fake": FakeEncoder, "colour-blind": ColourBlindEncoder, "texts-only": DeafEncoder}


@pytest.fixture(autouse=True)
def encoders(monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: ENCODERS[name]())


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "photos"
    made.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (32, 24), colour).save(made / f"{colour[0]}.png")
    (made / "note.txt").write_text("A red car on the road.")
    return made


@pytest.fixture(params=["folder", pytest.param("bucket", marks=pytest.mark.s3)])
def collection(request, folder, tmp_path):
    where = tmp_path / "c"
    if request.param == "bucket":
        where = f"{request.getfixturevalue('made_bucket')}/c"
    opened = polyseek.open(where, encoder="fake")
    opened.add(folder, workers=1)
    return opened


def first(opened, text="red"):
    return opened.search(text, modalities=["image"], limit=1, mode="dense")[0].uri.rpartition("/")[
        2
    ]


def again(collection):
    return polyseek.open(collection.location, create=False)


def test_the_old_index_answers_until_the_switch_and_after_the_undo(collection):
    report, shadow = road.build(collection, "colour-blind")
    assert (report.assets, report.lost, report.changed) == (4, [], 0)
    assert first(again(collection)) == "r.png"
    assert first(shadow) == "g.png"
    road.switch(collection.location, road.generation_name(shadow.manifest))
    switched = again(collection)
    assert (first(switched), switched.manifest.encoder) == ("g.png", "colour-blind")
    assert switched.location == collection.location
    assert road.undo(collection.location) == ""
    assert first(again(collection)) == "r.png"
    road.undo(collection.location)
    assert first(again(collection)) == "g.png"


def test_evaluations_go_along(collection, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("query,path\nred,r.png\ngreen,g.png\n")
    run = collection.evaluate(pairs)
    collection.evaluations.keep(run)
    _, shadow = road.build(collection, "colour-blind")
    assert [one.number for one in shadow.evaluations] == [1]
    assert shadow.evaluations.run(1).to_dict() == run.to_dict()


def test_the_comparison_names_what_moves(collection):
    report, _ = road.build(collection, "colour-blind")
    found = report.comparison
    assert set(found.overlap) == {"text", "image"}
    assert found.queries >= 50
    assert found.overlap["image"] == 1  # pictures are embedded alike
    assert report.to_dict()["comparison"]["queries"] == found.queries


def test_pairs_tell_which_is_better(collection, tmp_path):
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("query,path\nred,r.png\ngreen,g.png\nblue,b.png\nred,other.png\n")
    report, _ = road.build(collection, "colour-blind", pairs=pairs)
    old, new = report.comparison.quality
    assert (old.queries, new.queries) == (3, 3)
    assert old.mrr > new.mrr
    pairs.write_text("query,path\nred,elsewhere.png\n")
    with pytest.raises(ConfigError, match="none of its 1 paths"):
        road.build(collection, "colour-blind", pairs=pairs)
    pairs.write_text("question\nred\n")
    with pytest.raises(ConfigError, match="'query' and 'path'"):
        road.build(collection, "colour-blind", pairs=pairs)


def test_what_it_was_made_of_is_done_again_with_the_same_options(folder, tmp_path):
    (folder / "skipped.txt").write_text("not this one")
    table = tmp_path / "captions.csv"
    table.write_text("path,caption\nr.png,a tomato\n")
    opened = polyseek.open(tmp_path / "c", encoder="fake")
    opened.add(folder, workers=1, exclude=["skipped.txt"], metadata=table)
    opened.remove(folder / "b.png")
    _, shadow = road.build(opened, "colour-blind")
    names = {record.uri.rpartition("/")[2] for record in shadow.store.records()}
    assert names == {"r.png", "g.png", "note.txt"}
    (hit,) = shadow.search("tomato", filter="caption = 'a tomato'", show_all=True)
    assert hit.uri.endswith("/r.png")


def test_a_killed_run_goes_on(collection, tmp_path, monkeypatch):
    calls = []

    class Dying(ColourBlindEncoder):
        def encode(self, modality, batch, *, role):
            if modality is Modality.TEXT and not calls:
                calls.append(1)
                raise MemoryError
            return super().encode(modality, batch, role=role)

    monkeypatch.setitem(ENCODERS, "colour-blind", Dying)
    monkeypatch.setattr("polyseek.ingest.pipeline.COMMIT_SEGMENTS", 1)
    with pytest.raises(MemoryError):
        road.build(collection, "colour-blind")
    report, _ = road.build(collection, "colour-blind")
    assert report.assets == 4
    assert report.ingest.added + report.ingest.skipped == 4
    third, _ = road.build(collection, "colour-blind")
    assert third.ingest.skipped == 4


def test_what_cannot_be_embedded_any_more_is_named(collection, folder):
    (folder / "note.txt").unlink()
    report, _ = road.build(collection, "texts-only")
    reasons = {failure.uri.rpartition("/")[2]: failure.reason for failure in report.lost}
    assert set(reasons) == {"r.png", "g.png", "b.png", "note.txt"}
    assert "no longer there" in reasons["note.txt"]
    assert report.assets == 0


def test_what_has_changed_is_left_to_the_next_index(collection, folder):
    Image.new("RGB", (32, 24), "yellow").save(folder / "b.png")
    Image.new("RGB", (32, 24), "white").save(folder / "new.png")
    report, shadow = road.build(collection, "colour-blind")
    assert (report.assets, report.changed, report.lost) == (3, 1, [])
    road.switch(collection.location, road.generation_name(shadow.manifest))
    after = again(collection).add(folder, workers=1)
    assert (after.added, after.skipped) == (2, 3)


def test_a_tuned_collection_gets_a_tuned_shadow_and_keeps_versions_of_its_own(collection, tmp_path):
    terms = tmp_path / "terms.txt"
    terms.write_text("car: automobile\n")
    collection.tune()
    collection.keep_glossary(terms)
    _, shadow = road.build(collection, "colour-blind")
    assert shadow.store.tuning is not None
    assert shadow.glossary == "car: automobile\n"
    assert [version.action for version in collection.versions()] == ["index", "tune"]


def test_dropping_gives_the_space_back_and_ends_the_way_back(collection):
    _, shadow = road.build(collection, "colour-blind")
    road.switch(collection.location, road.generation_name(shadow.manifest))
    assert road.drop(collection.location) == [""]
    assert first(again(collection)) == "g.png"
    with pytest.raises(ConfigError, match="never switched"):
        road.undo(collection.location)
    assert (
        sum(opening.plugins.load("store", "lance").open(collection.location).counts().values()) == 0
    )


def test_what_was_built_and_never_answered_is_dropped_too(collection):
    _, shadow = road.build(collection, "colour-blind")
    name = road.generation_name(shadow.manifest)
    assert road.drop(collection.location) == [name]
    with pytest.raises(CollectionNotFoundError):
        polyseek.open(opening.generation_at(collection.location, name), create=False)
    assert road.drop(collection.location) == []
    assert first(again(collection)) == "r.png"
    assert road.build(collection, "colour-blind")[0].assets == 4


def test_the_encoder_that_answers_is_no_new_one(collection):
    with pytest.raises(ConfigError, match="answers already"):
        road.build(collection, "fake")


def test_sources_of_old_collections_must_be_named(collection, folder, monkeypatch):
    monkeypatch.setattr("polyseek.api.versions.made_of", lambda versions: {})
    with pytest.raises(ConfigError, match="name them"):
        road.build(collection, "colour-blind")
    report, _ = road.build(collection, "colour-blind", sources=[folder])
    assert report.assets == 4


def test_recognised_texts_are_taken_over(collection, folder, monkeypatch):
    """No recogniser runs: the old index knows what it has read."""
    with collection.store.writing():
        store = collection.store
        records = [
            replace(record, etag=f"{record.etag} ocr=reader", modalities=("image", "text"))
            for record in store.records()
            if record.uri.endswith("/r.png")
        ]
        (picture,) = (replace(b, hub_bias={}) for b in store.fetch([records[0].uri]))
        words = replace(
            picture.segments[0],
            modality=Modality.TEXT,
            text="EXIT",
            metadata={**picture.segments[0].metadata, "text_source": "ocr"},
        )
        encoder = FakeEncoder()
        rows = encoder.encode(Modality.TEXT, ["EXIT"], role="document")
        text = type(picture)(Modality.TEXT, [words], rows)
        store.upsert(records, [picture, text])
    report, shadow = road.build(collection, "colour-blind")
    assert report.lost == []
    (hit,) = shadow.search("exit", mode="text", modalities=["text"])
    assert hit.uri.endswith("/r.png")
    assert hit.metadata["text_source"] == "ocr"
    (record,) = [r for r in shadow.store.records() if r.uri.endswith("/r.png")]
    assert record.etag.endswith("ocr=reader")
    assert record.status is AssetStatus.INDEXED


@pytest.mark.slow
@pytest.mark.network
def test_from_a_small_encoder_to_the_default_one(folder, collection, monkeypatch):
    from polyseek.core.config import resolve_settings
    from polyseek.encode.mini import load

    monkeypatch.setitem(ENCODERS, "mini", lambda: load(resolve_settings()))
    report, shadow = road.build(collection, "mini")
    assert (report.assets, report.lost, shadow.manifest.dim) == (4, [], 384)
    assert 0 < report.comparison.overlap["text"] <= 1
    road.switch(collection.location, road.generation_name(shadow.manifest))
    switched = again(collection)
    assert switched.search("a red picture", mode="dense", modalities=["image"])[0].probability
    assert first(switched) == "r.png"
