"""Queries out of a collection: which source is taken, and what is no query."""

import pytest

from polyseek.core.inventory import Entry, Inventory
from polyseek.core.types import Modality
from polyseek.evaluate.mining import MIN_QUERIES, mine

IMAGE, AUDIO, TEXT = Modality.IMAGE, Modality.AUDIO, Modality.TEXT
NUMBERS = "one two three four five six seven eight nine ten".split()


def entry(name, modality=IMAGE, *, text=None, **metadata):
    return Entry(
        item=(f"file:///p/{name}", ""),
        modality=modality,
        modalities=frozenset({modality}),
        metadata=metadata,
        texts=[text] if text else [],
    )


def inventory(*entries):
    return Inventory(entries={e.item: e for e in entries}, unsearchable={}, names={})


def queries(mined):
    return {one.query.query: sorted(i[0][10:] for i in one.answers) for one in mined.queries}


def numbered(count):
    return [f"{NUMBERS[i // 10]} {NUMBERS[i % 10]}" for i in range(count)]


def test_captions_come_before_titles_labels_and_names():
    photos = [
        entry(f"red dog{i}.jpg", caption=f"a dog {said}", title=f"dog {said}", label="dog")
        for i, said in enumerate(numbered(MIN_QUERIES))
    ]
    (found,) = mine(inventory(*photos))
    assert found.source == "field 'caption'"
    assert len(found.queries) == MIN_QUERIES
    assert found.others == ["field 'title': 20"]  # one label and one name are no source


def test_the_first_source_with_enough_queries_wins():
    photos = [entry(f"{i}.jpg", title=f"the {said}") for i, said in enumerate(numbered(30))]
    photos.append(entry("captioned.jpg", caption="only one has a caption"))
    (found,) = mine(inventory(*photos))
    assert found.source == "field 'title'"


def test_few_are_better_than_none():
    (found,) = mine(inventory(entry("a.jpg", caption="two dogs"), entry("b.jpg")))
    assert queries(found) == {"two dogs": ["a.jpg"]}


def test_lists_nested_fields_and_languages():
    photos = [
        entry("a.jpg", **{"exif.Description": "an old harbour"}),
        entry("b.jpg", captions=["two dogs", "Dogs, two!"], language="en"),
    ]
    (found,) = mine(inventory(*photos))
    assert queries(found) == {"two dogs": ["b.jpg"], "Dogs, two!": ["b.jpg"]}
    assert found.queries[0].query.fields == {"language": "en"}


def test_what_many_items_share_describes_none_of_them():
    photos = [entry(f"{i}.jpg", description="OLYMPUS DIGITAL CAMERA") for i in range(50)]
    photos += [entry("x.jpg", description="a red car"), entry("y.jpg", description="A red  car.")]
    (found,) = mine(inventory(*photos))
    assert queries(found) == {"a red car": ["x.jpg", "y.jpg"]}


def test_labels_are_shared_and_spelled_out():
    sounds = [entry(f"{i}.wav", AUDIO, label="dog_bark" if i % 2 else "carHorn") for i in range(10)]
    (found,) = mine(inventory(*sounds))
    assert found.modality is AUDIO
    assert {text: len(items) for text, items in queries(found).items()} == {
        "dog bark": 5,
        "car Horn": 5,
    }


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("IMG_1234.jpg", None),
        ("DSC00012.JPG", None),
        ("PXL_20230101_120000.jpg", None),
        ("Screenshot 2024-01-01.png", None),
        ("1000268201_693b08cb0e.jpg", None),
        ("a1.jpg", None),
        ("red_car-at-night.jpg", "red car at night"),
        ("redCar2.jpg", "red car"),
        ("dog-bark_03.wav", "dog bark"),
        ("IMG_1234 grandma's birthday.jpg", "grandma s birthday"),
        ("海滩.jpg", "海滩"),
    ],
)
def test_file_names_that_say_something(name, says):
    found = mine(inventory(entry(name), entry("another thing.jpg")))
    assert (
        (says in queries(found[0]))
        if says
        else queries(found[0]) == {"another thing": ["another thing.jpg"]}
    )


def test_texts_beside_the_items():
    found = mine(
        inventory(
            entry("dog.jpg"), entry("dog.txt", TEXT, text="two dogs in the snow"),
            entry("cat.jpg"), entry("cat.jpg.txt", TEXT, text="a cat"),
            entry("DSC1.jpg"), entry("other/DSC1.txt", TEXT, text="elsewhere"),
        )
    )  # fmt: skip
    (images,) = [one for one in found if one.modality is IMAGE]
    assert images.source == "texts beside them"
    assert queries(images) == {"two dogs in the snow": ["dog.jpg"], "a cat": ["cat.jpg"]}
    assert images.texts["a cat"] == ("file:///p/cat.jpg.txt", "")


def test_a_field_of_choice():
    photos = [entry("a.jpg", caption="two dogs", beschreibung="zwei Hunde")]
    (found,) = mine(inventory(*photos), field="beschreibung")
    assert queries(found) == {"zwei Hunde": ["a.jpg"]}
    assert mine(inventory(*photos), field="missing") == []


def test_nothing_to_mine():
    assert mine(inventory()) == []
    assert mine(inventory(entry("IMG_1.jpg", caption="x" * 501))) == []
