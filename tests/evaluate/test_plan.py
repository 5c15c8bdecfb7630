"""Directions of labelled queries, near-duplicates, and quotations."""

import pytest

from polyseek.core.errors import ConfigError
from polyseek.core.inventory import Entry, Inventory
from polyseek.core.judged import Judged
from polyseek.core.pairs import LabelledQuery
from polyseek.core.types import Modality
from polyseek.evaluate.mining import Mined
from polyseek.evaluate.plan import CAPTION, Planner, quoted, some
from polyseek.evaluate.slices import check_field, grouped, script_of

IMAGE, AUDIO, TEXT = Modality.IMAGE, Modality.AUDIO, Modality.TEXT


def item(name):
    return f"file:///p/{name}", ""


def inventory(**modalities):
    return Inventory(
        entries={
            item(name): Entry(
                item=item(name), modality=m, modalities=frozenset({m}),
                metadata={"path": name, "year": len(name), "note": "red car parked at the house"},
                texts=["the whole passage"] if m is TEXT else [],
            )
            for name, m in modalities.items()
        },
        unsearchable={},
        names={},
    )  # fmt: skip


def judged(text, *names, **fields):
    query = LabelledQuery(id=text, query=text, fields=fields)
    return Judged(query=query, answers={item(name): 1.0 for name in names})


def no_twins(items):
    return {}


def planner(stock, twins=no_twins, **given):
    return Planner(inventory=stock, twins=twins, **given)


def test_pairs_of_a_file_forth_and_back_and_in_one_list():
    stock = inventory(a=IMAGE, b=IMAGE, s=AUDIO, t=TEXT)
    queries = [judged("dog", "a", "s"), judged("cat", "b"), judged("page", "t")]
    found = planner(stock).of_pairs(queries, dict.fromkeys(["dog", "cat", "page"], TEXT), "p.csv")
    assert [d.name for d in found] == [
        "text -> audio", "audio -> text", "text -> image", "image -> text", "text -> text",
        "text -> everything",
    ]  # fmt: skip
    by_name = {d.name: d for d in found}
    assert dict(by_name["text -> image"].questions[0].answers) == {item("a"): 1}
    assert dict(by_name["text -> everything"].questions[0].answers) == {item("a"): 1, item("s"): 1}
    back = by_name["image -> text"]
    assert back.captions == ["dog", "cat"]
    assert [(q.id, q.item, dict(q.answers)) for q in back.questions] == [
        ("a", item("a"), {(f"{CAPTION}0", ""): 1}),
        ("b", item("b"), {(f"{CAPTION}1", ""): 1}),
    ]


def test_one_modality_needs_no_mixed_list():
    found = planner(inventory(a=IMAGE)).of_pairs([judged("dog", "a")], {"dog": TEXT}, "p.csv")
    assert [d.name for d in found] == ["text -> image", "image -> text"]


def test_queries_that_are_sounds_have_no_way_back():
    found = planner(inventory(a=IMAGE)).of_pairs([judged("x.wav", "a")], {"x.wav": AUDIO}, "p.csv")
    assert [d.name for d in found] == ["audio -> image"]


def test_near_duplicates_answer_too_and_are_one_group():
    def twins(items):
        return {item("a"): frozenset({item("b")}), item("b"): frozenset({item("a")})}

    stock = inventory(a=IMAGE, b=IMAGE, c=IMAGE)
    forth, back = planner(stock, twins).of_pairs(
        [judged("dog", "a"), judged("hound", "b"), judged("cat", "c")],
        dict.fromkeys(["dog", "hound", "cat"], TEXT), "p",
    )  # fmt: skip
    assert dict(forth.questions[0].answers) == {item("a"): 1, item("b"): 1}
    assert [q.group == forth.questions[0].group for q in forth.questions] == [True, True, False]
    assert len(back.questions[0].answers) == 2  # both captions


def test_texts_beside_the_items_are_found_in_the_collection():
    mined = Mined(
        modality=IMAGE, source="texts beside them", queries=[judged("two dogs", "a")],
        texts={"two dogs": item("t")},
    )  # fmt: skip
    forth, back = planner(inventory(a=IMAGE, t=TEXT)).of_mined([mined])
    assert forth.name == "text -> image"
    assert back.captions == ()
    assert dict(back.questions[0].answers) == {item("t"): 1}


def test_a_limit_draws_the_same_questions_every_time():
    queries = [judged(f"dog {i}", "a") for i in range(30)]
    kinds = {one.query.id: TEXT for one in queries}
    first, second = (
        planner(inventory(a=IMAGE), limit=5).of_pairs(queries, kinds, "p")[0] for _ in range(2)
    )
    assert [q.id for q in first.questions] == [q.id for q in second.questions]
    assert len(first.questions) == 5
    assert some(3, 0) == some(3, 5) == [0, 1, 2]


def test_quotations_are_noticed():
    stock = inventory(a=IMAGE, t=TEXT)
    plan = planner(stock)

    def leaks(text, name):
        return bool(quoted(plan.questions([judged(text, name)]), stock))

    assert leaks("The red CAR parked at the house.", "a") is False  # one word more
    assert leaks("red car parked at the house", "a")
    assert leaks("Red car, parked!", "a") is False  # three words of six: may be anybody's
    assert leaks("car parked at the house", "a")  # five in a row are a quotation
    assert leaks("the whole passage", "t")
    assert leaks("passage", "t") is False


def test_slices_of_queries():
    stock = inventory(a=IMAGE)
    asked = [judged("dog", "a", language="de"), judged("三只狗", "a"), judged("1 2 3 4 5 6", "a")]
    plan = planner(stock, field="year", tuned=frozenset({asked[0].query.fingerprint}))
    slices = [dict(q.slices) for q in plan.questions(asked)]
    assert slices == [
        {"tuned with": "yes", "query words": "1-2", "language": "de", "year": "1"},
        {"tuned with": "no", "query words": "1-2", "language": "cjk script", "year": "1"},
        {"tuned with": "no", "query words": "6-10", "language": "(none)", "year": "1"},
    ]
    assert script_of("Дом") == "cyrillic script"


def test_many_values_become_ranges_or_the_rest():
    assert grouped(["a", "b", "a"]) == ["a", "b", "a"]
    numbers = [str(n) for n in range(100)]
    assert list(dict.fromkeys(grouped(numbers))) == [
        "0 to 24.75", "24.75 to 49.5", "49.5 to 74.25", "74.25 to 99",
    ]  # fmt: skip
    names = [chr(97 + n) * 3 for n in range(20)] + ["aaa"]
    assert grouped(names).count("(others)") == 10


def test_a_field_that_nothing_has():
    with pytest.raises(ConfigError, match=r"--slice nope: no such field; known: lang, year"):
        check_field("nope", {"year": 1}, [LabelledQuery(id="", query="", fields={"lang": "de"})])
