"""Stores keep the embeddings of a modality that their manifest does not know."""

import numpy as np
import pytest

from polyseek.core.errors import DimensionError
from polyseek.core.hits import Retrieval
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Manifest,
    Modality,
    Segment,
    SegmentBatch,
    Space,
)
from polyseek.store.lance import LanceStore
from polyseek.store.memory import MemoryStore

THERMAL = Modality.THERMAL
MANIFEST = Manifest(
    format_version=1, encoder="fake", revision="1", dim=4, tower_dims={Modality.IMAGE: 6}
)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def batch(dim, count=5):
    rng = np.random.default_rng(dim)
    uris = [f"file:///t/{i}.heat" for i in range(count)]
    rows = Embeddings(unit(rng.normal(size=(count, 4))), unit(rng.normal(size=(count, dim))))
    segments = [Segment(asset_uri=uri, modality=THERMAL) for uri in uris]
    records = [
        AssetRecord(uri=uri, status=AssetStatus.INDEXED, modalities=(THERMAL,), etag="1",
                    content_hash=uri, size_bytes=1, segments=1)
        for uri in uris
    ]  # fmt: skip
    return records, SegmentBatch(THERMAL, segments, rows)


@pytest.fixture(params=["memory", "lance", "resident"])
def store(request, tmp_path):
    if request.param == "memory":
        return MemoryStore.create("memory", MANIFEST)
    LanceStore.create(str(tmp_path / "c"), MANIFEST)
    return LanceStore.open(str(tmp_path / "c"), resident=request.param == "resident")


def put(store, dim):
    records, rows = batch(dim)
    with store.writing():
        store.upsert(records, [rows])
    return [record.uri for record in records], rows.embeddings


def nearest(store, vector, space):
    found = store.search(Retrieval(vector=vector, modality=THERMAL, space=space, limit=1))
    return found.hits[0].uri


def test_both_embeddings_of_it_are_compared(store):
    uris, rows = put(store, 9)
    for i, uri in enumerate(uris):
        assert nearest(store, rows.shared[i], Space.SHARED) == uri
        assert nearest(store, rows.tower[i], Space.TOWER) == uri
    with pytest.raises(DimensionError):
        store.search(Retrieval(vector=rows.shared[0], modality=THERMAL, space=Space.TOWER, limit=1))


def test_when_its_files_are_forgotten_a_tower_of_another_length_may_follow(store):
    uris, _ = put(store, 9)
    with store.writing():
        store.delete(uris)
    uris, rows = put(store, 3)
    assert nearest(store, rows.tower[2], Space.TOWER) == uris[2]
    (found,) = store.fetch(uris)
    assert found.embeddings.tower.shape == (5, 3)
