"""The Python face: what a user types in a REPL or a notebook."""

import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import polyseek
from polyseek.api import opening
from polyseek.core import errors
from polyseek.core.config import Settings
from polyseek.core.hits import HubCorrection, Retrieval
from polyseek.core.types import AssetRecord, AssetStatus, Modality, Space
from polyseek.store.lance import LanceStore
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder and its collection, made once; tests take copies."""
    root = tmp_path_factory.mktemp("made")
    folder = root / "photos"
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (32, 24), colour).save(folder / f"{colour}.png")
    (folder / "note.txt").write_text("A red car on the road.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
        polyseek.open(root / "photos.polyseek").add(folder, workers=1)
    return root


@pytest.fixture
def photos(made):
    return made / "photos"


@pytest.fixture
def collection(made, tmp_path):
    shutil.copytree(made / "photos.polyseek", tmp_path / "photos.polyseek")
    return polyseek.open(tmp_path / "photos.polyseek")


@pytest.fixture
def changing(tmp_path, made):
    """A folder and a collection that a test may change."""
    shutil.copytree(made / "photos", tmp_path / "photos")
    opened = polyseek.open(tmp_path / "changing.polyseek")
    opened.add(tmp_path / "photos", workers=1)
    return tmp_path / "photos", opened


def test_public_names_are_pinned():
    names = (
        "AssetError Collection Diagnosis Hit IngestReport Modality PolyseekError Results Span "
        "Status connect open open_external query"
    )
    assert sorted(polyseek.__all__) == names.split()
    for name in polyseek.__all__:
        assert getattr(polyseek, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = polyseek.nonsense


def test_a_query_of_several_terms(collection, made):
    asked = polyseek.query("red", image=made / "photos" / "red.png", minus="green", weights=[2, 1])
    found = collection.search(asked, modalities=["image"])
    assert found[0].uri.endswith("/red.png")
    assert [(e.weight, e.term.rsplit("/")[-1]) for e in found[0].evidence] == [
        (2, "red"),
        (1, "red.png"),
        (-1, "green"),
    ]


@pytest.mark.parametrize("weights", [[1, 1], [0], [-1], [float("nan")]])
def test_weights_that_make_no_sense(weights):
    with pytest.raises(errors.QueryError, match="weights"):
        polyseek.query("red", weights=weights)


def test_open_add_search(collection):
    found = collection.search("something red", limit=2, modalities=["image"])
    assert found[0].uri.endswith("/red.png")
    assert [hit.rank for hit in found] == [1, 2]
    assert found[0].score >= found[1].score
    assert len(collection) == found.coverage.searched == 4
    assert found.plan[0].tier == "memory-exact"
    assert "red.png" in repr(found)
    assert "data:image/jpeg;base64," in found._repr_html_()


def test_a_picture_is_a_query(collection, photos):
    with Image.open(photos / "blue.png") as picture:
        from_memory = collection.search(picture, modalities=["image"])
    from_disk = collection.search(photos / "blue.png", modalities=["image"])
    assert [hit.uri for hit in from_memory] == [hit.uri for hit in from_disk]
    assert from_disk[0].uri.endswith("blue.png")


def test_filters_use_the_metadata_of_the_files(collection):
    assert collection.fields()["width"] == "integer"
    found = collection.search("anything", filter="width = 32 AND name LIKE 'r%'")
    assert [hit.metadata["name"] for hit in found] == ["red.png"]


def test_a_collection_in_memory_is_fresh_after_every_add(changing):
    photos, collection = changing
    assert len(collection.search("x", modalities=["image"])) == 3
    Image.new("RGB", (32, 24), "yellow").save(photos / "yellow.png")
    (photos / "red.png").unlink()
    report = collection.add(photos, workers=1)
    assert (report.added, report.deleted) == (1, 1)
    names = {hit.metadata["name"] for hit in collection.search("x", modalities=["image"])}
    assert names == {"yellow.png", "green.png", "blue.png"}


def test_both_tiers_rank_alike(collection, tmp_path):
    direct = polyseek.open(tmp_path / "photos.polyseek", resident=False)
    for query in ("red", "a road", "blue sky"):
        here, there = collection.search(query), direct.search(query)
        assert [hit.id for hit in here] == [hit.id for hit in there]
        assert [h.score for h in here] == pytest.approx([h.score for h in there], abs=1e-3)


def test_a_missing_source_stops_before_anything_is_indexed(tmp_path, photos):
    made = polyseek.open(tmp_path / "c")
    with pytest.raises(errors.SourceNotFoundError, match="nope"):
        made.add(photos, tmp_path / "nope")
    assert len(made) == 0


def test_an_empty_source_beside_a_good_one_is_a_failure_in_the_report(tmp_path, photos):
    made = polyseek.open(tmp_path / "c")
    (tmp_path / "empty").mkdir()
    report = made.add(tmp_path / "empty", photos, workers=1)
    assert report.added == 4
    assert [f.uri for f in report.failures] == [(tmp_path / "empty").as_uri()]
    assert "--include" in report.failures[0].reason
    with pytest.raises(errors.EmptySourceError, match="nothing to index"):
        made.add(tmp_path / "empty")


def test_metadata_rows_without_a_file_are_counted_and_a_table_of_them_refused(
    tmp_path, photos, caplog
):
    made = polyseek.open(tmp_path / "c")
    table = tmp_path / "m.csv"
    table.write_text("path,year\nphotos/red.png,2020\n")
    with pytest.raises(errors.ConfigError, match="none of its 1 rows .*'photos/red.png'"):
        made.add(photos, metadata=table, workers=1)
    assert len(made) == 0
    table.write_text("path,year\nred.png,2020\ngone.png,2021\n")
    for _ in range(2):  # the second time nothing is new
        caplog.clear()
        made.add(photos, metadata=table, workers=1)
        assert [r.getMessage() for r in caplog.records if "--metadata" in r.getMessage()] == [
            f"--metadata {table}: 1 of 2 rows belong to no file, 'gone.png' for example"
        ]
    assert made.fields()["year"] == "integer"


def test_remove_forgets_what_is_at_or_below_a_path(changing):
    photos, collection = changing
    (photos / "red").mkdir()
    (photos / "red" / "a.txt").write_text("a")
    (photos / "red" / "b.txt").write_text("b")
    collection.add(photos, workers=1)
    shutil.rmtree(photos)
    with pytest.raises(errors.SourceNotFoundError, match="nothing at or below"):
        collection.remove(photos / "red", photos / "re")
    assert len(collection) == 6
    assert collection.remove(photos / "red", photos / "red" / "a.txt") == 2
    assert collection.remove((photos / "red.png").as_uri()) == 1
    assert collection.remove(photos) == 3
    assert collection.status().assets == {}


def test_two_processes_may_make_a_collection_at_once(tmp_path, monkeypatch):
    class Slower(LanceStore):
        tried = 0

        @classmethod
        def open(cls, location, *, resident=False):
            cls.tried += 1
            if cls.tried == 1:
                LanceStore.create(
                    location, opening.manifest_of(FakeEncoder().info)
                )  # the other one
                raise errors.CollectionNotFoundError(location)
            return LanceStore.open(location, resident=resident)

    monkeypatch.setattr(opening.plugins, "load", lambda role, name: Slower)
    assert len(polyseek.open(tmp_path / "c")) == 0


def test_other_model_files_are_named(collection, monkeypatch):
    newer = FakeEncoder()
    monkeypatch.setattr(
        newer, "info", replace(newer.info, checksums={"new.onnx": "2"}), raising=False
    )
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: newer)
    with pytest.raises(errors.IncompatibleCollectionError, match=r"other files \(new.onnx\)"):
        polyseek.open(collection.location)


def test_a_filter_is_checked_before_anything_is_embedded(collection, monkeypatch):
    monkeypatch.setattr(collection._encoder, "encode", None)
    for condition in ("", "  ", "colour = 1", "width ="):
        with pytest.raises(errors.InvalidFilterError):
            collection.search("red", filter=condition, modalities=["audio"])


def test_an_unknown_option_or_modality_names_the_known_ones(collection, photos):
    with pytest.raises(errors.ConfigError, match="keep_deleted"):
        collection.add(photos, speed="fast")
    with pytest.raises(errors.ConfigError, match="text, image, audio, video"):
        collection.search("x", modalities=["smell"])
    with pytest.raises(errors.QueryError, match="at least 1"):
        collection.search("x", limit=0)


def test_opening_asks_for_what_is_there(tmp_path, collection):
    with pytest.raises(errors.CollectionNotFoundError, match="polyseek index"):
        polyseek.open(tmp_path / "none", create=False)
    assert not (tmp_path / "none").exists()
    with pytest.raises(errors.IncompatibleCollectionError, match="not 'other'"):
        polyseek.open(collection.location, encoder="other")


def test_another_revision_of_the_encoder_is_refused(collection, monkeypatch):
    newer = FakeEncoder()
    monkeypatch.setattr(newer, "info", replace(newer.info, revision="2"), raising=False)
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: newer)
    with pytest.raises(errors.IncompatibleCollectionError, match="revision"):
        polyseek.open(collection.location)


def test_a_newer_format_is_refused(tmp_path):
    manifest = replace(opening.manifest_of(FakeEncoder().info), format_version=99)
    with pytest.raises(errors.IncompatibleCollectionError, match="upgrade polyseek"):
        LanceStore.create(str(tmp_path / "future"), manifest)
    with pytest.raises(errors.IncompatibleCollectionError, match="upgrade polyseek"):
        polyseek.open(tmp_path / "future")


def test_status_counts_and_lists_failures(changing):
    photos, collection = changing
    (photos / "broken.jpg").write_bytes(b"not a picture")
    collection.add(photos, workers=1)
    status = collection.status()
    assert status.modalities == {Modality.IMAGE: 3, Modality.TEXT: 1}
    assert status.assets[AssetStatus.FAILED] == 1
    assert status.failures[0].uri.endswith("broken.jpg")
    assert status.to_dict()["assets"]["pending"] == 0


def test_offline_reaches_the_query(tmp_path):
    offline = polyseek.open(tmp_path / "c", settings=Settings(home=tmp_path / "home", offline=True))
    with pytest.raises(errors.QueryError, match="offline"):
        offline.search("https://example.invalid/cat.jpg")


def test_importing_polyseek_imports_nothing_heavy():
    heavy = {"numpy", "lancedb", "onnxruntime", "pyarrow", "PIL"}
    code = f"import sys, polyseek; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_a_tuned_collection_is_tuned_again_when_it_has_outgrown_it(changing):
    photos, opened = changing
    assert opened._store.tuning is None
    first = opened.tune()
    assert first.fitted_assets == {Modality.IMAGE: 3, Modality.TEXT: 1}
    Image.new("RGB", (32, 24), "white").save(photos / "white.png")
    opened.add(photos, workers=1)
    assert opened._store.tuning == first
    for grey in (50, 100, 150):
        Image.new("RGB", (32, 24), (grey,) * 3).save(photos / f"grey{grey}.png")
    opened.add(photos, workers=1)
    assert opened._store.tuning.fitted_assets == {Modality.IMAGE: 7, Modality.TEXT: 1}


def test_a_tuned_collection_is_tuned_again_when_its_queries_have_moved(changing):
    photos, opened = changing
    first = opened.tune()
    asked = Modality.TEXT, Modality.IMAGE
    with opened._store.writing():
        opened._store.save_tuning(replace(first, adapted={asked: "gone-1@0.5"}))
    opened.add(photos, workers=1)
    assert opened._store.tuning == first


def test_a_bank_of_ones_own_stays_in_use(changing, tmp_path):
    photos, opened = changing
    bank = tmp_path / "bank.txt"
    bank.write_text("\n".join(f"red car number {i}" for i in range(150)))
    assert opened.tune(bank=bank).bank[0] == "red car number 0"
    mine = biases(opened)
    assert set(mine) == {"red", "green", "blue", "note"}
    Image.new("RGB", (32, 24), "white").save(photos / "white.png")
    opened.add(photos, workers=1)
    assert {name: biases(opened)[name] for name in mine} == mine
    assert biases(opened)["white"] is not None
    opened.tune()
    assert biases(opened)["note"] != mine["note"]


def biases(opened):
    """Hub bias for text queries by name."""
    found = {}
    for modality, dim in opened._store.manifest.tower_dims.items():
        space = Space.TOWER if modality is Modality.TEXT else Space.SHARED
        request = Retrieval(
            vector=np.eye(dim if space is Space.TOWER else opened._store.manifest.dim)[0].astype(
                "f4"
            ),
            modality=modality,
            space=space,
            hub=HubCorrection(query=Modality.TEXT, strength=0.5, missing=0.0),
        )
        for hit in opened._store.search(request).hits:
            found[Path(hit.uri).stem] = hit.hub_bias
    return found


def test_what_another_process_has_put_into_a_new_collection_stays(tmp_path, photos, monkeypatch):
    """It came between the look at an empty collection and the right to remove it."""
    place = tmp_path / "new.polyseek"
    theirs = AssetRecord(
        uri="mem:/a", status=AssetStatus.INDEXED, etag="1", size_bytes=1, segments=1
    )

    class Slow(LanceStore):
        @contextmanager
        def writing(self):
            other = LanceStore.open(str(place))
            with other.writing():
                other.upsert([theirs], [])
            with super().writing():
                yield

    with opening.open_to_index(place, photos) as opened:
        opened.store.__class__ = Slow
    assert [record.uri for record in LanceStore.open(str(place)).records()] == ["mem:/a"]


@pytest.mark.parametrize("segments", [0, 1])
def test_a_new_collection_is_kept_once_it_has_begun_with_a_long_asset(tmp_path, photos, segments):
    """Ctrl-C in the first hour of a film must not throw that hour away."""
    place = tmp_path / "new.polyseek"
    begun = AssetRecord(
        uri="mem:/film", status=AssetStatus.PENDING, etag="1", size_bytes=1, segments=segments
    )
    with opening.open_to_index(place, photos) as opened, opened.store.writing():
        opened.store.upsert([begun], [])
    assert place.exists() == bool(segments)
