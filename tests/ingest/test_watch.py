"""Sources are followed: what changes is noticed once, what does not matter never."""

import threading
import time

import pytest

import polyseek
from polyseek.api import opening
from polyseek.core.config import IndexOptions
from polyseek.core.errors import SourceNotFoundError
from polyseek.ingest import watch
from polyseek.ingest.sources.files import FileSource
from polyseek.ingest.watch import changes
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


class Watching:
    """Collects what `changes` gives, in a thread."""

    def __init__(self, *sources, collection, poll_s=60.0):
        self.stop, self.seen = threading.Event(), []
        self._found = changes(sources, collection=str(collection), stop=self.stop, poll_s=poll_s)
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        for _ in self._found:
            self.seen.append(time.monotonic())

    def __enter__(self):
        self._thread.start()
        self.wait_for(1)
        return self

    def __exit__(self, *_):
        self.stop.set()
        self._thread.join(5)
        assert not self._thread.is_alive()

    def wait_for(self, count, within_s=20.0):
        deadline = time.monotonic() + within_s
        while len(self.seen) < count and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(self.seen) >= count


def test_a_change_is_noticed_and_several_at_once_are_one(tmp_path):
    with Watching(FileSource(tmp_path), collection=tmp_path / "elsewhere") as watching:
        for i in range(20):
            (tmp_path / f"{i}.txt").write_text("x")
        watching.wait_for(2)
        time.sleep(1.0)
        assert len(watching.seen) <= 3
        before = len(watching.seen)
        (tmp_path / "3.txt").unlink()
        watching.wait_for(before + 1)


def test_what_is_not_indexed_is_no_change(tmp_path):
    source = FileSource(tmp_path, IndexOptions(exclude=["*.tmp"]))
    (tmp_path / "c").mkdir()
    with Watching(source, collection=tmp_path / "c") as watching:
        (tmp_path / "c" / "assets.lance").mkdir()
        for name in (".hidden.txt", "half.tmp", "c/data.txt"):
            (tmp_path / name).write_text("x")
        time.sleep(1.5)
        assert len(watching.seen) == 1


def test_a_single_file_that_is_replaced_is_a_change(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with Watching(FileSource(tmp_path / "a.txt"), collection=tmp_path / "c") as watching:
        (tmp_path / "b.txt").write_text("not watched")
        (tmp_path / ".new").write_text("y")
        (tmp_path / ".new").rename(tmp_path / "a.txt")
        watching.wait_for(2)


def test_what_no_system_tells_about_is_looked_at_in_turn(tmp_path):
    class Elsewhere:
        def covers(self, uri):
            return False

    for sources in ([Elsewhere()], [Elsewhere(), FileSource(tmp_path)]):
        with Watching(*sources, collection=tmp_path / "c", poll_s=0.1) as watching:
            watching.wait_for(3)


def test_a_collection_follows_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    monkeypatch.setattr(watch, "DEBOUNCE_MS", 200)
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    collection = polyseek.open(folder / ".c")
    with pytest.raises(SourceNotFoundError):
        next(collection.watch(tmp_path / "nothing"))
    stop = threading.Event()
    reports = collection.watch(folder, stop=stop, workers=1)
    assert next(reports).added == 1
    (folder / "b.txt").write_text("two")
    assert next(reports).added == 1
    (folder / "a.txt").unlink()
    (folder / "b.txt").unlink()
    threading.Timer(3.0, (folder / "c.txt").write_text, ["three"]).start()
    report = next(reports)  # an empty folder in between is a warning, not the end
    assert (report.added, report.deleted) == (1, 2)
    stop.set()
    assert list(reports) == []
