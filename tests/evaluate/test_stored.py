"""Stored vectors against what the encoder makes of the same files now."""

from dataclasses import replace

import pytest
from patients import COLOURS, IMAGE, TEXT, Altered, fake_collection, rotated, store_of, subject_of
from PIL import Image

from polyseek.core.hits import Query
from polyseek.core.types import Role
from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.stored import check_stored
from polyseek.testing import FakeEncoder


def read(uri):
    """The picture that `fake_collection` has stored under this uri."""
    picture = Image.new("RGB", (8, 8), COLOURS[int(uri[-3:])])
    return Query(modality=IMAGE, signals=[picture], label=uri)


def test_texts_are_what_the_encoder_makes_of_them():
    found = check_stored(subject_of(fake_collection()))
    assert found.verdict is Verdict.OK
    assert found.figures["text"]["median_cosine"] == 1
    assert found.figures["roles"]["sides_alike"]


def test_a_missing_prefix_is_found():
    found = check_stored(subject_of(fake_collection(encode=lambda text: f"red passage {text}")))
    assert found.verdict is Verdict.FAILURE
    assert "embedded again" in found.notes[0]


def test_queries_that_are_embedded_wrongly_are_found():
    found = check_stored(subject_of(fake_collection(), encoder=Altered(rotated, TEXT, Role.QUERY)))
    assert found.verdict is Verdict.WARNING
    assert "embedded as passages" in found.notes[0]
    assert not found.figures["roles"]["sides_alike"]


def test_pictures_are_what_the_encoder_makes_of_them():
    found = check_stored(replace(subject_of(fake_collection()), read=read))
    assert found.verdict is Verdict.OK
    assert found.figures["image"] == {
        "compared": 6, "median_cosine": 1, "lowest_cosine": pytest.approx(1),
    }  # fmt: skip


def test_pictures_that_were_prepared_otherwise_are_found():
    encoder = Altered(rotated, IMAGE)
    found = check_stored(replace(subject_of(fake_collection(), encoder=encoder), read=read))
    assert found.verdict is Verdict.FAILURE
    assert "6 stored image segments" in found.notes[0]


def test_files_that_are_gone_or_are_no_pictures_are_left_out():
    def other(uri):
        return Query(modality=TEXT, signals=["now a text"], label=uri) if uri[-1] == "0" else None

    found = check_stored(replace(subject_of(fake_collection()), read=other))
    assert found.verdict is Verdict.OK
    assert "image" not in found.figures


def test_without_texts_or_towers_nothing_is_said():
    assert "no stored" in check_stored(subject_of(store_of({}))).summary
    encoder = FakeEncoder()
    encoder.info = replace(encoder.info, towers={IMAGE: encoder.info.towers[IMAGE]})
    found = check_stored(subject_of(fake_collection(), encoder=encoder))
    assert found.verdict is Verdict.OK
    assert found.figures == {}
