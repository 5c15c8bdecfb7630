"""Versions of a collection: what makes one, looking back, going back, forgetting."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import obstore
import pytest

import polyseek
from polyseek.api import opening
from polyseek.core.columns import Version
from polyseek.core.errors import ConfigError
from polyseek.core.objects import bucket_of, scheme_of, split_url
from polyseek.store import lance_versions
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow

DIM = 6
AXES = np.eye(DIM, dtype=np.float32)


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())


@pytest.fixture(
    params=["memory", "disk", pytest.param("bucket", marks=[pytest.mark.s3, pytest.mark.slow])]
)
def items(request, tmp_path):
    """Three versions: two rows, three rows and a field, one of them replaced."""
    where = tmp_path / "c"
    if request.param == "bucket":
        where = f"{request.getfixturevalue('made_bucket')}/c"
    opened = polyseek.open_external(where, dim=DIM, resident=request.param == "memory")
    opened.add_vectors(AXES[:2], ids=["a", "b"])
    opened.add_vectors(AXES[2:3], ids=["c"], metadata={"n": [1]})
    opened.add_vectors(AXES[3:4], ids=["a"])
    return opened


def found(collection, axis=0):
    return [hit.uri for hit in collection.search(vector=AXES[axis]) if hit.score > 0.5]


def state(collection):
    return (len(collection), found(collection), found(collection, 2), found(collection, 3),
            dict(collection.fields()))  # fmt: skip


def data_files(collection):
    """How many files hold the segments."""
    folder = f"{collection.location}/segments_text.lance/data"
    if not scheme_of(folder):
        return len(list(Path(folder).iterdir()))
    bucket, key = split_url(folder)
    return sum(len(found) for found in obstore.list(bucket_of(bucket), key))


def test_every_run_that_changes_something_is_a_version(items, tmp_path):
    numbers = [
        (v.number, v.action, v.detail["added"], v.detail["updated"]) for v in items.versions()
    ]
    assert numbers == [(1, "import", 2, 0), (2, "import", 1, 0), (3, "import", 0, 1)]
    assert items.versions()[0].time < items.versions()[1].time
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("red")
    indexed = polyseek.open(tmp_path / "indexed", encoder="fake")
    indexed.add(folder, workers=1)
    indexed.add(folder, workers=1)
    indexed.remove(folder)
    assert [v.action for v in indexed.versions()] == ["index", "remove"]
    first = indexed.versions()[0].detail
    assert (first["sources"], first["added"]) == ([str(folder)], 1)


def test_old_versions_can_be_searched_counted_and_exported(items, tmp_path):
    assert (len(items.at(1)), found(items.at(1)), found(items.at(1), 2)) == (2, ["a"], [])
    assert items.at(1).fields() == {}
    assert (found(items.at(2)), found(items.at(2), 2)) == (["a"], ["c"])
    assert (found(items.at("3")), found(items.at(3), 3)) == ([], ["a"])
    assert items.at(1).export(tmp_path / "one.parquet") == 2
    assert items.at(1).status().assets == {"indexed": 2}
    assert len(polyseek.open(items.location, at=2)) == 3


def test_a_time_is_the_last_version_before_it(items):
    second, third = items.versions()[1:]
    between = second.time + (third.time - second.time) / 2
    assert found(items.at(between)) == ["a"]
    assert found(items.at(between.astimezone().replace(tzinfo=None).isoformat())) == ["a"]
    assert found(items.at(datetime.now(UTC) + timedelta(days=1)), 3) == ["a"]
    shown = items.versions()[-1].to_dict()["time"]
    assert found(items.at(shown), 3) == ["a"]
    with pytest.raises(ConfigError, match="no version 2001-01-01; the oldest"):
        items.at("2001-01-01")
    with pytest.raises(ConfigError, match="no version 9; it keeps 1 to 3"):
        items.at(9)
    with pytest.raises(ConfigError, match="'yesterday' is no version; expected a number or a time"):
        items.at("yesterday")


def test_going_back_is_a_version_and_can_be_undone(items):
    last = state(items)
    first = state(items.at(1))
    made = items.rollback(1)
    assert (made.number, made.action, made.detail["version"]) == (4, "rollback", 1)
    assert state(items) == first
    items.rollback(3)
    assert state(items) == last
    assert [v.number for v in items.versions()] == [1, 2, 3, 4, 5]


def test_what_makes_no_version_is_not_lost_by_going_back(items, tmp_path):
    words = tmp_path / "site.txt"
    words.write_text("lift truck: forklift\n")
    items.keep_glossary(words)
    items.rollback(1)
    assert items.glossary is None
    actions = [v.action for v in items.versions()]
    assert actions == ["import"] * 3 + ["before rollback", "rollback"]
    items.rollback(4)
    assert items.glossary == "lift truck: forklift\n"
    assert [v.action for v in items.versions()][1:] == [*actions[2:], "rollback"]


def test_a_rollback_that_was_killed_is_finished_by_the_next_writer(items, monkeypatch):
    first = state(items.at(1))

    def killed(store, version):
        table = store._table("segments_text")
        table.checkout(version.tables["segments_text"][0])
        table.restore()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(lance_versions, "_go", killed)
        with pytest.raises(KeyboardInterrupt):
            items.rollback(1)
    again = polyseek.open(items.location)
    assert len(again.versions()) == 3
    with again.store.writing():
        pass
    assert state(again) == first
    assert [v.action for v in again.versions()] == ["import"] * 3 + ["rollback"]
    again.add_vectors(AXES[4:5], ids=["d"])
    assert len(again) == 3


def test_a_table_that_did_not_exist_is_empty_again(items):
    items.add_vectors(AXES[5:6], ids=["p"], modality="image")
    assert found(items, 5) == ["p"]
    items.rollback(3)
    assert found(items, 5) == []
    assert items.status().modalities == {"text": 3}
    items.rollback(4)
    assert found(items, 5) == ["p"]


def test_a_tuning_goes_and_comes_back(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("red")
    opened = polyseek.open(tmp_path / "indexed", encoder="fake")
    opened.add(folder, workers=1)
    opened.tune()
    assert opened.store.tuning is not None
    opened.rollback(1)
    assert opened.store.tuning is None
    opened.rollback(2)
    assert opened.store.tuning is not None


def test_a_tuning_that_changes_nothing_makes_no_version(tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("red")
    opened = polyseek.open(tmp_path / "indexed", encoder="fake")
    opened.add(folder, workers=1)
    opened.tune()
    before = [version.number for version in opened.versions()]
    opened.tune()
    assert [version.number for version in opened.versions()] == before == [1, 2]


def test_few_are_kept_and_those_stay_whole(items, monkeypatch):
    monkeypatch.setattr(lance_versions, "GRACE", timedelta(milliseconds=1))
    for i in range(4):
        items.add_vectors(AXES[4:5] + i * AXES[5:6], ids=["x"])
    kept = items.versions()
    assert [v.number for v in kept] == [3, 4, 5, 6, 7]
    assert [len(items.at(v.number)) for v in kept] == [3, 4, 4, 4, 4]
    assert found(items.at(3), 3) == ["a"]


def test_compacting_forgets_and_gives_space_back(items, tmp_path, monkeypatch):
    last = state(items)
    monkeypatch.setattr(lance_versions, "COMPACT_GRACE", timedelta(milliseconds=1))
    before = data_files(items)
    assert [v.number for v in items.compact(keep=2)] == [2, 3]
    assert found(items.at(2)) == ["a"]
    monkeypatch.setattr(lance_versions, "MARGIN", timedelta(0))
    assert [v.number for v in items.compact()] == [3]
    assert state(items) == state(items.at(3)) == last
    assert data_files(items) == 1 < before
    with pytest.raises(ConfigError, match="no version 2; it keeps 3 to 3"):
        items.rollback(2)
    with pytest.raises(ConfigError, match="expected 1 or more"):
        items.compact(keep=0)


def test_an_import_that_fails_leaves_no_table_behind(items):
    last = state(items)
    broken = AXES[:2].copy()
    broken[1, 0] = np.nan
    for _ in range(2):
        with pytest.raises(ConfigError, match="not finite"):
            items.add_vectors(broken, ids=["p", "q"], modality="image")
        assert state(items) == last
    assert [v.number for v in items.versions()] == [1, 2, 3]
    items.add_vectors(AXES[5:6], ids=["p"], modality="image")
    assert found(items, 5) == ["p"]


def test_versions_are_plain_for_programs(items):
    shown = items.versions()[0].to_dict()
    assert shown["version"] == 1
    assert set(shown) == {"version", "time", "action", "detail"}
    assert isinstance(items.versions()[0], Version)
