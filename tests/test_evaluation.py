"""Evaluation and tuning with labels over a real store: what a user types in Python."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import polyseek
from polyseek.api import opening
from polyseek.api.evaluations import KEPT
from polyseek.core import errors, plugins
from polyseek.core.tuning import Origin
from polyseek.core.types import Modality
from polyseek.evaluate.compare import compare
from polyseek.evaluate.runs import run_of
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow

COLOURS = ("red", "green", "blue", "yellow", "white", "black")


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Six pictures with captions, a copy of one, a text and a broken file."""
    root = tmp_path_factory.mktemp("made")
    folder = root / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for colour in COLOURS:
        Image.new("RGB", (32, 24), colour).save(folder / f"{colour}.png")
    noise = rng.integers(0, 20, (24, 32, 3), dtype=np.uint8)
    Image.fromarray(np.asarray(Image.new("RGB", (32, 24), "red")) ^ noise).save(
        folder / "burst.png"
    )
    (folder / "note.txt").write_text("A red car on the road.")
    (folder / "broken.png").write_bytes(b"x")
    table = root / "captions.csv"
    lines = [f"{c}.png,a {c} wall in the sun,{i}" for i, c in enumerate(COLOURS)]
    table.write_text("path,caption,year\n" + "\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
        polyseek.open(root / "c.polyseek").add(folder, metadata=table, workers=1)
    return root


@pytest.fixture
def collection(made):
    return polyseek.open(made / "c.polyseek")


def pairs(tmp_path, text, name="pairs.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def names(run):
    return [direction.name for direction in run.directions]


def test_mined_captions_measure_embeddings_in_both_directions(collection):
    run = collection.evaluate()
    assert names(run) == ["text -> image", "image -> text"]
    forth, back = run.directions
    assert forth.mode == "dense"
    assert forth.source == "field 'caption'"
    assert forth.figures()["R@1"].value == 1
    assert forth.searched == 7
    assert back.searched == 6
    assert back.figures()["R@1"].value == 1
    assert any("embeddings alone count" in note for note in run.notes)
    assert any("are few" in note for note in run.notes)


def test_a_near_copy_of_the_answer_is_no_mistake(collection):
    red = next(o for o in collection.evaluate()["text -> image"].outcomes if "red" in o.label)
    assert red.rank == 1
    assert {uri.rpartition("/")[2] for uri in red.found[:2]} == {"red.png", "burst.png"}
    assert red.ndcg == pytest.approx(1)


def test_labels_of_a_file_go_by_words_too_unless_they_are_quoted(collection, tmp_path):
    table = pairs(tmp_path, "query,path,topic\nred thing,red.png,a\nred car please,note.txt,b\n")
    run = collection.evaluate(table, slice_by="topic")
    assert names(run) == ["text -> image", "image -> text", "text -> text", "text -> everything"]
    assert {d.name: d.mode for d in run.directions}["text -> image"] == "hybrid"
    quoted = pairs(tmp_path, "query,path\na red wall in the sun,red.png\nblue thing,blue.png\n")
    run = collection.evaluate(quoted)
    assert run["text -> image"].mode == "dense"
    assert any(note.startswith("1 of ") for note in run.notes)
    run = collection.evaluate(quoted, mode="hybrid")
    assert run["text -> image"].mode == "hybrid"
    assert any("these figures flatter" in note for note in run.notes)


def test_pictures_ask_and_never_find_themselves(collection, made, tmp_path):
    asked = made / "photos" / "red.png"
    run = collection.evaluate(pairs(tmp_path, f"query,path\n{asked},burst.png\n"))
    assert names(run)[0] == "image -> image"
    assert run["image -> image"].outcomes[0].rank == 1


def test_what_cannot_be_used_is_said(collection, tmp_path):
    table = (
        "qid,query,path,rel\n1,red,red.png,1\n2,lost,nobody.png,1\n3,failed,broken.png,1\n"
        "4,none,red.png,0\n5,,red.png,1\n"
    )
    run = collection.evaluate(pairs(tmp_path, table))
    text = "\n".join(run.notes)
    assert len(run["text -> image"].outcomes) == 1
    assert "1 rows without a query or an asset" in text
    assert "not in the collection (e.g. nobody.png)" in text
    assert "nothing answers them (e.g. 'none')" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pairs": "missing.csv"}, "missing.csv: no such file"),
        ({"pairs": "field:nope"}, "--pairs field:nope: no asset has a text in this field"),
        ({"slice_by": "nope"}, "--slice nope: no such field; known: .*caption"),
        ({"mode": "fast"}, "unknown mode 'fast'"),
    ],
)
def test_wrong_options(collection, given, message):
    with pytest.raises(errors.ConfigError, match=message):
        collection.evaluate(**given)


def test_pairs_that_nothing_answers(collection, tmp_path):
    table = pairs(tmp_path, "query,path\ndog,nobody.png\n")
    with pytest.raises(errors.ConfigError, match=r"nothing in the collection answers.*nobody\.png"):
        collection.evaluate(table)


def test_an_empty_collection(tmp_path):
    with pytest.raises(errors.ConfigError, match="nothing is indexed yet"):
        polyseek.open(tmp_path / "empty.polyseek").evaluate()


def test_the_same_run_twice_is_the_same(collection):
    first, second = collection.evaluate(slice_by="year"), collection.evaluate(slice_by="year")
    assert [d.outcomes for d in first.directions] == [d.outcomes for d in second.directions]
    assert compare(first, second).passed
    assert json.loads(json.dumps(first.to_dict()))["directions"][0]["questions"] == 6
    assert {o.slices["year"] for o in first["text -> image"].outcomes} == set("012345")


def test_the_stages_of_a_retriever_are_measured(collection, tmp_path, monkeypatch):
    class Last:
        """The worst first."""

        def scores(self, question, candidates):
            return range(len(candidates))

    monkeypatch.setattr(
        "polyseek.core.plugins.load",
        lambda role, name, load=plugins.load: (
            (lambda setup: Last()) if name == "last" else load(role, name)
        ),
    )
    stages = tmp_path / "last.toml"
    stages.write_text('[rerank]\nby = ["last"]\n')
    before, after = collection.evaluate(), collection.evaluate(retriever=stages)
    assert (before.retriever, after.retriever) == ("default", str(stages))
    assert before["text -> image"].figures()["R@1"].value == 1
    assert after["text -> image"].figures()["R@1"].value < 0.5
    assert run_of(json.loads(json.dumps(after.to_dict()))).retriever == str(stages)
    stages.write_text('[rerank]\nby = ["nobody"]\n')
    with pytest.raises(errors.UnknownPluginError, match="nobody"):
        collection.evaluate(retriever=stages)


def test_a_reranker_is_loaded_again_when_something_it_was_made_of_changed(
    changing, tmp_path, monkeypatch
):
    class Reads:
        """In the order they came; made of a note that the stages name."""

        made = 0

        def __init__(self, setup):
            Reads.made += 1
            name = setup.options["note"]
            self.known = dict(setup.notes) if name == "every" else setup.notes.get(name)

        def scores(self, question, candidates):
            return [-i for i in range(len(candidates))]

    monkeypatch.setattr(
        "polyseek.core.plugins.load",
        lambda role, name, load=plugins.load: Reads if name == "reads" else load(role, name),
    )
    stages = tmp_path / "reads.toml"

    def loads(name="mine"):
        stages.write_text(f'[rerank]\nby = ["reads"]\n[rerank.reads]\nnote = "{name}"\n')
        before = Reads.made
        changing.search("red", retriever=stages)
        return Reads.made - before

    def note(name, text):
        with changing.store.writing():
            changing.store.save_note(name, text)

    assert [loads(), loads()] == [1, 0]
    note("other", "1")
    assert loads() == 0
    for text in ("1", "2", None):  # made, changed, gone
        note("mine", text)
        assert [loads(), loads()] == [1, 0]
    assert [loads("every"), loads("every")] == [1, 0]
    note("other", None)
    assert loads("every") == 1


def test_a_saved_default_is_what_is_measured(changing, tmp_path):
    (tmp_path / "mine.toml").write_text("[limits]\nhits = 3\n")
    changing.retrievers.save(tmp_path / "mine.toml", "default")
    assert changing.evaluate().retriever == "default"
    changing.retrievers.save(tmp_path / "mine.toml")
    assert changing.evaluate(retriever="mine").retriever == "mine"


def test_what_a_reranker_said_of_itself_is_told(collection, tmp_path):
    stages = tmp_path / "dead.toml"
    stages.write_text(
        '[rerank]\nby = ["http"]\nbudget_ms = 20000\n[rerank.http]\nurl = "http://127.0.0.1:9/"\n'
    )
    run = collection.evaluate(retriever=stages)
    [note] = [note for note in run.notes if "fell short" in note]
    assert "reranker 'http' could not read any of the" in note  # pictures have no words to send


def test_a_limit(collection):
    assert len(collection.evaluate(limit=2)["text -> image"].outcomes) == 2


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Three hundred pictures in shades, each with a query that names its colours."""
    root = tmp_path_factory.mktemp("many")
    folder = root / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for i in range(300):
        first, second = rng.choice(len(COLOURS), 2, replace=False)
        picture = np.zeros((16, 16, 3), np.uint8)
        for half, colour in ((slice(0, 8), first), (slice(8, 16), second)):
            picture[half] = Image.new("RGB", (1, 1), COLOURS[colour]).getpixel((0, 0))
        picture ^= rng.integers(0, 90, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{i}.png")
        lines.append(f"number{i} {COLOURS[first]} {COLOURS[second]},{i}.png")
    (root / "pairs.csv").write_text("query,path\n" + "\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
        opened = polyseek.open(root / "c.polyseek")
        opened.add(folder, workers=1)
    return root


def test_tuning_with_labels_and_what_it_was_tuned_with(many):
    opened = polyseek.open(many / "c.polyseek")
    before = opened.tune()
    after = opened.tune(pairs=many / "pairs.csv")
    assert len(after.notes) > len(before.notes)
    assert any(note.startswith("text -> image, with labels:") for note in after.notes)
    assert any(note.startswith("words:") for note in after.notes)
    assert 0.5 < len(after.fitted_queries) / 300 < 0.9
    run = opened.evaluate(many / "pairs.csv")
    assert any("were used to tune or adapt this" in note for note in run.notes)
    parts = {p.value: p.questions for p in run["text -> image"].slices() if p.name == "tuned with"}
    assert parts["yes"] == len(after.fitted_queries)
    with opened._store.writing():
        opened._store.save_tuning(replace(after, looked_once=(Modality.IMAGE,)))
    again = opened._tuner.tune_again(None)
    assert again.fitted_queries == after.fitted_queries
    assert again.words == after.words
    assert again.looked_once == (Modality.IMAGE,)
    asked = Modality.TEXT, Modality.IMAGE
    assert again.calibrations[asked] == after.calibrations[asked]
    # An adapter that is used no more: labels were asked with queries that lay elsewhere.
    stale = replace(after.calibrations[asked], intercept=99.0, origin=Origin.PAIRS)
    with opened._store.writing():
        opened._store.save_tuning(
            replace(after, calibrations={asked: stale}, adapted={asked: "gone-1@0.5"})
        )
    again = opened._tuner.tune_again(None)
    assert again.key(asked) == ""
    assert again.calibrations.get(asked) == before.calibrations.get(asked)


def test_five_pairs_tune_nothing(many, tmp_path):
    opened = polyseek.open(many / "c.polyseek")
    five = pairs(tmp_path, "".join((many / "pairs.csv").read_text().splitlines(keepends=True)[:6]))
    before, after = opened.tune(), opened.tune(pairs=five)
    assert after.calibrations == before.calibrations
    assert any("5 labelled queries, at least 200 are needed" in note for note in after.notes)


def test_by_words_alone_a_query_without_words_finds_nothing(collection, tmp_path):
    table = pairs(tmp_path, "query,path\n!!!,red.png\nred thing,red.png\n")
    run = collection.evaluate(table, mode="text")
    ranks = {o.label: o.rank for o in run["text -> image"].outcomes}
    assert ranks["red thing"] == 1
    assert np.isinf(ranks["!!!"])


def test_a_text_file_may_ask(collection, made, tmp_path):
    (tmp_path / "asked.txt").write_text("something blue")
    run = collection.evaluate(pairs(tmp_path, "query,path\nasked.txt,blue.png\n"))
    assert "image -> text" not in names(run)
    assert run["text -> image"].outcomes[0].rank == 1


@pytest.fixture
def changing(made, tmp_path):
    shutil.copytree(made / "c.polyseek", tmp_path / "c.polyseek")
    return polyseek.open(tmp_path / "c.polyseek")


def test_the_last_evaluations_are_kept_and_compared(changing):
    assert list(changing.evaluations) == []
    run = changing.evaluate()
    worse = replace(
        run, directions=[replace(d, outcomes=[replace(o, rank=9.0) for o in d.outcomes])
                         for d in run.directions],
    )  # fmt: skip
    assert changing.evaluations.keep(run).comparison is None
    kept = changing.evaluations.keep(worse)
    differences = kept.comparison["differences"]
    assert (differences[0]["metric"], differences[0]["after"]) == ("R@1", 0)
    for _ in range(KEPT):
        changing.evaluations.keep(run)
    again = polyseek.open(changing.location)
    numbers = [one.number for one in again.evaluations]
    assert numbers == list(range(KEPT + 2, 2, -1))
    newest = next(iter(again.evaluations))
    assert newest.encoder == run.encoder
    figures = run.directions[0].figures()["R@1"]
    assert newest.directions[0]["figures"]["R@1"]["value"] == figures.value
    assert "outcomes" not in newest.directions[0]
    assert again.evaluations.run(KEPT).to_dict() == run.to_dict()
    for gone in (1, 2, 99):
        with pytest.raises(errors.ConfigError, match=f"no evaluation {gone}; kept: {KEPT + 2}"):
            again.evaluations.run(gone)
    assert changing.store.attachment("evaluations/1") is None


def test_an_evaluation_that_cannot_be_read_does_not_stop_the_next(changing):
    run = changing.evaluate()
    changing.evaluations.keep(run)
    with changing.store.writing():
        changing.store.attach("evaluations/1", b"damaged")
    with pytest.raises(errors.StoreError, match="evaluation 1 cannot be read"):
        changing.evaluations.run(1)
    assert changing.evaluations.keep(run).comparison is None


def test_an_old_version_keeps_no_evaluation(changing):
    old = changing.at(changing.versions()[0].number)
    with pytest.raises(errors.StoreError, match="cannot be written"):
        old.evaluations.keep(old.evaluate())
