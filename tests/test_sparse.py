"""A collection with a sparse encoder: at indexing time, at query time, and fused."""

import pytest
from PIL import Image

import polyseek
from polyseek.api import opening
from polyseek.api.labels import LabelledTuner
from polyseek.api.opening import manifest_of
from polyseek.core.config import SearchOptions
from polyseek.core.errors import IncompatibleCollectionError, QueryError
from polyseek.core.hits import Query
from polyseek.core.tuning import Tuning
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Modality,
    Role,
    Segment,
    SegmentBatch,
)
from polyseek.search.pipeline import search
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder, FakeSparseEncoder

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def encoders(monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    monkeypatch.setattr(opening, "load_sparse_encoder", lambda name, settings: FakeSparseEncoder())


@pytest.fixture
def collection(tmp_path):
    folder = tmp_path / "things"
    folder.mkdir()
    (folder / "1.txt").write_text("the car is parked")
    (folder / "2.txt").write_text("a dog sleeps in the sun")
    Image.new("RGB", (8, 8), "red").save(folder / "3.png")
    Image.new("RGB", (8, 8), "blue").save(folder / "4.png")
    table = tmp_path / "captions.csv"
    table.write_text("path,caption\n4.png,my old automobile\n")
    opened = polyseek.open(tmp_path / "c", sparse="fake-sparse")
    opened.add(folder, workers=1, metadata=table)
    return opened


def names(found):
    return [hit.uri.rpartition("/")[2] for hit in found]


def test_it_finds_what_no_word_finds(collection):
    assert not collection.search("automobile", mode="text", modalities=["text"])
    found = collection.search("automobile", modalities=["text"])
    assert names(found)[0] == "1.txt"
    assert found[0].sparse_score == 1
    assert found[1].sparse_score is None
    assert found.plan[0].sparse == 1
    assert found.to_dict(explain=True)["plan"][0]["sparse"] == 1
    assert found.plan[0].fusion == "rank"  # nobody has told how much a product proves


def test_fields_that_describe_a_picture_count_and_pictures_without_stay(collection):
    found = collection.search("car", modalities=["image"])
    assert names(found) == ["4.png", "3.png"]
    assert [hit.sparse_score for hit in found] == [1, None]


def test_embeddings_alone_leave_it_out(collection):
    found = collection.search("automobile", mode="dense", modalities=["text"])
    assert {hit.sparse_score for hit in found} == {None}
    assert found.plan[0].sparse is None


def test_it_is_recorded_and_a_different_one_is_refused(collection, monkeypatch):
    again = polyseek.open(collection.location)
    assert again.manifest.sparse == ("fake-sparse", "1")
    assert names(again.search("automobile", modalities=["text"]))[0] == "1.txt"
    with pytest.raises(IncompatibleCollectionError, match="sparse encoder 'fake-sparse', not"):
        polyseek.open(collection.location, sparse="splade")
    monkeypatch.setattr(FakeSparseEncoder, "revision", "2")
    with pytest.raises(IncompatibleCollectionError, match="revision 1"):
        polyseek.open(collection.location)


def test_a_sparse_vector_of_ones_own(collection):
    index = int(FakeSparseEncoder().encode(["dog"], role="query")[0].indices[0])
    found = collection.search(sparse={index: 2.0}, modalities=["text"])
    assert names(found) == ["2.txt"]
    assert (found[0].sparse_score, found[0].score) == (2, 2)
    with pytest.raises(QueryError, match="weights by index"):
        collection.search(sparse=[1, 2])
    with pytest.raises(QueryError, match="cannot be read"):
        collection.search(sparse={"x": 2})


def test_an_unknown_one_is_an_error_that_lists_the_known(tmp_path, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    with pytest.raises(polyseek.PolyseekError, match="unknown sparse_encoder 'nothing'; known"):
        polyseek.open(tmp_path / "c", sparse="nothing")
    assert not (tmp_path / "c").exists()


ITEMS, KINDS = 480, 120


class Translating(FakeSparseEncoder):
    """Knows that k17 is n17."""

    def encode(self, texts, *, role):
        return super().encode([text.replace("k", "n") for text in texts], role=role)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """Texts of a kind and a number; labelled queries name both, the number in other words."""
    encoder, sparse = FakeEncoder(), Translating()
    store = MemoryStore.create("memory", manifest_of(encoder.info))
    texts = [f"c{i % KINDS} n{i}" for i in range(ITEMS)]
    uris = [f"file:///things/{i}.txt" for i in range(ITEMS)]
    vectors = sparse.encode(texts, role=Role.DOCUMENT)
    segments = [
        Segment(asset_uri=uri, modality=Modality.TEXT, text=text, sparse=vector if i % 3 else None)
        for i, (uri, text, vector) in enumerate(zip(uris, texts, vectors, strict=True))
    ]
    rows = encoder.encode(Modality.TEXT, texts, role=Role.DOCUMENT)
    records = [
        AssetRecord(
            uri=uri, status=AssetStatus.INDEXED, modalities=(Modality.TEXT,), etag="1",
            size_bytes=1,
        )
        for uri in uris
    ]  # fmt: skip
    store.upsert(records, [SegmentBatch(Modality.TEXT, segments, rows)])
    pairs = tmp_path_factory.mktemp("labels") / "pairs.csv"
    lines = [f"c{i % KINDS} k{i},{uri}" for i, uri in enumerate(uris)]
    pairs.write_text("\n".join(["query,path", *lines]))
    tuner = LabelledTuner(store=store, encoder=encoder, defaults=None, sparse=sparse)
    return store, tuner.tune(Tuning(), pairs), sparse


def ask(store, text, sparse):
    return search(
        Query(modality=Modality.TEXT, signals=[text], label=text),
        encoder=FakeEncoder(), store=store, sparse=sparse,
        options=SearchOptions(show_all=True, limit=20),
    )  # fmt: skip


@pytest.mark.slow
def test_labels_tell_how_much_a_product_proves(tuned):
    store, tuning, sparse = tuned
    assert store.tuning.sparse == tuning.sparse
    assert tuning.sparse.weight > 0
    assert any(note.startswith("sparse vectors: weight") for note in tuning.notes)
    found = ask(store, "c29 k29", sparse)
    assert found[0].uri.endswith("/29.txt")
    assert found.plan[0].fusion == "probability"
    assert found[0].probability > found[1].probability
    assert not ask(store, "c29 k29", None)[0].uri.endswith("/29.txt")


@pytest.mark.slow
def test_a_segment_without_a_sparse_vector_keeps_its_probability(tuned):
    store, _, sparse = tuned
    unread = {hit.uri: hit for hit in ask(store, "c29 k29", None)}
    for hit in ask(store, "c29 k29", sparse):
        if hit.sparse_score is None and hit.text_score is None and hit.uri in unread:
            assert hit.probability == pytest.approx(unread[hit.uri].probability)
