"""Scores of what a search found, and what two runs differ in."""

import json
import math

import numpy as np
import pytest

from polyseek.core.errors import ConfigError
from polyseek.core.hits import Clip, Hit
from polyseek.core.pairs import LabelledQuery
from polyseek.core.types import Modality
from polyseek.evaluate.compare import compare
from polyseek.evaluate.plan import CAPTION, Direction, Question
from polyseek.evaluate.quality_page import page
from polyseek.evaluate.runs import MEDIAN, Run, measured, read_run

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE


def hit(name, probability=None, score=0.0):
    return Hit(id=name, uri=name, modality=IMAGE, score=score, probability=probability)


def ranked(*names):
    return [hit(name, probability=1 - i / 100) for i, name in enumerate(names)]


def question(text, *answers, group=None, item=None, is_file=False, **slices):
    return Question(
        id=text, label=text, item=item, group=group or text, slices=slices,
        asked=None if item else LabelledQuery(id=text, query=text, is_file=is_file),
        answers={(name, ""): 1.0 for name in answers},
    )  # fmt: skip


def direction(*questions, captions=()):
    return Direction(
        query=TEXT, target=IMAGE, source="p.csv", questions=questions, captions=captions
    )


def one(asked, hits, *, answered=True):
    (outcome,) = measured(direction(asked), [(hits, answered)], mode="dense", searched=9).outcomes
    return outcome


def test_a_question_and_what_was_found():
    found = one(question("dog", "b", "z"), ranked("a", "b", "c"))
    assert found.rank == 2
    assert found.ndcg == pytest.approx((1 / np.log2(3)) / (1 + 1 / np.log2(3)))
    assert found.precision == pytest.approx(0.25)
    assert found.expected == "b"
    assert found.found == ["a", "b", "c"]


def test_what_is_not_found_has_no_rank():
    found = one(question("dog", "z"), ranked("a", "b"))
    assert math.isinf(found.rank)
    assert (found.ndcg, found.precision) == (0, 0)
    assert math.isinf(one(question("dog", "z"), []).rank)


def test_ties_count_against_the_search():
    tied = [hit("a", 0.5), hit("b", 0.5), hit("c", 0.4)]
    assert one(question("dog", "a"), tied).rank == 2
    told_apart = [hit("a", 0.5, score=0.3), hit("b", 0.5, score=0.2)]
    assert one(question("dog", "a"), told_apart).rank == 1


def test_a_query_that_finds_itself_has_found_nothing(tmp_path):
    found = one(question("x", "b", item=("x", "")), ranked("x", "b"))
    assert found.rank == 1
    path = tmp_path / "x.png"
    asked = question(str(path), "b", is_file=True)
    assert one(asked, ranked(path.as_uri(), "b")).rank == 1
    copies = question(str(path), path.as_uri(), is_file=True)  # unless that is the answer
    assert one(copies, ranked("b", path.as_uri())).rank == 2


def a_run(ranks, *, group=str):
    questions = [
        question(f"query {i}", "right", group=group(i), length="short" if i % 2 else "long")
        for i in range(len(ranks))
    ]
    answers = [
        (ranked(*[f"wrong{n}" for n in range(rank - 1)], "right"), rank < 5) for rank in ranks
    ]
    found = measured(direction(*questions), answers, mode="hybrid", searched=20)
    return Run(location="photos", encoder="fake@1", directions=[found])


def test_figures_slices_and_the_worst():
    found = a_run([1, 2, 3, 11] * 10)["text -> image"]
    figures = {name: round(f.value, 3) for name, f in found.figures().items()}
    assert figures == {
        "R@1": 0.25, "R@5": 0.75, "R@10": 0.75, "MRR": 0.481, "nDCG@10": 0.533,
        "mAP@10": 0.458, MEDIAN: 2.5,
    }  # fmt: skip
    assert found.figures()["R@1"].interval.low < 0.25 < found.figures()["R@1"].interval.high
    assert found.answered == 0.75
    by_value = {part.value: part for part in found.slices()}
    assert by_value["long"].figures["R@1"].value == 0.5
    assert by_value["short"].figures["R@1"].value == 0
    assert [o.rank for o in found.worst(2)] == [11, 11]
    assert a_run([1, 1])["text -> image"].worst(3) == []
    with pytest.raises(KeyError):
        a_run([1])["image -> text"]


def test_few_questions_are_no_slice():
    assert a_run([1] * 8)["text -> image"].slices() == []


def test_a_run_survives_its_file(tmp_path):
    run = a_run([1, 3, 250])
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run.to_dict()))
    again = read_run(path, "--gate")
    assert again.directions == run.directions
    assert not compare(again, run).drops


@pytest.mark.parametrize("text", ["", "[]", '{"location": "x"}', '{"a": 1}'])
def test_what_is_no_run(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"--gate .*run.json: is no run"):
        read_run(path, "--gate")
    with pytest.raises(ConfigError, match="is no run"):
        read_run(tmp_path / "missing.json", "--gate")


def test_a_drop_is_named():
    base, worse = a_run([1] * 60), a_run([1] * 40 + [2] * 20)
    found = compare(base, worse)
    assert not found.passed
    assert {one.metric for one in found.drops} == {"R@1", "MRR", "nDCG@10", "mAP@10"}
    back = compare(worse, base)
    assert back.passed
    assert all(d.after > d.before for d in back.differences if d.significant)


def test_a_drop_of_one_photograph_with_many_captions_is_chance():
    base = a_run([1] * 60)
    same = a_run([1] * 40 + [2] * 20, group=lambda i: "one" if i >= 40 else str(i))
    grouped = a_run([1] * 60, group=lambda i: "one" if i >= 40 else str(i))
    assert compare(grouped, same).passed
    assert not compare(base, a_run([1] * 40 + [2] * 20)).passed


def test_what_cannot_be_compared_fails_the_gate():
    base = a_run([1] * 20)
    gone = Run(location="x", encoder="x", directions=[])
    assert compare(base, gone).missing == ["text -> image"]
    assert not compare(base, gone).passed
    few = compare(base, a_run([1] * 5))
    assert few.missing == ["text -> image"]
    assert "only 5 of the base's 20 questions" in few.notes[0]
    most = compare(base, a_run([1] * 15))
    assert most.passed
    assert "compared over the 15 questions" in most.notes[0]


def test_the_page_shows_everything_and_runs_nothing():
    captions = ["<script>alert(1)</script>", "two dogs"]
    asked = Question(
        id="a.jpg", label="a.jpg", item=("a.jpg", ""), group="a",
        answers={(f"{CAPTION}1", ""): 1.0},
    )  # fmt: skip
    hits = [hit(f"{CAPTION}0", 0.9), hit(f"{CAPTION}1", 0.8)]
    back = measured(
        Direction(query=IMAGE, target=TEXT, source="p", questions=[asked], captions=captions),
        [(hits, True)], mode="dense", searched=2,
    )  # fmt: skip
    run = a_run([1, 2, 3, 11] * 10)
    both = Run(
        location="my <photos>", encoder="fake@1", directions=[*run.directions, back],
        notes=["a note & more"],
    )  # fmt: skip

    def preview(hit):
        return Clip(mime="image/jpeg", data=b"jpeg") if hit.uri == "right" else None

    html = page(both, preview=preview, comparison=compare(run, run))
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html
    assert "my &lt;photos&gt;" in html
    assert "a note &amp; more" in html
    assert "25.0 (" in html
    assert "data:image/jpeg;base64,anBlZw==" in html
    assert 'src="http' not in html
    assert "Against the base" in html
