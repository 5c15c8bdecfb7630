import json
import os
import pickle
import shutil
import signal
import threading
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from polyseek.core.config import IndexOptions
from polyseek.core.errors import (
    AssetError,
    CollectionBusyError,
    DecodeError,
    EmptySourceError,
    SourceNotFoundError,
)
from polyseek.core.types import Asset, AssetStatus, Manifest, Modality, Segment, Span, SpanUnit
from polyseek.ingest import pipeline, plan
from polyseek.ingest.batch import Batcher, Lent, lent
from polyseek.ingest.decode import Part, decode
from polyseek.ingest.decoders.text import TextDecoder
from polyseek.ingest.pipeline import ingest
from polyseek.ingest.sources.files import FileSource
from polyseek.ingest.workers import Workers
from polyseek.store.lance import LanceStore
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


@pytest.fixture
def encoder():
    return FakeEncoder()


@pytest.fixture
def manifest(encoder):
    info = encoder.info
    return Manifest(
        format_version=1,
        encoder=info.name,
        revision=info.revision,
        dim=info.dim,
        tower_dims={m: t.dim for m, t in info.towers.items()},
    )


@pytest.fixture
def store(manifest):
    return MemoryStore.create("memory", manifest)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "in"
    (root / "sub").mkdir(parents=True)
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (32, 24), colour).save(root / f"{colour}.png")
    (root / "sub" / "note.txt").write_text("A red car.\n\nIt is fast.")
    return root


def run(folder, encoder, store, progress=None, **options):
    chosen = IndexOptions(workers=1, **options)
    return ingest(
        FileSource(folder, chosen), encoder=encoder, store=store, options=chosen, progress=progress
    )


def contents(store):
    return {
        (segment.asset_uri.rsplit("/", 1)[1], segment.span and segment.span.key())
        for batch in store.fetch([r.uri for r in store.records()])
        for segment in batch.segments
    }


def record(store, name):
    return next(r for r in store.records() if r.uri.endswith("/" + name))


def test_first_run_indexes_everything_and_the_second_does_nothing(folder, encoder, store):
    report = run(folder, encoder, store)
    assert (report.added, report.skipped, report.failures) == (4, 0, ())
    assert report.segments == 4
    assert contents(store) == {
        ("red.png", None),
        ("green.png", None),
        ("blue.png", None),
        ("note.txt", "characters:0-23"),
    }
    version, calls = store.version, encoder.calls
    again = run(folder, encoder, store)
    assert (again.added, again.skipped) == (0, 4)
    assert (store.version, encoder.calls) == (version, calls)


def test_special_endings_mean_nothing_to_an_encoder_without_their_tower(folder, encoder, store):
    Image.new("RGB", (32, 24), "red").save(folder / "yard.thermal.JPG", "JPEG")
    Image.new("L", (32, 24), 90).save(folder / "room.depth.png")
    (folder / "walk.imu.csv").write_text("caption,n\na walk,1\n")
    np.save(folder / "room.depth.npy", np.ones((8, 8), np.float32))
    (failure,) = run(folder, encoder, store).failures
    assert failure.uri.endswith("room.depth.npy")
    assert (failure.status, failure.reason) == ("unsupported", "'.npy' files are not supported")
    kinds = {name: record(store, name).modalities for name in ("yard.thermal.JPG", "walk.imu.csv")}
    assert kinds == {"yard.thermal.JPG": (Modality.IMAGE,), "walk.imu.csv": (Modality.TEXT,)}
    assert record(store, "room.depth.png").modalities == (Modality.IMAGE,)
    assert run(folder, encoder, store).skipped == 8


def test_what_was_refused_for_its_special_ending_is_read_by_the_next_run(folder, encoder, store):
    Image.new("RGB", (32, 24), "red").save(folder / "yard.thermal.jpg")
    run(folder, encoder, store)
    before = record(store, "yard.thermal.jpg")
    refused = replace(
        before, status=AssetStatus.UNSUPPORTED, reason="the encoder cannot read thermal",
        modalities=(), segments=0, content_hash=None,
    )  # fmt: skip
    for reason in ("the encoder cannot read thermal", "the encoder cannot read image"):
        with store.writing():
            store.upsert([replace(refused, reason=reason)], [])
        again = run(folder, encoder, store)
        assert (again.updated, again.skipped) == ((1, 4) if "thermal" in reason else (0, 5))


def test_metadata_of_a_segment(folder, encoder, store, tmp_path):
    (folder / "red.png.json").write_text(json.dumps({"rating": 5, "name": "mine", "path": "no"}))
    table = tmp_path / "m.csv"
    table.write_text("path,year\nsub/note.txt,2020\n")
    run(folder, encoder, store, metadata=table)
    rows = {
        s.metadata["path"]: s.metadata
        for b in store.fetch([r.uri for r in store.records()])
        for s in b.segments
    }
    assert rows["red.png"]["rating"] == 5
    assert rows["red.png"]["name"] == "mine"
    assert rows["red.png"]["folder"] == ""
    assert (rows["red.png"]["width"], rows["red.png"]["height"]) == (32, 24)
    assert rows["sub/note.txt"]["folder"] == "sub"
    assert rows["sub/note.txt"]["year"] == 2020


def test_a_changed_asset_is_replaced_and_a_deleted_one_removed(folder, encoder, store):
    run(folder, encoder, store, passage_chars=12)
    assert record(store, "note.txt").segments == 2
    (folder / "sub" / "note.txt").write_text("A blue car.")
    (folder / "green.png").unlink()
    report = run(folder, encoder, store, passage_chars=12)
    assert (report.updated, report.deleted, report.skipped) == (1, 1, 2)
    assert contents(store) == {
        ("red.png", None),
        ("blue.png", None),
        ("note.txt", "characters:0-11"),
    }


def test_keep_deleted(folder, encoder, store):
    run(folder, encoder, store)
    (folder / "green.png").unlink()
    assert run(folder, encoder, store, keep_deleted=True).deleted == 0
    assert ("green.png", None) in contents(store)


def test_moved_and_touched_assets_keep_their_embeddings(folder, encoder, store):
    run(folder, encoder, store)
    calls = encoder.calls
    shutil.move(folder / "red.png", folder / "sub" / "moved.png")
    os.utime(folder / "blue.png", ns=(1, 1))
    report = run(folder, encoder, store)
    assert (report.moved, report.updated, report.deleted, report.added) == (1, 1, 1, 0)
    assert encoder.calls == calls
    assert record(store, "moved.png").status is AssetStatus.INDEXED
    assert ("red.png", None) not in contents(store)


def embeddings(store):
    """The embedding of each picture, by its name."""
    return {
        segment.asset_uri.rsplit("/", 1)[1]: batch.embeddings.tower[i].tolist()
        for batch in store.fetch([r.uri for r in store.records()])
        for i, segment in enumerate(batch.segments)
    }


def test_rotated_names_do_not_borrow_from_each_others_new_contents(
    tmp_path, encoder, store, monkeypatch
):
    monkeypatch.setattr(pipeline, "COMMIT_SEGMENTS", 1)
    colours = "red green blue yellow black white".split()
    root = tmp_path / "in"
    root.mkdir()
    for i, colour in enumerate(colours):
        Image.new("RGB", (8, 8), colour).save(root / f"{i}.png")
    run(root, encoder, store)
    before = embeddings(store)
    for i in range(6):
        (root / f"{i}.png").rename(tmp_path / f"{i}.png")
    for i in range(6):
        (tmp_path / f"{i}.png").rename(root / f"{(i + 1) % 6}.png")
        os.utime(root / f"{(i + 1) % 6}.png", ns=(1, 1))
    assert run(root, encoder, store).updated == 6
    assert embeddings(store) == {f"{(i + 1) % 6}.png": before[f"{i}.png"] for i in range(6)}


def test_failures_are_recorded_with_their_reason_and_not_tried_again(folder, encoder, store):
    (folder / "broken.jpg").write_bytes(b"no picture")
    (folder / "empty.txt").write_bytes(b"")
    (folder / "tool.exe").write_bytes(b"MZ")
    report = run(folder, encoder, store)
    assert report.added == 4
    assert {f.uri.rsplit("/", 1)[1]: f.status for f in report.failures} == {
        "broken.jpg": "failed",
        "empty.txt": "failed",
        "tool.exe": "unsupported",
    }
    again = run(folder, encoder, store)
    assert (again.skipped, again.failures) == (7, ())
    Image.new("RGB", (8, 8), "red").save(folder / "broken.jpg")
    fixed = run(folder, encoder, store)
    assert fixed.updated == 1
    assert record(store, "broken.jpg").reason is None


def test_failures_that_are_not_the_contents_fault_are_tried_again(
    folder, encoder, store, monkeypatch
):
    real = FileSource.open

    def refuse(self, asset):
        raise AssetError(asset.uri, "cannot be read: Permission denied")

    monkeypatch.setattr(Workers, "decode", in_process)
    monkeypatch.setattr(FileSource, "open", refuse)
    assert len(run(folder, encoder, store).failures) == 4
    again = run(folder, encoder, store)
    assert (again.skipped, len(again.failures)) == (0, 4)
    monkeypatch.setattr(FileSource, "open", real)
    assert run(folder, encoder, store).updated == 4
    assert run(folder, encoder, store).skipped == 4


def in_process(self, assets):
    for asset in assets:
        try:
            yield from decode(asset, pickle.loads(self._tools))
        except AssetError as error:
            yield error


def test_an_unsupported_asset_is_tried_again_once_there_is_a_decoder(
    folder, encoder, store, monkeypatch
):
    (folder / "a.new").write_text("x")
    run(folder, encoder, store)
    assert run(folder, encoder, store).skipped == 5
    monkeypatch.setattr(plan, "_decoders", lambda _: {".new": TextDecoder()})
    assert run(folder, encoder, store).skipped == 4


def test_an_asset_that_breaks_off_is_tried_again_unless_it_is_broken(encoder):
    batcher = Batcher(encoder, lambda uri, content_hash: Lent())
    for uri, error in (("a", AssetError("a", "crashed")), ("b", DecodeError("b", "broken"))):
        batcher.add(part(uri, {1: "one"}))
        assert batcher.fail(error)
    batcher.flush()
    assert {r.uri: r.etag for r in batcher.take().records} == {"a": "", "b": "1"}


def test_a_broken_sidecar_makes_its_asset_partial(folder, encoder, store):
    (folder / "red.png.json").write_text("{")
    report = run(folder, encoder, store)
    assert [f.status for f in report.failures] == [AssetStatus.PARTIAL]
    assert record(store, "red.png").segments == 1


def test_a_subfolder_that_cannot_be_read_loses_nothing(folder, encoder, store, monkeypatch):
    run(folder, encoder, store)
    real = os.scandir

    def scandir(path):
        if str(path).endswith("sub"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = run(folder, encoder, store)
    assert report.deleted == 0
    assert report.failures[0].reason == "folder cannot be read: Permission denied"
    assert ("note.txt", "characters:0-23") in contents(store)
    monkeypatch.undo()
    run(folder, encoder, store)
    assert all(r.status is AssetStatus.INDEXED for r in store.records())


def test_a_link_that_leads_nowhere_hides_what_was_below_it_and_nothing_else(
    folder, encoder, store, tmp_path
):
    for name in ("trip", "trip2020"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(name)
        (folder / name).symlink_to(tmp_path / name)
    run(folder, encoder, store)
    shutil.rmtree(tmp_path / "trip")
    (folder / "trip2020").unlink()
    assert run(folder, encoder, store).deleted == 1
    uris = {r.uri for r in store.records()}
    assert (folder / "trip" / "a.txt").as_uri() in uris
    assert (folder / "trip2020" / "a.txt").as_uri() not in uris


def test_what_include_and_exclude_leave_out_stays(folder, encoder, store):
    run(folder, encoder, store)
    (folder / "red.png").unlink()
    assert run(folder, encoder, store, include=["*.txt"]).deleted == 0
    assert run(folder, encoder, store, exclude=["*.png"]).deleted == 0
    assert run(folder, encoder, store, include=["*.png"]).deleted == 1


def test_a_source_that_suddenly_lists_nothing_is_refused(folder, encoder, store):
    run(folder, encoder, store)
    version = store.version
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(EmptySourceError, match="4 assets of it, file://.* none was removed"):
        run(folder, encoder, store)
    assert store.version == version
    assert run(folder, encoder, store, keep_deleted=True).deleted == 0


def test_another_folder_is_none_of_this_ones_business(folder, encoder, store, tmp_path):
    run(folder, encoder, store)
    other = tmp_path / "in2"
    other.mkdir()
    (other / "x.txt").write_text("x")
    assert run(other, encoder, store).deleted == 0
    assert len(contents(store)) == 5


def test_new_assets_are_pending_until_they_are_stored(folder, encoder, store):
    seen = []

    def progress(event):
        seen.append({status for (status, _) in store.counts()})

    run(folder, encoder, store, progress=progress)
    assert {AssetStatus.PENDING} in seen
    assert {r.status for r in store.records()} == {AssetStatus.INDEXED}


def test_ctrl_c_finishes_the_batch_in_hand_and_the_next_run_the_rest(
    folder, encoder, store, monkeypatch
):
    for i in range(20):
        (folder / f"{i:02}.txt").write_text(f"text {i}")

    def progress(event):
        if event.stage == "index" and event.done == 3:
            signal.raise_signal(signal.SIGINT)

    report = run(folder, encoder, store, progress=progress)
    assert report.interrupted
    assert report.added == 3
    assert len(contents(store)) == 3
    rest = run(folder, encoder, store)
    assert not rest.interrupted
    assert rest.added == 21
    assert len(contents(store)) == 24


def test_commits_are_batched(folder, encoder, store, monkeypatch):
    for i in range(10):
        (folder / f"{i:02}.txt").write_text(f"text {i}")
    monkeypatch.setattr(pipeline, "COMMIT_SEGMENTS", 4)
    run(folder, encoder, store)
    assert 4 <= store.version <= 6
    assert len(contents(store)) == 14


def test_a_second_writer_is_refused(folder, encoder, store):
    with store.writing(), pytest.raises(CollectionBusyError):
        run(folder, encoder, store)


def test_a_missing_source_changes_nothing(folder, encoder, store):
    run(folder, encoder, store)
    version = store.version
    with pytest.raises(SourceNotFoundError):
        run(folder / "nope", encoder, store)
    assert store.version == version


def test_works_outside_the_main_thread(folder, encoder, store):
    found = []
    thread = threading.Thread(target=lambda: found.append(run(folder, encoder, store)))
    thread.start()
    thread.join()
    assert found[0].added == 4


def test_an_encoder_without_a_tower_makes_assets_unsupported(folder, store):
    encoder = FakeEncoder()
    towers = {Modality.IMAGE: encoder.info.towers[Modality.IMAGE]}
    encoder.info = replace(encoder.info, towers=towers)
    report = run(folder, encoder, store)
    assert [f.status for f in report.failures] == [AssetStatus.UNSUPPORTED]
    assert report.added == 3


def part(uri, texts, *, last=False, reason=None):
    asset = Asset(uri=uri, path=uri, size_bytes=9, modified=datetime.now(UTC), etag="1")
    segments = tuple(
        Segment(
            asset_uri=uri,
            modality=Modality.TEXT,
            span=Span(unit=SpanUnit.PAGE, start=page, end=page + 1),
            text=text,
            signal=text,
        )
        for page, text in texts.items()
    )
    return Part(asset=asset, content_hash=uri, segments=segments, last=last, reason=reason)


def test_parts_of_several_assets_may_come_interleaved(encoder):
    batcher = Batcher(encoder, lambda uri, content_hash: Lent())
    batcher.add(part("a", {1: "one"}))
    batcher.add(part("b", {1: "uno", 2: "due"}))
    batcher.add(part("a", {2: "two"}, last=True))
    batcher.flush()
    done = batcher.take()
    assert [(r.uri, r.segments, r.status) for r in done.records] == [("a", 2, "indexed")]
    assert [s.text for s in done.batches[0].segments] == ["one", "two"]
    batcher.add(part("b", {}, last=True, reason="the end is missing"))
    (record,) = batcher.take().records
    assert (record.uri, record.segments, record.status) == ("b", 2, "partial")


def test_an_asset_that_breaks_off_keeps_what_came(encoder):
    batcher = Batcher(encoder, lambda uri, content_hash: Lent())
    batcher.add(part("a", {1: "one"}))
    assert batcher.fail(DecodeError("a", "the decoder crashed"))
    assert not batcher.fail(DecodeError("b", "the decoder crashed"))
    batcher.flush()
    (record,) = batcher.take().records
    assert (record.uri, record.status, record.reason) == ("a", "partial", "the decoder crashed")


def test_signals_are_dropped_once_encoded(encoder):
    batcher = Batcher(encoder, lambda uri, content_hash: Lent())
    batcher.add(part("a", {1: "one", 2: "two", 3: "three", 4: "four"}))
    assert all(row.segment.signal is None for row in batcher._open["a"].rows)
    assert not batcher._waiting[Modality.TEXT]


def test_segments_borrow_embeddings_one_by_one(encoder):
    first = Batcher(encoder, lambda uri, content_hash: Lent())
    first.add(part("a", {1: "one"}, last=True))
    first.flush()
    stored = lent(first.take().batches)
    second = Batcher(encoder, lambda uri, content_hash: stored)
    second.add(part("moved", {1: "one"}, last=True))
    assert second.take().borrowed == {"moved"}
    second.add(part("more", {1: "one", 2: "two"}, last=True))
    second.flush()
    assert second.take().borrowed == set()


def test_what_is_encoded_of_a_long_asset_is_there_before_its_end(encoder):
    batcher = Batcher(encoder, lambda uri, content_hash: Lent())
    batcher.add(part("a", {page: f"page {page}" for page in range(1, 7)}))
    begun = batcher.unfinished()
    (record,) = begun.records
    assert (record.status, record.segments, record.content_hash) == ("pending", 4, "a")
    assert len(begun.batches[0]) == 4  # the encoder's batch; two more wait for it to fill
    assert not begun.kept
    assert batcher.unfinished().records == []  # nothing new
    batcher.add(part("a", {7: "page 7", 8: "page 8", 9: "page 9"}))
    begun = batcher.unfinished()
    assert begun.records[0].segments == 8
    assert [segment.text for segment in begun.batches[0].segments] == [
        f"page {page}" for page in range(5, 9)
    ]
    assert begun.kept == {"a"}
    batcher.add(part("a", {}, last=True))
    batcher.flush()
    done = batcher.take()
    assert (done.records[0].segments, done.records[0].status) == (9, "indexed")
    assert [segment.text for segment in done.batches[0].segments] == ["page 9"]
    assert done.kept == {"a"}
    assert batcher.unfinished().records == []


def test_a_long_asset_is_not_held_once_it_is_handed_over(encoder):
    """Memory must not grow with the number of its pages."""
    batcher = Batcher(encoder, lambda uri, content_hash: Lent())
    for first in range(1, 400, 4):
        batcher.add(part("a", {page: f"page {page}" for page in range(first, first + 4)}))
        assert len(batcher.unfinished().batches[0]) == 4
        assert not batcher._open["a"].rows
    batcher.add(part("a", {}, last=True))
    (record,) = batcher.take().records
    assert record.segments == 400


def test_an_asset_that_has_a_whole_state_is_handed_out_as_a_whole(encoder):
    batcher = Batcher(encoder, lambda uri, content_hash: Lent(), whole={"a"})
    batcher.add(part("a", {page: f"page {page}" for page in range(1, 9)}))
    assert batcher.unfinished().records == []
    batcher.add(part("a", {}, last=True))
    done = batcher.take()
    assert (len(done.batches[0]), done.kept) == (8, set())


def test_less_of_an_asset_does_not_take_the_place_of_what_is_stored(encoder):
    """A run that is killed soon after it went on must lose nothing of the one before."""
    first = Batcher(encoder, lambda uri, content_hash: Lent())
    first.add(part("a", {page: f"page {page}" for page in range(1, 9)}))
    stored = lent(first.unfinished().batches, begun=True)
    second = Batcher(encoder, lambda uri, content_hash: stored)
    second.add(part("a", {page: f"page {page}" for page in range(1, 5)}))
    begun = second.unfinished()
    assert (begun.records[0].segments, begun.kept) == (8, {"a"})
    second.add(part("a", {page: f"page {page}" for page in range(5, 13)}))
    assert second.unfinished().records[0].segments == 12
    second.add(part("a", {}, last=True))
    done = second.take()
    assert (done.records[0].segments, done.left) == (12, {})


def test_what_does_not_come_again_is_told(encoder):
    first = Batcher(encoder, lambda uri, content_hash: Lent())
    first.add(part("a", {page: f"page {page}" for page in range(1, 5)}))
    stored = lent(first.unfinished().batches, begun=True)
    second = Batcher(encoder, lambda uri, content_hash: stored)
    second.add(part("a", {1: "page 1", 9: "page 9"}, last=True))
    second.flush()
    done = second.take()
    assert done.records[0].segments == 2
    assert len(done.left["a"]) == 3


def test_what_does_not_come_again_stays_where_the_asset_is_tried_again(encoder):
    first = Batcher(encoder, lambda uri, content_hash: Lent())
    first.add(part("a", {page: f"page {page}" for page in range(1, 9)}))
    stored = lent(first.unfinished().batches, begun=True)
    second = Batcher(encoder, lambda uri, content_hash: stored)
    second.add(part("a", {page: f"page {page}" for page in range(1, 4)}))
    second.fail(AssetError("a", "the worker ended"))
    done = second.take()
    (record,) = done.records
    assert (record.status, record.segments, record.etag) == (AssetStatus.PARTIAL, 8, "")
    assert (done.left, done.kept) == ({}, {"a"})


class BreaksOff:
    """Workers that are interrupted in the middle of a long asset."""

    after = 4
    pages = range(1, 9)
    content_hash = "long"

    def __init__(self, tools, **_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def decode(self, assets):
        (asset,) = assets
        own = {"asset": asset, "content_hash": self.content_hash}
        for page in self.pages:
            yield replace(part(asset.uri, {page: f"page {page}"}), **own)
            if page == self.after:
                signal.raise_signal(signal.SIGINT)
        yield replace(part(asset.uri, {}, last=True), **own)


def test_an_interrupted_recording_goes_on_where_it_broke_off(tmp_path, encoder, store, monkeypatch):
    (tmp_path / "long.txt").write_text("x")
    encoded = []
    encode = encoder.encode
    monkeypatch.setattr(
        encoder,
        "encode",
        lambda modality, batch, *, role: (
            encoded.extend(batch),
            encode(modality, batch, role=role),
        )[1],
    )
    monkeypatch.setattr(pipeline, "Workers", BreaksOff)
    first = run(tmp_path / "long.txt", encoder, store)
    assert first.interrupted
    assert first.added == 0
    assert {r.status: r.segments for r in store.records()} == {"pending": 5}
    monkeypatch.setattr(BreaksOff, "after", None)
    second = run(tmp_path / "long.txt", encoder, store)
    assert (second.added, second.moved, second.segments) == (1, 0, 8)
    assert sorted(encoded) == [f"page {page}" for page in range(1, 9)]  # each of them once
    assert {r.status: r.segments for r in store.records()} == {"indexed": 8}


def test_a_long_asset_that_had_failed_keeps_what_is_encoded(tmp_path, encoder, store, monkeypatch):
    """There is no earlier state that has to stay until the new one is whole."""
    (tmp_path / "long.txt").write_bytes(b"")
    assert run(tmp_path / "long.txt", encoder, store).failures
    (tmp_path / "long.txt").write_text("x")
    monkeypatch.setattr(pipeline, "Workers", BreaksOff)
    monkeypatch.setattr(BreaksOff, "after", 4)
    assert run(tmp_path / "long.txt", encoder, store).interrupted
    assert {r.status: r.segments for r in store.records()} == {"pending": 5}
    monkeypatch.setattr(BreaksOff, "after", None)
    report = run(tmp_path / "long.txt", encoder, store)
    assert (report.added, report.segments) == (1, 8)
    assert {r.status: r.segments for r in store.records()} == {"indexed": 8}


@pytest.mark.parametrize("kind", [MemoryStore, LanceStore])
def test_what_another_run_stored_goes_when_the_asset_has_it_no_more(
    tmp_path, encoder, manifest, monkeypatch, kind
):
    """A run that broke off had other options; the next one finds fewer, and other, segments."""
    store = kind.create(str(tmp_path / "collection"), manifest)
    (tmp_path / "long.txt").write_text("x")
    uri = (tmp_path / "long.txt").as_uri()
    monkeypatch.setattr(pipeline, "Workers", BreaksOff)
    monkeypatch.setattr(BreaksOff, "after", 6)
    assert run(tmp_path / "long.txt", encoder, store).interrupted
    monkeypatch.setattr(BreaksOff, "after", None)
    monkeypatch.setattr(BreaksOff, "pages", range(6, 9))
    report = run(tmp_path / "long.txt", encoder, store)
    assert (report.added, report.segments) == (1, 3)
    (batch,) = store.fetch([uri])
    assert sorted(s.text for s in batch.segments) == ["page 6", "page 7", "page 8"]
    assert {r.status: r.segments for r in store.records()} == {"indexed": 3}


def test_a_run_that_goes_on_and_breaks_off_again_loses_nothing(
    tmp_path, encoder, store, monkeypatch
):
    (tmp_path / "long.txt").write_text("x")
    uri = (tmp_path / "long.txt").as_uri()
    monkeypatch.setattr(pipeline, "Workers", BreaksOff)
    for after, stored in ((6, 7), (2, 7), (7, 8)):
        monkeypatch.setattr(BreaksOff, "after", after)
        assert run(tmp_path / "long.txt", encoder, store).interrupted
        assert {r.status: r.segments for r in store.records()} == {"pending": stored}
        assert sum(len(batch) for batch in store.fetch([uri])) == stored


def test_a_long_asset_whose_content_changed_meanwhile_leaves_nothing_of_the_old(
    tmp_path, encoder, store, monkeypatch
):
    (tmp_path / "long.txt").write_text("x")
    uri = (tmp_path / "long.txt").as_uri()
    monkeypatch.setattr(pipeline, "Workers", BreaksOff)
    monkeypatch.setattr(BreaksOff, "after", 6)
    assert run(tmp_path / "long.txt", encoder, store).interrupted
    monkeypatch.setattr(BreaksOff, "content_hash", "other")
    monkeypatch.setattr(BreaksOff, "after", 4)
    assert run(tmp_path / "long.txt", encoder, store).interrupted
    (batch,) = store.fetch([uri])
    assert sorted(s.text for s in batch.segments) == [f"page {page}" for page in range(1, 6)]


def test_a_changed_asset_keeps_its_old_segments_until_the_new_ones_are_whole(
    tmp_path, encoder, store, monkeypatch
):
    path = tmp_path / "long.txt"
    path.write_text("the first state")
    run(path, encoder, store)
    path.write_text("another, longer state")
    monkeypatch.setattr(pipeline, "Workers", BreaksOff)
    assert run(path, encoder, store).interrupted
    (batch,) = store.fetch([path.as_uri()])
    assert [segment.text for segment in batch.segments] == ["the first state"]
