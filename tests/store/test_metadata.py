"""Metadata from any source: normalised, typed, kept when it clashes, and back from its columns."""

import json
import logging
import math
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyseek.core.filters import FieldType
from polyseek.core.texts import well_formed
from polyseek.store import layout
from polyseek.store.metadata import (
    ClashLog,
    dump_clashing,
    evolve,
    load_clashing,
    normalize,
    normalize_row,
    split,
    type_of,
)

NOON = datetime(2024, 5, 31, 12, tzinfo=UTC)
EAST = timezone(timedelta(hours=5))
stable = settings(max_examples=100, deadline=None, derandomize=True, database=None)

any_text = st.text(max_size=8)
integers = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False).map(lambda x: x + 0.0)
times = st.datetimes(timezones=st.just(UTC))
normal_values = st.one_of(
    any_text, integers, numbers, times, st.booleans(), st.lists(any_text, max_size=3)
)


@pytest.mark.parametrize(
    ("given_value", "kept"),
    [
        (True, True),
        (3, 3),
        (2.5, 2.5),
        ("a", "a"),
        ("", ""),
        (None, None),
        (math.nan, None),
        (math.inf, math.inf),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        (2**63, "9223372036854775808"),
        (-(2**63) - 1, "-9223372036854775809"),
        (np.int16(3), 3),
        (np.uint64(2**64 - 1), "18446744073709551615"),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), None),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array(3), 3),
        (np.array([1, 2]), ["1", "2"]),
        (np.array([]), []),
        (np.datetime64("2024-05-31T12:00"), NOON),
        (datetime(2024, 5, 31, 12), NOON),
        (datetime(2024, 5, 31, 17, tzinfo=EAST), NOON),
        (datetime(1, 1, 1, tzinfo=EAST), "0001-01-01T00:00:00+05:00"),
        (["a", 1, None, math.nan, True, 2.5], ["a", "1", "true", "2.5"]),
        (("a", ["b", "c"]), ["a", "b, c"]),
        ([NOON], ["2024-05-31T12:00:00+00:00"]),
        ({"only"}, ["only"]),
        ([], []),
        ({"lens": {"f": 1.8}}, "{'lens': {'f': 1.8}}"),
        ("caf\udce9", "caf�"),
        (["\ud800"], ["�"]),
    ],
    ids=repr,
)
def test_normalised_values(given_value, kept):
    normal = normalize(given_value)
    assert normal == kept
    assert type(normal) is type(kept) or isinstance(given_value, np.str_)
    assert normalize(normal) == normal, "nothing is left to do"


def test_minus_zero_is_zero():
    assert math.copysign(1, normalize(-0.0)) == 1
    assert math.copysign(1, normalize(np.float32(-0.0))) == 1


def test_a_row_loses_what_is_missing_and_keeps_its_names():
    given_row = {"a": None, "b": math.nan, "Größe.mm": 3, "caf\udce9": 1, "": "x"}
    assert normalize_row(given_row) == {"Größe.mm": 3, "caf�": 1, "": "x"}


@stable
@given(st.text(st.characters() | st.just("\ud800"), max_size=8))
def test_cleaned_text_is_utf8_and_clean_text_is_untouched(text):
    cleaned = well_formed(text)
    assert cleaned.encode().decode() == cleaned
    assert len(cleaned) == len(text)
    assert all(a == b or (b == "�" and a == "\ud800") for a, b in zip(text, cleaned, strict=True))


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("a", FieldType.TEXT),
        (1, FieldType.INTEGER),
        (1.0, FieldType.NUMBER),
        (True, FieldType.BOOLEAN),
        (NOON, FieldType.TIME),
        ([], FieldType.LIST),
    ],
)
def test_the_first_value_decides_the_type(value, kind):
    assert type_of(value) is kind
    assert evolve({}, [{}, {"f": value}, {"f": "later"}]) == {"f": kind}


def test_only_integers_widen():
    fields = evolve({"n": FieldType.INTEGER, "t": FieldType.TEXT}, [{"n": 1.5, "t": 2.5, "x": 1}])
    assert fields == {"n": FieldType.NUMBER, "t": FieldType.TEXT, "x": FieldType.INTEGER}
    assert evolve(fields, [{"n": 1, "x": "a"}]) == fields


def test_evolving_leaves_the_given_fields_alone():
    before = {"n": FieldType.INTEGER}
    evolve(before, [{"n": 1.5, "m": 1}])
    assert before == {"n": FieldType.INTEGER}


def test_values_take_their_fields_type_or_clash():
    fields = {
        "number": FieldType.NUMBER,
        "text": FieldType.TEXT,
        "flag": FieldType.TEXT,
        "when": FieldType.TEXT,
        "words": FieldType.TEXT,
        "integer": FieldType.INTEGER,
        "time": FieldType.TIME,
        "list": FieldType.LIST,
    }
    row = {
        "number": 3,
        "text": 2.5,
        "flag": True,
        "when": NOON,
        "words": ["a", "b"],
        "integer": "three",
        "time": "yesterday",
        "list": "a",
    }
    typed, clashing = split(row, fields)
    assert typed == {
        "number": 3.0,
        "text": "2.5",
        "flag": "true",
        "when": "2024-05-31T12:00:00+00:00",
        "words": "a, b",
    }
    assert type(typed["number"]) is float
    assert clashing == {"integer": "three", "time": "yesterday", "list": "a"}


def test_a_boolean_is_no_integer():
    assert split({"n": True}, {"n": FieldType.INTEGER}) == ({}, {"n": True})
    assert split({"n": 1}, {"n": FieldType.BOOLEAN}) == ({}, {"n": 1})


@stable
@given(st.lists(st.dictionaries(st.sampled_from("abc"), normal_values), max_size=6))
def test_no_value_is_lost_and_every_typed_one_fits(rows):
    fields = evolve({}, rows)
    for row in rows:
        typed, clashing = split(row, fields)
        assert typed.keys() | clashing.keys() == row.keys()
        assert not typed.keys() & clashing.keys()
        assert all(type_of(value) is fields[name] for name, value in typed.items())
        assert all(type_of(value) is not fields[name] for name, value in clashing.items())


@stable
@given(st.dictionaries(any_text, normal_values, max_size=4))
def test_clashing_values_come_back_from_their_column(clashing):
    column = dump_clashing(clashing)
    assert (column is None) == (not clashing)
    back = load_clashing(column)
    assert back == clashing
    assert {k: type(v) for k, v in back.items()} == {k: type(v) for k, v in clashing.items()}


def test_clashing_values_are_json_in_a_fixed_order():
    assert json.loads(dump_clashing({"b": 1, "a": NOON})) == {
        "a": {"time": "2024-05-31T12:00:00+00:00"},
        "b": 1,
    }
    assert dump_clashing({"b": 1, "a": 2}) == dump_clashing({"a": 2, "b": 1})


def test_a_clash_is_logged_once_per_field_with_both_types(caplog):
    log, fields = ClashLog(), {"year": FieldType.INTEGER, "when": FieldType.TIME}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            log.warn({"year": "unknown"}, fields)
        log.warn({"year": "late", "when": 3}, fields)
    assert [record.args[:3] for record in caplog.records] == [
        ("year", FieldType.INTEGER, FieldType.TEXT),
        ("when", FieldType.TIME, FieldType.INTEGER),
    ]
    assert "filters on the field do not see it" in caplog.text


@stable
@given(any_text)
def test_a_fields_name_comes_back_from_its_column(name):
    column = layout.column_of(name)
    assert layout.field_of(column) == name
    assert column.isascii()
    assert column == column.lower()
    assert column.replace("_", "a").isalnum(), "needs no quotes in SQL"


@stable
@given(st.lists(st.text("aA_4e1 .\u00e9", max_size=6), unique=True, min_size=2))
def test_no_two_fields_share_a_column(names):
    assert len({layout.column_of(name) for name in names}) == len(names)


def test_a_stores_own_columns_are_no_fields():
    own = layout.segments_schema(4, 2).names
    assert own
    assert [layout.field_of(column) for column in own] == [None] * len(own)
    assert not {layout.column_of(column) for column in own} & set(own)


def test_field_types_come_back_from_a_schema():
    kinds = {f"Field {kind}": kind for kind in FieldType}
    columns = [layout.arrow_field(name, kind) for name, kind in kinds.items()]
    schema = pa.schema([*layout.segments_schema(4, 2), *columns])
    assert layout.fields_of(schema) == kinds


@stable
@given(normal_values)
def test_a_value_comes_back_from_its_column(value):
    column = pa.array(
        [layout.to_storage(value), None], layout.arrow_field("f", type_of(value)).type
    )
    assert [layout.from_storage(cell) for cell in column.to_pylist()] == [value, None]


@pytest.mark.parametrize("count", [0, 1, 5])
def test_shared_vectors_come_back_bit_for_bit(count):
    rows = np.random.default_rng(0).normal(size=(count, 7)).astype(np.float32)
    column = layout.vectors_to_arrow(rows, pa.float32())
    assert column.type == pa.list_(pa.float32(), 7)
    for read in (column, pa.chunked_array([column[:2], column[2:]], column.type)):
        assert layout.vectors_to_numpy(read).tobytes() == rows.tobytes()
    assert layout.vectors_to_numpy(column[1:3]).tobytes() == rows[1:3].tobytes()


def test_strided_vectors_are_stored_as_they_look():
    rows = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)[::2, ::3]
    np.testing.assert_array_equal(
        layout.vectors_to_numpy(layout.vectors_to_arrow(rows, pa.float32())), rows
    )


def test_tower_vectors_come_back_at_half_precision_and_unit_length():
    rows = layout.unit_rows(np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32))
    rows[4] = 0
    column = layout.vectors_to_arrow(rows, pa.float16())
    assert column.type == pa.list_(pa.float16(), 5)
    back = layout.vectors_to_numpy(column)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, rows, atol=1e-3)
    norms = np.linalg.norm(back, axis=1)
    np.testing.assert_allclose(np.delete(norms, 4), 1, atol=1e-6)
    assert not back[4].any()
