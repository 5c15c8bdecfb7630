"""Labelled queries in a collection, and near-duplicates in it."""

import numpy as np
import pytest

from polyseek.core.inventory import Inventory
from polyseek.core.judged import look_up, twins
from polyseek.core.pairs import LabelledQuery
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

IMAGE, AUDIO = Modality.IMAGE, Modality.AUDIO


def uri(name):
    return f"file:///p/{name}"


def store_of(rows, *, hashes=(), failed=()):
    """Rows by name (and window, for sounds) in the tower's space."""
    manifest = Manifest(
        format_version=1, encoder="fake", revision="1", dim=3,
        tower_dims=dict.fromkeys(Modality, 3),
    )  # fmt: skip
    store = MemoryStore.create("memory", manifest)
    batches, records = [], {}
    for modality, suffix in ((IMAGE, ".jpg"), (AUDIO, ".wav")):
        own = [(name, window, row) for (name, window), row in rows.items() if suffix in name]
        if not own:
            continue
        vectors = np.array([row for *_, row in own], np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        segments = [
            Segment(
                asset_uri=uri(name), modality=modality,
                span=Span(unit=SpanUnit.SECONDS, start=window, end=window + 1) if window else None,
            )
            for name, window, _ in own
        ]  # fmt: skip
        batches.append(SegmentBatch(modality, segments, Embeddings(vectors, vectors)))
        for name, *_ in own:
            records[name] = AssetRecord(
                uri=uri(name), status=AssetStatus.INDEXED, modalities=(modality,), etag="",
                size_bytes=1, content_hash=dict(hashes).get(name, name),
            )  # fmt: skip
    broken = [
        AssetRecord(uri=uri(n), status=AssetStatus.FAILED, etag="", size_bytes=1) for n in failed
    ]
    with store.writing():
        store.upsert([*records.values(), *broken], batches)
    return store


@pytest.fixture
def store():
    return store_of(
        {
            ("a.jpg", 0): (1, 0, 0),
            ("b.jpg", 0): (1, 0.1, 0),  # a burst
            ("c.jpg", 0): (0, 1, 0),
            ("copy.jpg", 0): (0, 0, 1),
            ("copy2.jpg", 0): (1, 1, 1),
            ("s.wav", 1): (1, 0, 0),
            ("s.wav", 2): (0, 1, 0),
            ("t.wav", 1): (1, 1, 0),  # s on the whole
        },
        hashes={"copy.jpg": "same", "copy2.jpg": "same"}.items(),
        failed=["broken.jpg"],
    )


def query(text, *names):
    return LabelledQuery(id=text, query=text, relevant=dict.fromkeys(names, 1.0))


def test_near_copies_and_copies(store):
    stock = Inventory.of(store)
    wanted = [(uri(n), "") for n in ("a.jpg", "c.jpg", "copy.jpg", "s.wav")]
    found = twins(store, stock, wanted)
    assert {item[0][10:]: sorted(u[10:] for u, _ in others) for item, others in found.items()} == {
        "a.jpg": ["b.jpg"],
        "c.jpg": [],
        "copy.jpg": ["copy2.jpg"],
        "s.wav": ["t.wav"],
    }
    assert twins(store, stock, []) == {}


def test_what_is_left_out_is_said(store):
    found, notes = look_up(
        [
            query("dog", "a.jpg", "b"),
            query("cat", "nobody.jpg"),
            query("bird", "/p/broken.jpg", "c.jpg"),
            query("fish"),
        ],
        Inventory.of(store),
    )
    assert [(one.query.id, [i[0][10:] for i in one.answers]) for one in found] == [
        ("dog", ["a.jpg", "b.jpg"]),
        ("bird", ["c.jpg"]),
    ]
    assert notes == [
        "1 assets that answer queries are not in the collection (e.g. nobody.jpg)",
        "1 assets that answer queries failed or are still pending (polyseek status) "
        "(e.g. /p/broken.jpg)",
        "1 queries were left out: none of their answers is searchable (e.g. 'cat')",
        "1 queries were left out: nothing answers them (e.g. 'fish')",
    ]


def test_ambiguous_names_are_left_out():
    store = store_of({("x/a.jpg", 0): (1, 0, 0), ("y/a.jpg", 0): (0, 1, 0)})
    found, notes = look_up([query("dog", "a.jpg"), query("cat", "/p/x/a.jpg")], Inventory.of(store))
    assert [one.query.id for one in found] == ["cat"]
    assert "stand for several assets" in notes[0]
