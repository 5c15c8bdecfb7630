"""Files of labelled queries: every layout, and what is wrong with them."""

import json

import pytest

from polyseek.core.errors import ConfigError
from polyseek.core.pairs import LabelledQuery, joined, read_pairs


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def relevant(pairs):
    return {q.query: dict(q.relevant) for q in pairs.queries}


def test_a_csv_of_captions(tmp_path):
    table = "path,caption,language\na.jpg,two dogs,en\nb.jpg,two dogs,en\nb.jpg,a red car,de\n"
    found = read_pairs(written(tmp_path / "pairs.csv", table))
    assert relevant(found) == {"two dogs": {"a.jpg": 1, "b.jpg": 1}, "a red car": {"b.jpg": 1}}
    assert found.queries[1].id == "a red car"
    assert found.queries[1].fields == {"language": "de"}
    assert found.notes == ()


def test_lists_of_captions_in_jsonl(tmp_path):
    row = {"id": "x", "path": "a.jpg", "texts": ["one", "two", ""], "language": "en", "n": None}
    found = read_pairs(written(tmp_path / "pairs.jsonl", json.dumps(row) + "\n\n"))
    assert [(q.id, q.query, dict(q.fields)) for q in found.queries] == [
        ("x/1", "one", {"language": "en"}),
        ("x/2", "two", {"language": "en"}),
    ]


def test_graded_relevance_and_what_is_not_relevant(tmp_path):
    table = (
        "qid,query,path,relevance\n1,dog,a.jpg,2\n1,dog,b.jpg,0.5\n1,dog,c.jpg,0\n2,cat,a.jpg,0\n"
    )
    found = read_pairs(written(tmp_path / "pairs.csv", table))
    assert relevant(found) == {"dog": {"a.jpg": 2, "b.jpg": 0.5}, "cat": {}}


def test_queries_that_are_files(tmp_path):
    written(tmp_path / "bark.wav", "")
    table = "query\tpath\nbark.wav\tdog.jpg\nmoo.wav\tcow.jpg\n"
    found = read_pairs(written(tmp_path / "pairs.tsv", table)).queries
    assert found[0] == LabelledQuery(
        id=str(tmp_path / "bark.wav"), query=str(tmp_path / "bark.wav"), is_file=True,
        relevant={"dog.jpg": 1},
    )  # fmt: skip
    assert not found[1].is_file  # there is no such file: a text
    named = read_pairs(written(tmp_path / "q.csv", "query_image,path\nmoo.png,cow.jpg\n")).queries
    assert named[0].query == str(tmp_path / "moo.png")
    assert named[0].is_file


@pytest.mark.parametrize(
    "queries",
    [
        ("queries.tsv", "q1\ttwo dogs\nq2\ta red car\nq3\tnobody asks\n"),
        ("queries.jsonl", '{"_id": "q1", "text": "two dogs"}\n{"_id": "q2", "text": "a red car"}'),
        ("queries.csv", "id,query\nq1,two dogs\nq2,a red car\n"),
    ],
)
def test_trec_qrels(tmp_path, queries):
    qrels = written(tmp_path / "test.qrels", "q1 0 a.jpg 1\nq1 0 b.jpg 0\nq2 0 b.jpg 2\nq9 0 c 1\n")
    asked = written(tmp_path / queries[0], queries[1])
    found = read_pairs(qrels, queries=asked)
    assert relevant(found) == {"two dogs": {"a.jpg": 1}, "a red car": {"b.jpg": 2}}
    assert [q.id for q in found.queries] == ["q1", "q2"]
    assert found.notes == (
        "test.qrels: 1 rows of ids that the queries do not have were left out (the first is row 4)",
    )
    with pytest.raises(ConfigError, match="give them with --queries"):
        read_pairs(qrels)


def test_beir(tmp_path):
    written(tmp_path / "queries.jsonl", '{"_id": "1", "text": "two dogs"}\n')
    written(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\n1\tdoc7\t1\n")
    written(tmp_path / "qrels" / "dev.tsv", "query-id\tcorpus-id\tscore\n1\tdoc8\t1\n")
    assert relevant(read_pairs(tmp_path)) == {"two dogs": {"doc7": 1}}
    (tmp_path / "qrels" / "test.tsv").unlink()
    assert relevant(read_pairs(tmp_path)) == {"two dogs": {"doc8": 1}}
    (tmp_path / "qrels" / "dev.tsv").unlink()
    with pytest.raises(ConfigError, match=r"BEIR's layout.*no \.tsv"):
        read_pairs(tmp_path)


def test_rows_without_a_query_or_an_asset_are_counted(tmp_path):
    table = "path,caption\na.jpg,dog\nb.jpg,\n,cat\n"
    found = read_pairs(written(tmp_path / "p.csv", table))
    assert found.notes == (
        "p.csv: 2 rows without a query or an asset were left out (the first is row 3)",
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("p.csv", "", "holds no pairs"),
        ("p.csv", "a,b\n1,2\n", "columns like 'query' and 'path', got a, b"),
        ("p.csv", "query,path,rel\ndog,a,high\n", "row 2: relevance is 'high'"),
        ("p.csv", "id,query,path\n1,dog,a\n1,cat,b\n", "row 3: id '1' is given to two different"),
        ("p.jsonl", '{"query": "dog"\n', "line 1 is no JSON"),
        ("p.jsonl", "[1]\n", "line 1: expected a JSON object"),
        ("p.txt", "just words\n", "expected 'query-id 0 asset relevance'"),
    ],
)
def test_what_cannot_be_read(tmp_path, name, text, message):
    with pytest.raises(ConfigError, match=message):
        read_pairs(written(tmp_path / name, text))


def test_files_that_are_not_there_or_no_text(tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        read_pairs(tmp_path / "missing.csv")
    (tmp_path / "p.csv").write_bytes(b"\xff\xfe\x00\xd8")
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        read_pairs(tmp_path / "p.csv")
    qrels = written(tmp_path / "q.qrels", "1 0 a 1\n")
    with pytest.raises(ConfigError, match="no queries; expected a table"):
        read_pairs(qrels, queries=written(tmp_path / "queries.csv", "text\ndog\n"))


def test_near_duplicates_share_their_answers():
    def query(text, *assets):
        return LabelledQuery(id=text, query=text, relevant=dict.fromkeys(assets, 1.0))

    found = joined(
        [query("Two dogs run.", "a"), query("a cat", "c"), query("two dogs  running", "b")]
    )
    assert [(q.id, dict(q.relevant)) for q in found] == [
        ("Two dogs run.", {"a": 1, "b": 1}),
        ("a cat", {"c": 1}),
    ]
