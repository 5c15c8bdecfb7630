"""Vectors from elsewhere: what is taken, what is refused, what comes out again."""

import json
from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import polyseek
from polyseek.api import opening, vectors
from polyseek.core.config import ImportOptions
from polyseek.core.errors import (
    ConfigError,
    DimensionError,
    EmptySourceError,
    IncompatibleCollectionError,
    QueryError,
    SourceError,
    SourceNotFoundError,
    StoreError,
)
from polyseek.core.filters import FieldType
from polyseek.core.types import Modality, Role, Space
from polyseek.ingest import vector_files
from polyseek.testing import FakeEncoder

DIM = 8
ROWS = np.random.default_rng(0).normal(size=(40, DIM)).astype(np.float32)
FIVE = ROWS[:5].tolist()
IDS = [f"sku-{i}" for i in range(len(ROWS))]


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())


@pytest.fixture
def items(tmp_path):
    return polyseek.open_external(tmp_path / "items", dim=DIM)


def table(**columns):
    given = {"id": IDS, "vector": ROWS.tolist()}
    return pa.table({**given, **columns})


def nearest(collection, row, **options):
    return collection.search(vector=row, **options)[0].uri


def imported(tmp_path, path, **options):
    chosen = ImportOptions(**options)
    opened, read = vectors.open_to_import(tmp_path / "imported", path, options=chosen)
    return opened, opened.add_table(read, chosen)


def test_an_array_is_searched_by_vector_by_row_and_by_words(items):
    done = items.add_vectors(ROWS, ids=IDS, texts=["red shoe"] + [None] * 39)
    assert (done.added, done.updated, done.scaled, len(items)) == (40, 0, 40, 40)
    assert nearest(items, ROWS[7]) == "sku-7"
    assert nearest(items, 3 * ROWS[7]) == "sku-7"
    assert items.search(ROWS[7].tolist())[0].score == pytest.approx(1, abs=1e-6)
    assert items.search("id:sku-7")[0].uri == "sku-7"
    (hit,) = items.search("shoes")
    assert (hit.uri, hit.text) == ("sku-0", "red shoe")
    assert hit.score == hit.text_score > 0
    both = items.search("shoes", vector=ROWS[7])
    assert {hit.uri for hit in both[:2]} == {"sku-0", "sku-7"}


def test_composed_queries_may_hold_rows(items):
    items.add_vectors(ROWS, ids=IDS)
    found = items.search(polyseek.query("id:sku-1", "id:sku-2"), limit=2)
    assert {hit.uri for hit in found} == {"sku-1", "sku-2"}


def test_a_second_import_updates_and_keeps_the_rest(items):
    items.add_vectors(ROWS, ids=IDS, metadata={"n": list(range(40))})
    new = np.eye(DIM, dtype=np.float32)[:2]
    done = items.add_vectors(new, ids=["sku-3", "new"], metadata={"n": [77, 78]})
    assert (done.added, done.updated, done.scaled, len(items)) == (1, 1, 0, 41)
    assert nearest(items, new[0]) == "sku-3"
    assert [hit.uri for hit in items.search(vector=new[0], filter="n = 77")] == ["sku-3"]
    assert items.search(vector=ROWS[4], filter="n = 4")[0].uri == "sku-4"


def test_types_of_fields(items):
    items.add_vectors(
        table(
            price=pa.array(np.linspace(0, 1, 40)),
            stock=pa.array(range(40), pa.int16()),
            day=[date(2024, 1, 1)] * 40,
            seen=pa.array(
                [datetime(2024, 5, 1, 12, tzinfo=UTC)] * 40, pa.timestamp("ns", "Asia/Tokyo")
            ),
            sold=[True, False] * 20,
            tags=[["a", None, "b"], None] * 20,
            brand=pa.array(["x", "y"] * 20).dictionary_encode(),
            deep=[{"lens": {"name": "50mm"}, "iso": 100}] * 40,
            empty=pa.nulls(40),
            holes=[float("nan"), 1.0] * 20,
        )
    )
    kinds = {name: str(kind) for name, kind in items.fields().items()}
    assert kinds == {
        "price": "number", "stock": "integer", "day": "time", "seen": "time", "sold": "boolean",
        "tags": "list", "brand": "text", "deep.lens.name": "text", "deep.iso": "integer",
        "holes": "number",
    }  # fmt: skip
    where = "stock = 3 AND day >= '2024-01-01' AND NOT sold AND brand = 'y' AND deep.iso = 100"
    (hit,) = items.search(vector=ROWS[0], filter=where)
    assert hit.uri == "sku-3"
    assert hit.metadata["seen"] == datetime(2024, 5, 1, 12, tzinfo=UTC)
    assert hit.metadata["deep.lens.name"] == "50mm"
    assert items.search("id:sku-0")[0].metadata["tags"] == ["a", "b"]
    assert items.search(vector=ROWS[0], filter="holes IS NULL", limit=50).plan[0].rows == 20


def test_new_fields_and_wider_numbers_come_with_later_rows(items):
    items.add_vectors(ROWS[:1], ids=["a"], metadata={"n": [1]})
    items.add_vectors(ROWS[1:2], ids=["b"], metadata={"n": [1.5], "new": ["x"]})
    assert items.fields() == {"n": FieldType.NUMBER, "new": FieldType.TEXT}
    with pytest.raises(ConfigError, match="column 'n' is of type list.*field 'n' of type number"):
        items.add_vectors(ROWS[2:3], ids=["c"], metadata={"n": [["a"]]})
    assert len(items) == 2


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"vector": [*FIVE, [np.nan] * DIM]}, ConfigError, r"row 6 \(id 'sku-5'\) .*not finite"),
        ({"vector": [*FIVE, [np.inf] * DIM]}, ConfigError, "not finite"),
        ({"vector": [*FIVE, [0.0] * DIM]}, ConfigError, "vector of zeros"),
        ({"vector": [*FIVE, None]}, ConfigError, "has no vector"),
        ({"vector": [*FIVE, [None, *[1.0] * 7]]}, ConfigError, "missing number"),
        ({"vector": [*FIVE, [1.0] * 7]}, DimensionError, "of 7 numbers.* have 8"),
        ({"id": [*IDS[:5], None]}, ConfigError, "row 6 has no id"),
        ({"id": [*IDS[:5], ""]}, ConfigError, "row 6 has an empty id"),
        ({"id": [*IDS[:5], "sku-2"]}, ConfigError, "'sku-2' comes twice"),
        ({"id": [1.5] * 6}, ConfigError, "expected texts or whole numbers"),
        ({"vector": ["x"] * 6}, ConfigError, "which column holds the vectors"),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_a_bad_row_is_named_and_nothing_is_added(items, columns, error, message, monkeypatch):
    monkeypatch.setattr(vector_files, "BLOCK_ROWS", 4)  # the bad row is in the second block
    items.add_vectors(ROWS[6:8], ids=["old", "older"])
    version = items.store.version
    bad = {"id": IDS[:6], "vector": ROWS[:6].tolist(), **columns}
    with pytest.raises(error, match=message):
        items.add_vectors(pa.table(bad))
    assert len(items) == 2
    assert items.search(vector=ROWS[6]).plan[0].rows == 2
    assert [v.action for v in items.versions()] == ["import"]
    items.add_vectors(ROWS, ids=IDS)
    assert (len(items), items.store.version > version) == (42, True)


@pytest.mark.parametrize(
    ("vector", "error"),
    [
        ([1.0] * 7, DimensionError),
        ([[1.0] * DIM] * 2, DimensionError),
        ([np.nan] * DIM, QueryError),
        ([0.0] * DIM, QueryError),
        (["x"] * DIM, QueryError),
    ],
)
def test_a_bad_query_vector_is_refused(items, vector, error):
    items.add_vectors(ROWS, ids=IDS)
    with pytest.raises(error):
        items.search(vector=vector)


def test_what_nothing_can_read_is_said(items, tmp_path):
    items.add_vectors(ROWS, ids=IDS)
    with pytest.raises(QueryError, match="nothing reads 'red'.*--query-encoder"):
        items.search("red", mode="dense")
    with pytest.raises(QueryError, match="nothing to look for"):
        items.search()
    with pytest.raises(QueryError, match="no asset of that id"):
        items.search("id:nothing")
    with pytest.raises(IncompatibleCollectionError, match="cannot be indexed"):
        items.add(tmp_path)
    with pytest.raises(ConfigError, match="reads no text"):
        items.tune()
    picture = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(picture)
    with pytest.raises(QueryError, match="cannot read image queries"):
        items.search(picture)


def test_an_attached_encoder_reads_queries(tmp_path):
    encoder = FakeEncoder()
    rows = encoder.encode(Modality.TEXT, ["red", "blue"], role=Role.DOCUMENT).shared
    opened = polyseek.open_external(tmp_path / "c", dim=encoder.info.dim, query_encoder="fake")
    opened.add_vectors(rows, ids=["r", "b"], modality="image")
    assert opened.search("blue", mode="dense")[0].uri == "b"
    assert polyseek.open(opened.location).search("a red one")[0].uri == "r"
    with pytest.raises(DimensionError, match="'fake' makes vectors of 7 numbers.* have 8"):
        polyseek.open_external(tmp_path / "d", dim=8, query_encoder="fake")
    assert not (tmp_path / "d").exists()


def test_files_of_every_kind_give_the_same(tmp_path):
    columns = {"n": list(range(40)), "words": [f"shoe {i}" for i in range(40)]}
    pq.write_table(table(**columns), tmp_path / "v.parquet")
    lines = [json.dumps(row) for row in table(**columns).to_pylist()]
    (tmp_path / "v.jsonl").write_text("\n".join([*lines, "", ""]))
    np.save(tmp_path / "v.npy", ROWS)
    pq.write_table(table(**columns).drop_columns(["vector"]), tmp_path / "rows.parquet")
    for path, beside in (("v.parquet", None), ("v.jsonl", None), ("v.npy", "rows.parquet")):
        opened, done = imported(
            tmp_path / path.replace(".", "-"), tmp_path / path, text="words",
            rows=beside and tmp_path / beside,
        )  # fmt: skip
        assert done.added == 40, path
        (hit,) = opened.search(vector=ROWS[9], filter="n = 9")
        assert (hit.uri, hit.text, hit.score) == ("sku-9", "shoe 9", pytest.approx(1, abs=1e-6))


def test_lines_come_in_blocks_whose_fields_may_differ(tmp_path, monkeypatch):
    monkeypatch.setattr(vector_files, "BLOCK_BYTES", 300)
    rows = [{"id": i, "vector": ROWS[i].tolist(), **({"late": 1.5} if i > 30 else {"n": i})}
            for i in range(40)]  # fmt: skip
    (tmp_path / "v.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    opened, done = imported(tmp_path, tmp_path / "v.jsonl")
    assert done.added == len(opened) == 40
    assert opened.search(vector=ROWS[0], filter="late > 1").plan[0].rows == 9
    (tmp_path / "bad.jsonl").write_text('{"id": 1, "vector": [1.0]}\n{"id": 2, "vec\n')
    with pytest.raises(SourceError, match=r"bad.jsonl: cannot be read"):
        imported(tmp_path / "x", tmp_path / "bad.jsonl")


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("no.parquet", None, SourceNotFoundError, "no such file"),
        ("bad.parquet", b"PAR1 no", SourceError, "cannot be read"),
        ("bad.npy", b"x", SourceError, "cannot be read"),
        ("v.txt", b"1 2", ConfigError, "expected one that ends in .parquet"),
        ("empty.jsonl", b"", EmptySourceError, "has no rows"),
        ("v.jsonl", b'{"id": 1, "a": [1.0], "b": [2.0]}', ConfigError, "Name it with --vector"),
        ("v.jsonl", b'{"name": 1, "vector": [1.0]}', ConfigError, "no column 'id'.*name, vector"),
    ],
)
def test_a_bad_file_makes_no_collection(tmp_path, name, content, error, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        imported(tmp_path, tmp_path / name)
    assert not (tmp_path / "imported").exists()


def test_a_table_beside_an_array_has_one_row_for_each(tmp_path):
    np.save(tmp_path / "v.npy", ROWS)
    for count, message in ((39, "fewer rows"), (41, "more rows")):
        pq.write_table(pa.table({"id": range(count)}), tmp_path / "rows.parquet")
        with pytest.raises(ConfigError, match=message):
            imported(tmp_path / str(count), tmp_path / "v.npy", rows=tmp_path / "rows.parquet")


def test_sparse_vectors_come_unsorted_and_missing(items):
    given = pa.array([{"indices": [9, 3], "weights": [2.0, 1.0]}] + [None] * 39)
    items.add_vectors(table(sparse=given), sparse="sparse")
    (hit,) = items.search(sparse={3: 1.0, 9: 1.0})
    assert (hit.uri, hit.sparse_score) == ("sku-0", 3.0)
    for bad in (
        {"indices": [1, 1], "weights": [1.0, 1.0]},
        {"indices": [-1], "weights": [1.0]},
        {"indices": [1], "weights": [np.inf]},
        {"indices": [1, 2], "weights": [1.0]},
    ):
        with pytest.raises(ConfigError, match="row 1 has a sparse vector"):
            items.add_vectors(table(sparse=pa.array([bad] + [None] * 39)), sparse="sparse")


def test_unit_vectors_are_taken_without_a_copy(items, monkeypatch):
    unit = ROWS / np.linalg.norm(ROWS, axis=1, keepdims=True)
    source = pa.array(unit.reshape(-1))
    given = pa.table({"id": IDS, "vector": pa.FixedSizeListArray.from_arrays(source, DIM)})
    seen = []
    monkeypatch.setattr(
        type(items.store), "upsert_columns", lambda self, chunks: seen.extend(chunks) or 0
    )
    assert items.add_vectors(given).scaled == 0
    assert seen[0].shared.flatten().buffers()[1].address == source.buffers()[1].address


@pytest.mark.slow
def test_an_export_of_a_collection_is_the_collection(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for colour in ("red", "green"):
        Image.new("RGB", (32, 24), colour).save(folder / f"{colour}.png")
    (folder / "note.txt").write_text("A red car on the road. " * 60)
    (folder / "red.png.json").write_text('{"id": 7, "a.b": "x", "text": "y", "tags": ["p"]}')
    opened = polyseek.open(tmp_path / "c", encoder="fake")
    opened.add(folder, workers=1)
    for name in ("out.parquet", "out.lance"):
        count = opened.export(tmp_path / name)
        again, done = imported(tmp_path / name.replace(".", "-"), tmp_path / name)
        assert done.added == count > 3
        assert (again.manifest, again.fields()) == (opened.manifest, opened.fields())
        for modality in ("image", "text"):
            for space in Space:
                before, after = (c.store.sample(modality, 100) for c in (opened, again))
                rows = {s.id: i for i, s in enumerate(after.segments)}
                order = [rows[s.id] for s in before.segments]
                assert [after.segments[i] for i in order] == list(before.segments)
                np.testing.assert_array_equal(
                    getattr(after.embeddings, space)[order], getattr(before.embeddings, space)
                )
        assert {(r.uri, r.status, r.segments, r.modalities) for r in again.store.records()} == {
            (r.uri, r.status, r.segments, r.modalities) for r in opened.store.records()
        }
        assert [h.uri for h in again.search("red car")] == [h.uri for h in opened.search("red car")]
    with pytest.raises(ConfigError, match="there already"):
        opened.export(tmp_path / "out.parquet")
    with pytest.raises(ConfigError, match="ends in .parquet or .lance"):
        opened.export(tmp_path / "out.csv")


def test_an_export_may_be_filtered_and_mixes_with_its_own_kind_only(tmp_path, items):
    items.add_vectors(ROWS, ids=IDS, metadata={"n": list(range(40))})
    assert items.export(tmp_path / "o.parquet", filter="n < 3") == 3
    assert not list(tmp_path.glob("*unfinished*"))
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "a.txt").write_text("red")
    indexed = polyseek.open(tmp_path / "c", encoder="fake")
    indexed.add(folder, workers=1)
    with pytest.raises(IncompatibleCollectionError, match="exported from.*external"):
        indexed.add_vectors(tmp_path / "o.parquet")
    with pytest.raises(IncompatibleCollectionError, match="nobody knows"):
        indexed.add_vectors(ROWS[:, :7], ids=IDS)


def test_a_failed_export_leaves_nothing(items, tmp_path, monkeypatch):
    items.add_vectors(ROWS, ids=IDS)

    def broken(*_):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(pq.ParquetWriter, "write_batch", broken)
    with pytest.raises(ConfigError, match="no space left"):
        items.export(tmp_path / "o.parquet")
    assert not list(tmp_path.glob("*.parquet"))


def test_an_id_that_is_no_address_is_no_word(items):
    items.add_vectors(ROWS[:2], ids=["red", "file:///photos/blue%20car.jpg"])
    assert [hit.uri for hit in items.search("red")] == []
    assert len(items.search("car")) == 1


def test_the_doctor_finds_nothing_wrong_with_good_vectors(items):
    items.add_vectors(ROWS, ids=IDS)
    assert items.doctor().verdict == "ok"


def test_frozen_collections_cannot_be_written(items):
    items.add_vectors(ROWS, ids=IDS)
    with pytest.raises(StoreError, match="version 1 cannot be written"):
        items.at(1).add_vectors(ROWS, ids=IDS)
