"""import, export, versions, rollback, compact and reindex as they are typed."""

import json
import sys
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from polyseek.api import opening
from polyseek.cli import entry, exits
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow

ROWS = np.eye(8, dtype=np.float32)


def encoder(name, settings):
    made = FakeEncoder(revision="2" if name == "newer" else "1")
    made.info = replace(made.info, name=name)
    return made


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Runs a command in a folder of its own; gives exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(opening, "load_encoder", encoder)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["polyseek", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            entry.main()
        out, err = capsys.readouterr()
        return stop.value.code, out, err

    return run


@pytest.fixture
def items(cli, tmp_path):
    columns = {"sku": [f"s{i}" for i in range(8)], "emb": (2 * ROWS).tolist(), "n": range(8)}
    pq.write_table(pa.table({**columns, "title": [f"shoe {i}" for i in range(8)]}), "v.parquet")
    np.save("q.npy", ROWS[3])
    code, out, _ = cli("import", "v.parquet", "-c", "items", "--id", "sku", "--text", "title")
    assert (code, "8 added" in out, "8 vectors brought to unit length" in out) == (0, True, True)
    return cli


def hits(out):
    return [hit["uri"] for hit in json.loads(out)["hits"]]


def test_vectors_in_searched_and_out_again(items, tmp_path):
    assert hits(items("search", "--vector", "q.npy", "-c", "items", "--json", "-k", "1")[1]) == [
        "s3"
    ]
    assert hits(items("search", "id:s5", "-c", "items", "--json", "-k", "1")[1]) == ["s5"]
    code, out, _ = items("search", "shoe 2", "-c", "items", "--explain", "-k", "1")
    assert (code, "s2" in out, "score" in out) == (0, True, True)
    code, out, _ = items("export", "-c", "items", "--to", "o.parquet", "--filter", "n < 4")
    assert (code, out) == (0, "o.parquet: 4 segments\n")
    code, out, _ = items("import", "o.parquet", "-c", "again", "--json")
    assert (code, json.loads(out)["added"], json.loads(out)["scaled"]) == (0, 4, 0)
    assert hits(items("search", "--vector", "q.npy", "-c", "again", "--json", "-k", "1")[1]) == [
        "s3"
    ]


def test_a_sparse_query(items, tmp_path):
    (tmp_path / "s.json").write_text('{"indices": [1], "weights": [2.0]}')
    code, out, _ = items("search", "--sparse", "s.json", "-c", "items", "--json")
    assert (code, hits(out)) == (0, [])
    (tmp_path / "s.json").write_text("[1]")
    code, _, err = items("search", "--sparse", "s.json", "-c", "items")
    assert (code, "--sparse s.json: expected JSON" in err) == (10, True)


def test_wrong_input_is_one_line(items, tmp_path):
    for words, code, message in (
        (("import", "no.npy"), 21, "no.npy: no such file"),
        (("import", "v.parquet", "-c", "x"), 10, "no column 'id' (--id); it has sku, emb, n"),
        (("import", "v.parquet", "--id", "sku", "--modality", "smell"), 10, "unknown modality"),
        (("import", "v.parquet", "--id", "sku", "--query-encoder", "fake", "-c", "x"), 40, "make"),
        (("search", "-c", "items"), 60, "nothing to look for"),
        (("search", "--vector", "v.parquet", "-c", "items"), 60, "--vector v.parquet"),
        (("search", "x", "--at", "9", "-c", "items"), 10, "no version 9; it keeps 1 to 1"),
        (("export", "-c", "items", "--to", "q.npy"), 10, "ends in .parquet or .lance"),
        (("rollback", "7", "-c", "items"), 10, "no version 7"),
        (("reindex", "-c", "items"), 10, "give one of --encoder"),
        (("reindex", "--undo", "-c", "items"), 10, "never switched"),
    ):
        got, _, err = items(*words)
        assert (got, message in err, err.count("\n")) == (code, True, 1), (words, err)
    assert not (tmp_path / "x").exists()


def test_versions_back_and_forth(items):
    items("import", "v.parquet", "-c", "items", "--id", "n")
    code, out, _ = items("versions", "-c", "items")
    assert (code, out.count("import"), "8 added" in out) == (0, 2, True)
    assert json.loads(items("status", "-c", "items", "--at", "1", "--json")[1])["modalities"] == {
        "text": 8
    }
    code, out, _ = items("rollback", "1", "-c", "items")
    assert (code, out) == (0, "items: back at version 1, which is version 3 now\n")
    listed = json.loads(items("versions", "-c", "items", "--json")[1])
    assert [one["version"] for one in listed] == [1, 2, 3]
    code, out, _ = items("compact", "-c", "items", "--json")
    assert [one["version"] for one in json.loads(out)] == [3]
    assert len(hits(items("search", "--vector", "q.npy", "-c", "items", "--json")[1])) == 8


def test_another_encoder(cli, tmp_path):
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "photos" / "a.png")
    (tmp_path / "pairs.csv").write_text("query,path\nred,a.png\n")
    assert cli("index", "photos", "--encoder", "fake")[0] == exits.OK
    code, out, _ = cli("reindex", "--encoder", "newer", "--pairs", "pairs.csv")
    assert code == exits.OK
    for told in ("1 assets with newer@2", "1 pairs", "The old index still answers"):
        assert told in out
    assert "fake@1" in cli("status")[1]
    code, out, _ = cli("reindex", "--encoder", "newer", "--switch")
    assert "The new index answers now" in out
    assert "newer@2" in cli("status")[1]
    assert "1 unchanged" in cli("index", "photos")[1]
    assert "the first index answers again" in cli("reindex", "--undo")[1]
    assert json.loads(cli("reindex", "--drop", "--json")[1]) == {"dropped": ["newer-2"]}
    assert "fake@1" in cli("status")[1]
