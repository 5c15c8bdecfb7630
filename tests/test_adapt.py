"""`polyseek adapt`, from pairs to what a search finds, on collections of six colours."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from polyseek.api import opening
from polyseek.api.adapt import Adapting
from polyseek.api.collection import Collection
from polyseek.cli.app import app
from polyseek.core.adapting import Adapter, Direction
from polyseek.core.defaults import Defaults
from polyseek.core.errors import ConfigError
from polyseek.core.maps import QueryMap
from polyseek.core.tuning import Tuning
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Modality,
    Segment,
    SegmentBatch,
)
from polyseek.store.lance import LanceStore
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE
NAMES = ("crimson", "verdant", "azure", "amber", "ivory", "ebony")  # the encoder's six colours
COUNT = 90
SHADES = 15


def pictures():
    """One in each colour by turns, each in a shade of its own that its captions name."""
    rng = np.random.default_rng(0)
    rows = np.zeros((COUNT, 7))
    for i in range(COUNT):
        rows[i, i % 6] = 1
        rows[i, (i % 6 + 1 + i // 6 % 5) % 6] = 0.6
    rows += rng.normal(0, 0.05, rows.shape)
    towers = rng.normal(size=(COUNT, 192)) + 0.3
    return unit(rows), unit(towers)


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def captions():
    rng = np.random.default_rng(1)
    words = [f"w{i}" for i in range(40)]
    for i in range(COUNT):
        main, second = NAMES[i % 6], NAMES[(i % 6 + 1 + i // 6 % 5) % 6]
        for form in ("{0} {0} then {1}", "{0}, {0} and some {1}"):
            yield f"p{i:02}.png", form.format(main, second) + " " + " ".join(rng.choice(words, 2))


def fill(store):
    shared, towers = pictures()
    uris = [f"file:///photos/p{i:02}.png" for i in range(COUNT)]
    segments = [
        Segment(asset_uri=uri, modality=IMAGE, metadata={"caption": caption})
        for uri, (_, caption) in zip(uris, list(captions())[::2], strict=True)
    ]
    records = [
        AssetRecord(uri=uri, status=AssetStatus.INDEXED, modalities=(IMAGE,), etag="1",
                    content_hash=uri, size_bytes=1, segments=1)
        for uri in uris
    ]  # fmt: skip
    with store.writing():
        store.upsert(records, [SegmentBatch(IMAGE, segments, Embeddings(shared, towers))])


def collection_in(store, settings):
    return Collection(store.location, store=store, encoder=FakeEncoder(), settings=settings)


@pytest.fixture
def memory(settings):
    store = MemoryStore.create("memory", opening.manifest_of(FakeEncoder().info))
    fill(store)
    return collection_in(store, settings)


def table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "caption"), *rows])
    return path


@pytest.fixture
def pairs(tmp_path):
    return table(tmp_path / "pairs.csv", captions())


def found(collection, query, **options):
    hits = collection.search(query, mode="dense", show_all=True, limit=15, **options)
    return {int(hit.uri[-6:-4]) % 6 for hit in hits}, hits


def test_words_of_a_collection_are_learned_and_nothing_is_read_again(memory, pairs):
    assert len(found(memory, "azure")[0]) > 1
    report = memory.adapt(pairs)
    trial = next(t for t in report.trials if t.pair == (TEXT, IMAGE))
    assert report.name == "text-image-1"
    assert trial.installed
    assert trial.verdict.better
    assert trial.verdict.gain.low > 0
    hits = found(memory, "azure azure")[1]
    assert all(int(hit.uri[-6:-4]) % 6 == 2 for hit in list(hits)[:8])
    json.dumps(report.to_dict())


def test_strength_goes_back_to_the_unadapted_search(memory, pairs):
    before = [(h.uri, h.score) for h in found(memory, "azure")[1]]
    memory.adapt(pairs)
    off = [(h.uri, h.score) for h in found(memory, "azure", strength=0)[1]]
    assert [uri for uri, _ in off] == [uri for uri, _ in before]
    assert [score for _, score in off] == pytest.approx([score for _, score in before])
    use = memory.adapters.in_use[TEXT, IMAGE]
    assert found(memory, "azure")[1].hits[0].probability is not None
    same = found(memory, "azure", strength=use.strength)[1]
    assert same.hits[0].probability is not None
    # Calibrations and biases were fitted to another strength: absent, not wrong.
    other = found(memory, "azure", strength=use.strength / 2)[1]
    assert other.hits[0].probability is None
    assert other.hits[0].hub_bias is None
    with pytest.raises(ConfigError, match="expected 0 .* to 1"):
        memory.search("azure", strength=1.5)


def test_versions_are_listed_used_and_removed(memory, pairs):
    before = [h.uri for h in found(memory, "azure")[1]]
    memory.adapt(pairs)
    memory.adapt(pairs)
    versions = memory.adapters
    assert [adapter.name for adapter in versions] == ["text-image-1", "text-image-2"]
    assert versions.in_use[TEXT, IMAGE].adapter == "text-image-2"
    versions.use("text-image-1", strength=0.5)
    assert versions.in_use[TEXT, IMAGE].key == "text-image-1@0.5"
    versions.remove("text-image-1")
    assert len(versions) == 1
    assert (TEXT, IMAGE) not in versions.in_use
    assert [h.uri for h in found(memory, "azure")[1]] == before
    with pytest.raises(ConfigError, match="no adapter 'text-image-1'.*it has text-image-2"):
        versions.use("text-image-1")
    versions.use("text-image-2")
    versions.off()
    assert not versions.in_use
    assert len(versions) == 1


def test_pairs_that_do_not_help_are_refused_unless_forced(memory, tmp_path):
    rows = list(captions())
    names = np.random.default_rng(2).permutation([path for path, _ in rows])
    shuffled = table(
        tmp_path / "s.csv", [(n, text) for n, (_, text) in zip(names, rows, strict=True)]
    )
    report = memory.adapt(shuffled)
    assert report.name is None
    assert not len(memory.adapters)
    assert not any(trial.verdict.better for trial in report.trials)
    assert memory.adapt(shuffled, force=True).name == "text-image-1"


def test_pairs_that_a_file_holds_out_are_set_aside_and_what_leaks_is_told(memory, tmp_path):
    rows = [(*row, "test" if i // 2 % 5 == 0 else "train") for i, row in enumerate(captions())]
    file = tmp_path / "split.csv"

    def write(rows):
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows([("path", "caption", "split"), *rows])

    write(rows)
    report = memory.adapt(file, install=False)
    assert report.trials[0].verdict.to_dict()["queries"] == len(rows) * 4 // 5
    assert any("36 pairs that the column 'split' holds out" in note for note in report.notes)
    assert not any("leaks" in note for note in report.notes)
    write([(*row[:2], "test" if i % 10 == 0 else "train") for i, row in enumerate(rows)])
    report = memory.adapt(file, install=False)  # one of a picture's captions is held out
    (told,) = [note for note in report.notes if "leaks" in note]
    assert "18 of them share an asset" in told
    assert "p00.png" in told
    write([(*row[:2], "later") for row in rows])
    with pytest.raises(ConfigError, match="column 'split' has 'later'; expected one of train"):
        memory.adapt(file)


def test_generic_items_without_tower_embeddings_are_not_asked_with(memory, pairs):
    """As the sounds that ship with `mini`: an adapter sees both embeddings of a query."""
    bare = Embeddings(pictures()[0][:40], np.zeros((0, 192), np.float32))
    texts = Embeddings(np.eye(7, dtype=np.float32), np.eye(7, 64, dtype=np.float32))
    run = Adapting(
        store=memory.store, encoder=memory._encoder, shelf=memory._shelf, tuner=memory._tuner,
        defaults=Defaults(tuning=Tuning(), bank=texts, cohorts={IMAGE: bare}),
    )  # fmt: skip
    kept = {trial.pair: trial.kept for trial in run.run(pairs, install=False).trials}
    assert kept[IMAGE, TEXT] is None
    assert 0 <= kept[TEXT, IMAGE] <= 1


def test_an_evaluation_with_the_pairs_of_an_adapter_says_so(memory, pairs):
    def flatters(run):
        return [note for note in run.notes if "to tune or adapt this collection" in note]

    assert not flatters(memory.evaluate(pairs))
    memory.adapt(pairs)
    (note,) = flatters(memory.evaluate(pairs))
    assert note.startswith("180 of 180 queries")
    memory.adapters.off()
    assert not flatters(memory.evaluate(pairs))


def test_an_adapter_is_judged_against_what_ships(memory, pairs):
    info = memory._encoder.info
    nowhere = np.zeros((info.dim + info.towers[TEXT].dim, info.dim))
    nowhere[:, 0] = 1e3
    constant = QueryMap.linear(keep=0.0, mean=np.full(len(nowhere), -1.0), weights=nowhere)
    direction = Direction(map=constant, strength=1.0, rung="test")
    texts = Embeddings(np.eye(7, info.dim, dtype=np.float32), np.eye(7, 64, dtype=np.float32))
    run = Adapting(
        store=memory.store, encoder=memory._encoder, shelf=memory._shelf, tuner=memory._tuner,
        defaults=Defaults(
            tuning=Tuning(), bank=texts, cohorts={},
            adapter=Adapter(name="names", encoder="fake", directions={(TEXT, IMAGE): direction}),
        ),
    )  # fmt: skip
    before = {t.pair: t.verdict.before for t in run.run(pairs, install=False).trials}
    placed = before[TEXT, IMAGE].placed
    np.testing.assert_allclose(placed, np.eye(1, info.dim).repeat(len(placed), axis=0), atol=1e-3)
    assert before[IMAGE, TEXT].placed.std(axis=0).any()


def test_measuring_alone_changes_nothing(memory, pairs):
    report = memory.adapt(pairs, install=False)
    assert any(trial.verdict.better for trial in report.trials)
    assert report.name is None
    assert not len(memory.adapters)


def test_a_collection_teaches_itself_by_its_captions(memory):
    report = memory.adapt("auto")
    assert report.trials[0].verdict.to_dict()["queries"] == COUNT


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("p01.png", "azure one"), ("p02.png", "amber two")], "2 pairs of indexed assets.*20"),
        ([(f"q{i}.png", f"text {i}") for i in range(50)], "nothing in the collection answers"),
        (
            [(f"p{i:02}.png", "the same text") for i in range(50)],
            "independent groups|hang together",
        ),
    ],
)
def test_pairs_that_cannot_be_used_are_an_error_with_the_reason(memory, tmp_path, rows, message):
    with pytest.raises(ConfigError, match=message):
        memory.adapt(table(tmp_path / "bad.csv", rows))
    assert not len(memory.adapters)


def test_adapters_stay_with_the_collection(tmp_path, pairs, settings):
    location = str(tmp_path / "c")
    store = LanceStore.create(location, opening.manifest_of(FakeEncoder().info))
    fill(store)
    collection_in(store, settings).adapt(pairs)
    again = collection_in(LanceStore.open(location, resident=True), settings)
    assert again.adapters.in_use[TEXT, IMAGE].adapter == "text-image-1"
    assert found(again, "azure azure")[1].hits[0].probability is not None
    hits = found(again, "azure azure")[1]
    assert all(int(hit.uri[-6:-4]) % 6 == 2 for hit in list(hits)[:8])
    again.adapters.remove("text-image-1")
    assert [version.action for version in again.versions()] == ["adapt", "adapters"]
    assert (TEXT, IMAGE) in again.at(1).adapters.in_use
    again.rollback(1)
    assert [adapter.name for adapter in again.adapters] == ["text-image-1"]
    assert found(again, "azure azure")[1].hits[0].uri == hits[0].uri


def test_a_bare_vector_is_moved_by_no_adapter(memory, pairs):
    vector = np.eye(FakeEncoder().info.dim, dtype=np.float32)[2]
    before = memory.search(vector=vector, modalities=["image"])
    memory.adapt(pairs)
    after = memory.search(vector=vector, modalities=["image"])
    assert [(hit.uri, hit.score) for hit in after] == [(hit.uri, hit.score) for hit in before]


def test_a_glossary_says_what_words_stand_for(memory, tmp_path):
    file = tmp_path / "g.txt"
    file.write_text("sky tone: blue\n")
    assert len(found(memory, "sky tone")[0]) > 1
    best = found(memory, "sky tone", glossary=file)[1].hits[0]
    assert int(best.uri[-6:-4]) % 6 == 2
    assert memory.keep_glossary(file) == 1
    assert found(memory, "sky tone")[1].hits[0].uri == best.uri
    assert memory.glossary == "sky tone: blue\n"
    assert memory.keep_glossary(None) == 0
    assert memory.glossary is None


def test_the_shell_says_no_when_there_is_nothing_to_list(tmp_path):
    result = CliRunner().invoke(app, ["adapters", "-c", str(tmp_path / "none")])
    assert result.exit_code != 0
