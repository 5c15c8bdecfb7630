"""Kills, races, moves and failures around a collection on disk."""

import os

import pytest

from polyseek.core.errors import CollectionBusyError, CollectionNotFoundError, StoreError
from polyseek.core.types import Modality
from polyseek.store import layout
from polyseek.store.lance import LanceStore
from polyseek.store.lance_files import Folder
from polyseek.testing.store.samples import MANIFEST, batches, indexed, look, put, row


@pytest.fixture
def store(tmp_path):
    return LanceStore.create(str(tmp_path / "c"), MANIFEST)


def killed(*_):
    raise KeyboardInterrupt


def hashed(rows, content_hash):
    from dataclasses import replace

    return [replace(record, content_hash=content_hash) for record in indexed(rows)]


def test_a_kill_between_segments_and_record_leaves_no_record_that_vouches(store, monkeypatch):
    old, new = [row("mem:/a", metadata={"n": 1})], [row("mem:/a", metadata={"n": 2})]
    with store.writing():
        store.upsert(hashed(old, "old"), batches(old))
    monkeypatch.setattr(layout, "records_to_arrow", killed)
    with pytest.raises(KeyboardInterrupt), store.writing():
        store.upsert(hashed(new, "new"), batches(new))
    (record,) = store.records()
    assert (record.etag, record.content_hash) == ("", None)
    assert look(store, where="n = 2").hits


def test_a_kill_while_deleting_leaves_no_record_that_vouches(store, monkeypatch):
    rows = [row("mem:/a")]
    with store.writing():
        store.upsert(hashed(rows, "hash"), batches(rows))
    monkeypatch.setattr("polyseek.store.lance.delete_rows", killed)
    with pytest.raises(KeyboardInterrupt), store.writing():
        store.delete(["mem:/a"])
    (record,) = store.records()
    assert (record.etag, record.content_hash) == ("", None)


def test_equal_content_costs_one_version_of_the_records(store):
    rows = [row("mem:/a")]
    with store.writing():
        store.upsert(hashed(rows, "same"), batches(rows))
        version = store.version
        store.upsert(hashed(rows, "same"), batches(rows))
    assert store.version == version + 2  # the segments, the record


def test_an_error_of_the_caller_stays_what_it_is(store):
    with pytest.raises(RuntimeError, match="mine"), store.writing():
        raise RuntimeError("mine")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (OSError(28, "No space left on device"), "no space left on its disk; make room .* again$"),
        (RuntimeError("IO: broken (os error 5), /r/.cargo/lance-1/io.rs:16:50"), r"error 5\)$"),
    ],
)
def test_a_failed_write_is_one_of_the_collection(store, monkeypatch, error, says):
    def fail(*_):
        raise error

    monkeypatch.setattr(layout, "records_to_arrow", fail)
    with pytest.raises(StoreError, match=f"writing failed: .*{says}"):
        put(store, row("mem:/a"))


def test_a_relative_location_outlives_a_change_of_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LanceStore.create("c", MANIFEST)
    for resident in (False, True):
        monkeypatch.chdir(tmp_path)
        opened = LanceStore.open("c", resident=resident)
        assert opened.location == "c"
        os.chdir("/")
        put(opened, row("mem:/a"))
        assert look(opened).rows == 1


def test_a_collection_whose_making_was_killed_is_none_and_can_be_made_again(tmp_path):
    for left in ("assets.lance/data", "segments_text.lance/_versions"):
        (tmp_path / "c" / left).mkdir(parents=True)
    with pytest.raises(CollectionNotFoundError):
        LanceStore.open(str(tmp_path / "c"))
    store = LanceStore.create(str(tmp_path / "c"), MANIFEST)
    assert look(store).tier == "empty"
    put(store, row("mem:/a"))
    assert look(LanceStore.open(str(tmp_path / "c"))).rows == 1


def test_two_that_make_a_collection_exclude_each_other(tmp_path):
    with (
        Folder(str(tmp_path / "c")).writing(),
        pytest.raises(CollectionBusyError, match="another process is writing"),
    ):
        LanceStore.create(str(tmp_path / "c"), MANIFEST)
    LanceStore.create(str(tmp_path / "c"), MANIFEST)
    with pytest.raises(StoreError, match="already exists"):
        LanceStore.create(str(tmp_path / "c"), MANIFEST)


def test_a_collection_made_before_there_was_depth_goes_on_as_it_was(tmp_path, monkeypatch):
    rows = [row("mem:/a"), row("mem:/b")]
    with monkeypatch.context() as past:
        before = {m: name for m, name in layout.HUB_COLUMN.items() if m is not Modality.DEPTH}
        past.setattr(layout, "HUB_COLUMN", before)
        made = LanceStore.create(str(tmp_path / "old"), MANIFEST)
        with made.writing():
            made.upsert(indexed(rows), batches(rows))
    store = LanceStore.open(str(tmp_path / "old"))
    found = look(store)
    assert len(found.hits) == 2
    with store.writing():
        store.upsert(indexed([row("mem:/c")]), batches([row("mem:/c")]))
        store.set_hub_bias(Modality.TEXT, Modality.DEPTH, lambda rows: rows.shared[:, 0])
        store.set_hub_bias(Modality.IMAGE, Modality.DEPTH, lambda rows: rows.shared[:, 0])
    assert len(look(LanceStore.open(str(tmp_path / "old"))).hits) == 3
