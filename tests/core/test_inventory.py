"""What a collection holds, and what names in a user's file stand for."""

import numpy as np
import pytest

from polyseek.core.inventory import Inventory
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
from polyseek.store.memory import MemoryStore

TEXT, IMAGE, AUDIO, VIDEO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO


def store_of(*segments, failed=()):
    manifest = Manifest(
        format_version=1, encoder="fake", revision="1", dim=2,
        tower_dims=dict.fromkeys(Modality, 2),
    )  # fmt: skip
    store = MemoryStore.create("memory", manifest)
    parts = {}
    for segment in segments:
        parts.setdefault(segment.modality, []).append(segment)
    batches = []
    for modality, own in parts.items():
        rows = np.tile(np.eye(2, dtype=np.float32)[:1], (len(own), 1))
        batches.append(SegmentBatch(modality, own, Embeddings(shared=rows, tower=rows)))
    uris = dict.fromkeys(segment.asset_uri for segment in segments)
    records = [
        AssetRecord(uri=uri, status=AssetStatus.INDEXED, etag="", size_bytes=1, content_hash="h")
        for uri in uris
    ] + [AssetRecord(uri=uri, status=AssetStatus.FAILED, etag="", size_bytes=1) for uri in failed]
    with store.writing():
        store.upsert(records, batches)
    return store


def segment(uri, modality, *, unit=None, start=1, text=None, **metadata):
    span = Span(unit=unit, start=start, end=start + 1) if unit else None
    return Segment(asset_uri=uri, modality=modality, span=span, text=text, metadata=metadata)


@pytest.fixture
def inventory():
    store = store_of(
        segment("file:///p/trip/a%20b.jpg", IMAGE, id=7, path="trip/a b.jpg", caption="two dogs"),
        segment("file:///p/trip/a%20b.jpg", TEXT, text="STOP", text_source="ocr"),
        segment("file:///p/other/twin.jpg", IMAGE, path="other/twin.jpg"),
        segment("file:///p/trip/twin.png", IMAGE, path="trip/twin.png"),
        segment("file:///p/doc.pdf", TEXT, unit=SpanUnit.PAGE, text="words"),
        segment("file:///p/doc.pdf", IMAGE, unit=SpanUnit.PAGE),
        segment("file:///p/scan.pdf", IMAGE, unit=SpanUnit.PAGE),
        segment("file:///p/film.mp4", VIDEO),
        segment("file:///p/film.mp4", AUDIO),
        segment("file:///p/song.mp3", AUDIO),
        segment("file:///p/song.mp3", TEXT, text="the tags"),
        segment("file:///p/t.csv", TEXT, unit=SpanUnit.ROW, start=1, text="one", _id="d1"),
        segment("file:///p/t.csv", TEXT, unit=SpanUnit.ROW, start=2, text="two", _id="d2"),
        failed=["file:///p/broken.jpg"],
    )
    return Inventory.of(store)


def test_an_item_is_what_a_hit_stands_for(inventory):
    found = {entry.name + entry.item[1]: entry for entry in inventory.entries.values()}
    assert {name: str(entry.modality) for name, entry in found.items()} == {
        "a b.jpg": "image",
        "twin.jpg": "image",
        "twin.png": "image",
        "doc.pdf": "text",
        "scan.pdf": "image",
        "film.mp4": "video",
        "song.mp3": "audio",
        "t.csvrow:1-2": "text",
        "t.csvrow:2-3": "text",
    }
    photo = found["a b.jpg"]
    assert photo.texts == ["STOP"]
    assert photo.metadata["caption"] == "two dogs"
    assert photo.modalities == {IMAGE, TEXT}
    assert [e.name for e in inventory.of_modality(AUDIO)] == ["song.mp3"]
    assert len(inventory) == 9


@pytest.mark.parametrize(
    "name",
    ["file:///p/trip/a%20b.jpg", "/p/trip/a b.jpg", "trip/a b.jpg", "./trip/a b.jpg", "a b.jpg",
     "a b", "7", "trip\\a b.jpg", "images/elsewhere/a b.jpg", "a%20b"],
)  # fmt: skip
def test_names_of_an_asset(inventory, name):
    assert inventory.find(name) == [("file:///p/trip/a%20b.jpg", "")]


def test_names_beside_the_users_file(inventory, tmp_path):
    from pathlib import Path

    assert inventory.find("twin.jpg", beside=Path("/p/other")) == [("file:///p/other/twin.jpg", "")]


def test_rows_answer_to_their_ids_and_never_to_their_table(inventory):
    assert inventory.find("d2") == [("file:///p/t.csv", "row:2-3")]
    assert inventory.find("t.csv") == ()


def test_names_that_are_unknown_ambiguous_or_not_searchable(inventory):
    assert inventory.find("nobody.jpg") == ()
    assert len(inventory.find("twin")) == 2
    assert inventory.find("") == ()
    assert inventory.is_unsearchable("broken.jpg") is False  # names its folder or nothing
    assert inventory.is_unsearchable("/p/broken.jpg")
    assert inventory.is_unsearchable("file:///p/broken.jpg")


def test_an_empty_collection():
    assert len(Inventory.of(store_of())) == 0
