"""A table's version is asked for again whenever its folder may have changed."""

import os
import time

import pytest

from polyseek.store.version import SETTLED_NS, VersionWatch


class FakeTable:
    """Counts how often it is asked."""

    name = "t"

    def __init__(self):
        self.asked, self.now = 0, 1

    @property
    def version(self):
        self.asked += 1
        return self.now


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "_versions").mkdir()
    return tmp_path


def touch(folder, seconds_ago):
    at = time.time() - seconds_ago
    os.utime(folder / "_versions", (at, at))


def test_an_untouched_folder_is_asked_once(folder):
    table, watch = FakeTable(), VersionWatch()
    touch(folder, 60)
    assert [watch.of(table, folder) for _ in range(3)] == [1, 1, 1]
    assert table.asked == 1


def test_a_write_is_seen(folder):
    table, watch = FakeTable(), VersionWatch()
    touch(folder, 60)
    watch.of(table, folder)
    table.now = 2
    (folder / "_versions" / "2.manifest").touch()
    assert watch.of(table, folder) == 2


def test_a_folder_that_was_just_written_is_asked_every_time(folder):
    table, watch = FakeTable(), VersionWatch()
    touch(folder, SETTLED_NS / 1e9 / 4)
    assert watch.of(table, folder) == 1
    table.now = 2  # written again within one tick of the file system's clock
    assert watch.of(table, folder) == 2


def test_a_table_elsewhere_is_asked_every_time(tmp_path):
    table, watch = FakeTable(), VersionWatch()
    watch.of(table, tmp_path / "no-folder")
    watch.of(table, tmp_path / "no-folder")
    assert table.asked == 2
