import json
import os
import pickle
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from pyarrow import parquet

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, SourceError, SourceNotFoundError
from polyseek.ingest.sources import metadata
from polyseek.ingest.sources.files import FileSource, local_path
from polyseek.ingest.sources.joined import JoinedTable
from polyseek.ingest.sources.metadata import read_table


def listed(root, **options):
    return [a.path for a in FileSource(root, IndexOptions(**options)).list()]


def touch(path, content="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def test_lists_recursively_in_order_without_hidden_files_and_collections(tmp_path):
    for name in ("b.txt", "a/z.txt", "a/.hidden", ".git/c.txt", "x.polyseek/d.txt", "A.txt"):
        touch(tmp_path / name)
    assert listed(tmp_path) == ["A.txt", "a/z.txt", "b.txt"]


def test_include_and_exclude_read_like_gitignore(tmp_path):
    for name in ("keep/a.jpg", "keep/a.txt", "drop/b.jpg", "c.jpg"):
        touch(tmp_path / name)
    assert listed(tmp_path, include=["*.jpg"]) == ["c.jpg", "drop/b.jpg", "keep/a.jpg"]
    assert listed(tmp_path, exclude=["drop/", "*.txt"]) == ["c.jpg", "keep/a.jpg"]


def test_symbolic_links_are_followed_and_loops_survived(tmp_path):
    touch(tmp_path / "a/b.txt")
    (tmp_path / "a/loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    paths = listed_or_errors(tmp_path)
    assert "a/b.txt" in paths
    assert len(paths) < 10
    assert any("gone" in p for p in paths)


def listed_or_errors(root):
    return [
        a.uri if isinstance(a, AssetError) else a.path
        for a in FileSource(root, IndexOptions()).list()
    ]


def test_a_missing_root_and_a_single_file(tmp_path):
    with pytest.raises(SourceNotFoundError, match="no such file or folder"):
        list(FileSource(tmp_path / "nope").list())
    only = touch(tmp_path / "one.txt")
    assert listed(only) == ["one.txt"]


def test_an_unreadable_root_is_a_source_error_and_a_subfolder_is_not(tmp_path, monkeypatch):
    touch(tmp_path / "ok.txt")
    touch(tmp_path / "locked/secret.txt")
    real = os.scandir

    def scandir(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = list(FileSource(tmp_path).list())
    assert [f.path for f in found if not isinstance(f, AssetError)] == ["ok.txt"]
    (error,) = [f for f in found if isinstance(f, AssetError)]
    assert error.uri == (tmp_path / "locked").as_uri() + "/"
    with pytest.raises(SourceError, match="cannot be read"):
        list(FileSource(tmp_path / "locked").list())


def test_a_sidecar_is_metadata_and_changes_the_etag(tmp_path):
    touch(tmp_path / "a.jpg")
    (before,) = FileSource(tmp_path).list()
    touch(tmp_path / "a.jpg.json", json.dumps({"title": "Dog", "place": {"city": "Rome"}}))
    (after,) = FileSource(tmp_path).list()
    assert after.metadata == {"title": "Dog", "place.city": "Rome"}
    assert after.etag != before.etag


def test_a_broken_sidecar_is_a_problem_of_its_asset(tmp_path):
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "a.jpg.json", "{")
    (asset,) = FileSource(tmp_path).list()
    assert "a.jpg.json" in asset.problem


@pytest.mark.parametrize(
    "content",
    ["[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000, '{"a":' * 200 + "1" + "}" * 200, "[1]", ""],
)
def test_a_sidecar_of_any_shape_costs_its_fields_not_the_run(tmp_path, content):
    touch(tmp_path / "a.jpg")
    touch(tmp_path / "a.jpg.json", content)
    (asset,) = FileSource(tmp_path).list()
    assert "a.jpg.json cannot be read" in asset.problem
    assert asset.metadata == {}


def test_odd_names_survive_the_way_to_a_uri_and_back(tmp_path):
    names = ["new\nline.txt", "emoji 😀.txt", "100%.txt", "a#b?.txt", os.fsdecode(b"\xff\xfe.txt")]
    for name in names:
        touch(tmp_path / name)
    found = list(FileSource(tmp_path).list())
    assert {local_path(a.uri).name for a in found} == set(names)
    assert all(local_path(a.uri).read_text() == "x" for a in found)
    assert all(a.path.encode() and a.etag.encode() for a in found)


def test_a_broken_sidecar_of_an_odd_name_is_a_storable_problem(tmp_path):
    name = os.fsdecode(b"\xff.jpg")
    touch(tmp_path / name)
    touch(tmp_path / f"{name}.json", "{")
    (asset,) = FileSource(tmp_path).list()
    assert asset.problem.encode()
    assert asset.etag.encode()


def test_covers_only_what_lies_below(tmp_path):
    source = FileSource(tmp_path / "photos")
    assert source.covers((tmp_path / "photos/a.jpg").as_uri())
    assert not source.covers((tmp_path / "photos2/a.jpg").as_uri())


def test_covers_only_what_it_would_list(tmp_path):
    def covered(**options):
        source = FileSource(tmp_path, IndexOptions(**options))
        names = ("a.jpg", "b.txt", "sub/c.jpg", ".git/d.jpg", "x.polyseek/e.jpg", "locked/")
        uris = {name: f"{tmp_path.as_uri()}/{name}" for name in names}
        return {name for name, uri in uris.items() if source.covers(uri)}

    assert covered() == {"a.jpg", "b.txt", "sub/c.jpg", "locked/"}
    assert covered(include=["*.jpg"]) == {"a.jpg", "sub/c.jpg", "locked/"}
    assert covered(exclude=["sub/", "*.txt"]) == {"a.jpg", "locked/"}


def test_a_collection_of_any_name_is_not_listed(tmp_path):
    for name in ("a.txt", "index/assets.lance/data/1.txt", "index/notes.txt"):
        touch(tmp_path / name)
    assert listed(tmp_path) == ["a.txt"]
    assert listed(tmp_path / "index") == []


def test_rows_of_a_table_that_belong_to_a_file(tmp_path):
    touch(tmp_path / "in/sub/a.jpg")
    rows = ("sub/a.jpg", "sub//a.jpg", "../m.csv", str(tmp_path / "in/sub/a.jpg"), "b.jpg")
    table = touch(tmp_path / "m.csv", "\n".join(["path,n", *(f"{row},1" for row in rows)]))
    for root, row in ((tmp_path / "in", "sub/a.jpg"), (tmp_path / "in/sub/a.jpg", "a.jpg")):
        joined = FileSource(root, IndexOptions(metadata=table)).joined()
        assert {path for path, there in joined if there} == {row} & set(rows)


def test_a_table_is_joined_on_the_path_with_types(tmp_path):
    touch(tmp_path / "in/a.jpg")
    touch(tmp_path / "in/b.jpg")
    table = touch(
        tmp_path / "m.csv", "path,year,rating,ok,note\na.jpg,2020,4.5,true,x\n./b.jpg,,,,\n"
    )
    a, b = FileSource(tmp_path / "in", IndexOptions(metadata=table)).list()
    assert a.metadata == {"year": 2020, "rating": 4.5, "ok": True, "note": "x"}
    assert b.metadata == {}


def test_a_table_without_a_path_column_names_its_columns(tmp_path):
    table = touch(tmp_path / "m.csv", "file,year\na.jpg,2020\n")
    with pytest.raises(SourceError, match="needs a column named 'path'; it has file, year"):
        read_table(table)
    with pytest.raises(SourceNotFoundError):
        read_table(tmp_path / "none.csv")
    with pytest.raises(SourceError, match="expected a .csv"):
        read_table(touch(tmp_path / "m.xls"))
    with pytest.raises(SourceError, match="an object in every line"):
        read_table(touch(tmp_path / "list.jsonl", "[1]\n"))
    with pytest.raises(SourceError, match="cannot be read"):
        read_table(touch(tmp_path / "deep.jsonl", "[" * 100_000))


def test_types_are_those_of_all_rows_however_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "BLOCK_BYTES", 4_096)
    monkeypatch.setattr(metadata, "BLOCK_ROWS", 64)
    rows = 2_000
    lines = [f'{i}.jpg,{i},{i or ""},{i},"a,\n{i}",2020-01-0{i % 9 + 1}' for i in range(rows - 1)]
    lines.append(f"{rows - 1}.jpg,0.5,,x,,2020-01-01 10:00:00")
    table = touch(tmp_path / "m.csv", "\n".join(["path,n,whole,mixed,text,day", *lines, ""]))
    read = read_table(table)
    assert len(read) == rows
    day = datetime(2020, 1, 4, tzinfo=UTC)
    assert read["3.jpg"] == {"n": 3.0, "whole": 3, "mixed": "3", "text": "a,\n3", "day": day}
    assert [type(read["3.jpg"][name]) for name in ("n", "whole")] == [float, int]
    assert read["0.jpg"].keys() == {"n", "mixed", "text", "day"}
    last = read[f"{rows - 1}.jpg"]
    assert last == {"n": 0.5, "mixed": "x", "day": datetime(2020, 1, 1, 10, tzinfo=UTC)}
    parquet.write_table(pa.table({"path": [f"{i}.jpg" for i in range(300)], "n": range(300)}),
                        tmp_path / "m.parquet")  # fmt: skip
    assert read_table(tmp_path / "m.parquet")["299.jpg"] == {"n": 299}


def test_a_table_stays_where_assets_are_listed():
    table = JoinedTable((f"{i}.jpg", {"n": i}) for i in range(10_000))
    assert len(pickle.dumps(table)) < 1_000
    assert (table["77.jpg"], table.get("none.jpg"), len(table)) == ({"n": 77}, None, 10_000)
    assert JoinedTable([("a", {"n": 1}), ("b", {}), ("a", {"n": 2})]) == {"b": {}, "a": {"n": 2}}


KILLED = """
import os, signal
from polyseek.ingest.sources.joined import JoinedTable

table = JoinedTable((f"{i}.jpg", {"caption": "a photo " * 20}) for i in range(50_000))
assert table["49999.jpg"]
print("made", flush=True)
signal.pause()
"""


def test_nothing_is_left_of_the_table_of_a_process_that_is_killed(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path), "SQLITE_TMPDIR": str(tmp_path)},
    )
    with process:
        assert process.stdout.readline() == b"made\n"
        process.terminate()
        assert process.wait(60) == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_jsonl_rows_keep_lists_and_dates(tmp_path):
    rows = touch(tmp_path / "m.jsonl", '{"file_name": "a.jpg", "tags": ["x", 1], "n": null}\n\n')
    assert read_table(rows) == {"a.jpg": {"tags": ["x", "1"]}}
