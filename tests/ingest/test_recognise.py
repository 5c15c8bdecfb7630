"""Switching recognisers on and off: what is read again, what is kept, and what is missing."""

import wave
from dataclasses import replace

import numpy as np
import pytest
from fake_recognisers import FakeSpeechRecogniser, FakeTextRecogniser
from PIL import Image

from made_documents import made_pdf
from polyseek.core.config import IndexOptions, Settings
from polyseek.core.errors import MissingExtraError, ModelLoadError, UnknownPluginError
from polyseek.core.types import Asset, AssetRecord, AssetStatus, Manifest, Modality
from polyseek.ingest import recognise
from polyseek.ingest.marks import habits, marked, unchanged
from polyseek.ingest.pipeline import ingest
from polyseek.ingest.sources.files import FileSource
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


@pytest.fixture
def encoder():
    return FakeEncoder()


@pytest.fixture
def store(encoder):
    info = encoder.info
    manifest = Manifest(
        format_version=1,
        encoder=info.name,
        revision=info.revision,
        dim=info.dim,
        tower_dims={m: t.dim for m, t in info.towers.items()},
    )
    return MemoryStore.create("memory", manifest)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    Image.new("RGB", (32, 24), "red").save(root / "red.png")
    (root / "scan.pdf").write_bytes(made_pdf([], []))
    (root / "note.txt").write_text("A red car.")
    return root


@pytest.fixture
def fakes(monkeypatch):
    made = {
        "text_recogniser": lambda name: FakeTextRecogniser("a green door"),
        "speech_recogniser": lambda name: FakeSpeechRecogniser(),
    }

    def load(role, name, settings):
        if not name:
            return None
        engine = made[role](name)
        engine.name = name
        return engine

    monkeypatch.setattr(recognise, "_load", load)


def run(folder, encoder, store, settings=None, **options):
    chosen = IndexOptions(workers=1, **options)
    source = FileSource(folder, chosen)
    return ingest(source, encoder=encoder, store=store, options=chosen, settings=settings)


def texts(store):
    return sorted(
        segment.text
        for batch in store.fetch([r.uri for r in store.records()])
        for segment in batch.segments
        if segment.modality is Modality.TEXT
    )


def test_switched_on_it_reads_what_has_pictures_and_encodes_them_no_second_time(
    folder, encoder, store, fakes
):
    run(folder, encoder, store)
    assert texts(store) == ["A red car."]
    calls = encoder.calls
    report = run(folder, encoder, store, ocr=True)
    assert (report.updated, report.skipped, report.failures) == (2, 1, ())
    assert texts(store) == ["A red car.", *["a green door"] * 3]
    assert encoder.calls == calls + 1  # the three new texts, and no picture
    again = run(folder, encoder, store, ocr=True)
    assert (again.updated, again.skipped) == (0, 3)


def test_later_runs_go_on_as_before_until_told_otherwise(folder, encoder, store, fakes):
    run(folder, encoder, store, ocr=True)
    Image.new("RGB", (32, 24), "blue").save(folder / "blue.png")
    report = run(folder, encoder, store)
    assert (report.added, report.skipped) == (1, 3)
    assert texts(store).count("a green door") == 4
    Image.new("RGB", (32, 24), "white").save(folder / "white.png")
    report = run(folder, encoder, store, ocr=False)
    assert (report.added, report.skipped) == (1, 4)
    assert texts(store).count("a green door") == 4


def test_one_switched_on_after_the_other_keeps_both(folder, encoder, store, fakes):
    noise = np.random.default_rng(0).integers(-9000, 9000, 32_000, np.int16)
    with wave.open(str(folder / "talk.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(noise.tobytes())
    run(folder, encoder, store, ocr=True)
    report = run(folder, encoder, store, asr=True)
    assert (report.updated, report.skipped) == (1, 3)  # the others have no sound
    (folder / "red.png").touch()
    run(folder, encoder, store)
    assert habits(store.records()) == {"ocr": "rapidocr", "asr": "whisper"}
    assert texts(store) == ["2.0 seconds", "A red car.", *["a green door"] * 3]


def test_another_engine_reads_again(folder, encoder, store, fakes):
    run(folder, encoder, store, ocr=True)
    report = run(folder, encoder, store, ocr=True, ocr_engine="other")
    assert (report.updated, report.skipped) == (2, 1)


def test_without_recognisers_nothing_is_marked(folder, encoder, store):
    run(folder, encoder, store)
    assert habits(store.records()) == {}


@pytest.mark.parametrize(
    ("option", "module"), [("ocr", "rapid"), ("asr", "whisper")], ids=["ocr", "asr"]
)
def test_a_missing_package_is_told_before_anything_is_done(
    folder, encoder, store, monkeypatch, option, module
):
    monkeypatch.setattr(f"polyseek.ingest.recognisers.{module}.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'polyseek\[{option}\]'"):
        run(folder, encoder, store, **{option: True})
    assert list(store.records()) == []


def test_missing_model_files_are_told_before_anything_is_done(
    folder, encoder, store, settings, monkeypatch
):
    monkeypatch.setattr("polyseek.ingest.recognisers.whisper.find_spec", lambda name: True)
    with pytest.raises(ModelLoadError, match="set to offline"):
        run(folder, encoder, store, settings, asr=True)
    assert list(store.records()) == []


def test_an_unknown_engine_lists_the_known_ones():
    options = IndexOptions(ocr=True, ocr_engine="pencil")
    with pytest.raises(UnknownPluginError, match="unknown text_recogniser 'pencil'.*rapidocr"):
        recognise.recognisers(options, [], Settings())


ASSET = Asset(uri="mem:/a", path="a", size_bytes=1, modified=None, etag="5-1-x y=z.srt-2")


def record(marks, *modalities, status=AssetStatus.INDEXED):
    etag = marked(ASSET.etag, marks)
    return AssetRecord(uri="mem:/a", status=status, etag=etag, modalities=modalities, size_bytes=1)


@pytest.mark.parametrize(
    ("read", "modalities", "wanted", "same"),
    [
        ({}, [Modality.IMAGE], {}, True),
        ({}, [Modality.IMAGE], {"ocr": "a"}, False),
        ({}, [Modality.TEXT, Modality.IMAGE], {"asr": "a"}, True),
        ({}, [Modality.TEXT, Modality.AUDIO], {"asr": "a"}, False),
        ({}, [Modality.VIDEO], {"asr": "a"}, False),
        ({}, [Modality.TEXT], {"ocr": "a", "asr": "a"}, True),
        ({}, [], {"ocr": "a"}, False),
        ({"ocr": "a"}, [Modality.IMAGE], {}, True),
        ({"ocr": "a"}, [Modality.IMAGE], {"ocr": "a"}, True),
        ({"ocr": "a"}, [Modality.IMAGE], {"ocr": "b"}, False),
        ({"ocr": "a"}, [Modality.VIDEO], {"ocr": "a", "asr": "a"}, False),
    ],
)
def test_what_counts_as_unchanged(read, modalities, wanted, same):
    assert unchanged(record(read, *modalities), ASSET, wanted) is same
    assert not unchanged(record(read, *modalities), replace(ASSET, etag="other"), wanted)
    pending = record(read, *modalities, status=AssetStatus.PENDING)
    assert not unchanged(pending, ASSET, wanted)
