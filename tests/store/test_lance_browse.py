"""Listing what passes a filter while somebody else writes."""

import numpy as np
import pytest

from polyseek.core.config import Group
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Manifest,
    Modality,
    Segment,
    SegmentBatch,
)
from polyseek.store import lance_browse
from polyseek.store.lance import LanceStore

URIS = [f"file:///{name}.txt" for name in "abc"]


@pytest.fixture
def store(tmp_path):
    manifest = Manifest(
        format_version=1, encoder="fake", revision="1", dim=2, tower_dims={}, checksums={}
    )
    made = LanceStore.create(str(tmp_path / "c"), manifest)
    records = [
        AssetRecord(
            uri=uri, status=AssetStatus.INDEXED, reason=None, modalities=(Modality.TEXT,),
            etag="", content_hash=None, size_bytes=1, segments=1,
        )
        for uri in URIS
    ]  # fmt: skip
    segments = [Segment(asset_uri=uri, modality=Modality.TEXT, text="x") for uri in URIS]
    rows = np.eye(3, 2, dtype=np.float32) + np.float32(0.1)
    batch = SegmentBatch(
        modality=Modality.TEXT, segments=segments, embeddings=Embeddings(rows, rows)
    )
    with made.writing():
        made.upsert(records, [batch])
    return made


def test_what_is_deleted_between_the_keys_and_the_rows_is_left_out(store, monkeypatch):
    other, found_by = LanceStore.open(store.location), lance_browse.conditions

    def late(column, values):
        with other.writing():
            other.delete([URIS[1]])
        return found_by(column, values)

    monkeypatch.setattr(lance_browse, "conditions", late)
    found = store.browse(Modality.TEXT, None, limit=10, group=Group.ASSET)
    assert [hit.uri for hit in found.hits] == [URIS[0], URIS[2]]
