"""Three evaluations of one filter - plain Python, Arrow, Lance - choose the same rows."""

import math
import random
from datetime import UTC, datetime, timedelta
from operator import eq, ge, gt, le, lt, ne

import lancedb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyseek.core.filters import (
    And,
    Comparison,
    FieldType,
    Has,
    In,
    IsNull,
    Like,
    Near,
    Not,
    Operator,
    Or,
    Words,
    check,
)
from polyseek.store import lance_index, layout
from polyseek.store.filter_arrow import passing_rows
from polyseek.store.filter_rows import WORDS, matches
from polyseek.store.filter_sql import to_sql

FIELDS = {
    "Title": FieldType.TEXT,
    "année": FieldType.INTEGER,
    "exif.gps": FieldType.NUMBER,
    "is ok": FieldType.BOOLEAN,
    "taken_at": FieldType.TIME,
    "tags": FieldType.LIST,
    "latitude": FieldType.NUMBER,
    "lon": FieldType.INTEGER,
}
PLACES = {"latitude": [38.7, -33.9, 0.0, 90.0, -90.0, 89.9], "lon": [-9, 151, 179, -180, 0]}
PHRASES = [" red car ", " car red ", " ", " red cars ", " 東 東京 京 "]
WITHOUT_COLUMN = {"nowhere": FieldType.INTEGER, "no_tags": FieldType.LIST, "no": FieldType.TEXT}
ALL_FIELDS = FIELDS | WITHOUT_COLUMN
ANY_MARKS = "aAiIİ\u0131KKs\u017fßẞÉé%_\\'\"\n\0 .(語😀"

TEXTS = [
    "",
    "a",
    "A",
    "ab",
    "a%b",
    "a_b",
    "a\\",
    "\\",
    "it's",
    "\n",
    "É",
    "ß",
    "İ",
    "I",
    "\0",
    "😀",
    "\u017f",
    "ẞ",
]
INTEGERS = [-3, -1, 0, 1, 2, 3, 2**53, 2**53 + 1, 2**63 - 1, -(2**63)]
NUMBERS = [0.0, 0.5, -2.0, 3.0, math.inf, -math.inf, 5e-324, 1.7e308, 2.0**53, 0.1]
EPOCH, LEAP_DAY = datetime(1970, 1, 1, tzinfo=UTC), datetime(2024, 2, 29, tzinfo=UTC)
TIMES = [
    datetime(1, 1, 1, tzinfo=UTC),
    EPOCH - timedelta(microseconds=1),
    EPOCH,
    LEAP_DAY,
    LEAP_DAY + timedelta(microseconds=1),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
]
STORED = {
    FieldType.TEXT: TEXTS,
    FieldType.INTEGER: INTEGERS,
    FieldType.NUMBER: NUMBERS,
    FieldType.BOOLEAN: [True, False],
    FieldType.TIME: TIMES,
    FieldType.LIST: [[], ["a"], ["a", "A"], ["it's", ""], ["", ""], ["a\\", "😀"]],
}
BEYOND = [2.5, -0.5, 2.0**53, 2.0**63, -(2.0**63), 1e300, -1e300, 2**63, -(2**63) - 1, 10**400]

EXACTLY = {"=": eq, "!=": ne, "<": lt, "<=": le, ">": gt, ">=": ge}

values = {kind: st.sampled_from(pool) for kind, pool in STORED.items()}
values[FieldType.TEXT] |= st.text(ANY_MARKS, max_size=4)
values[FieldType.INTEGER] |= st.integers(-(2**63), 2**63 - 1)
values[FieldType.NUMBER] |= st.floats(allow_nan=False).map(lambda x: x + 0.0)
values[FieldType.LIST] |= st.lists(values[FieldType.TEXT], max_size=3)
literals = values | {
    FieldType.INTEGER: values[FieldType.INTEGER] | st.sampled_from(BEYOND),
    FieldType.NUMBER: values[FieldType.NUMBER].filter(math.isfinite) | st.sampled_from(INTEGERS),
}
patterns = st.text(ANY_MARKS + "%%__\\\\", max_size=4)
places = {name: st.sampled_from(found) for name, found in PLACES.items()}
rows_of_fields = st.fixed_dictionaries(
    {WORDS: st.sampled_from(PHRASES)},
    optional={f: values[k] for f, k in FIELDS.items()} | places,
)


def conditions_on(item):
    """Every form that suits the field's type."""
    (name, kind), literal = item, literals[item[1]]
    field, operators = st.just(name), list(Operator)
    forms = [st.builds(IsNull, field)]
    if kind is FieldType.BOOLEAN:
        operators = [Operator.EQ, Operator.NE]
    if kind is FieldType.LIST:
        forms.append(st.builds(Has, field, values[FieldType.TEXT]))
    else:
        several = st.lists(literal, min_size=1, max_size=3).map(tuple)
        forms.append(st.builds(Comparison, field, st.sampled_from(operators), literal))
        forms.append(st.builds(In, field, several))
    if kind is FieldType.TEXT:
        forms.append(st.builds(Like, field, patterns, st.booleans()))
    return st.one_of(forms)


def joined(parts):
    chain = st.lists(parts, min_size=1, max_size=3).map(tuple)
    return st.builds(Not, parts) | st.builds(And, chain) | st.builds(Or, chain)


nearby = st.builds(
    Near,
    st.just(("latitude", "lon")),
    st.sampled_from([38.71, -33.8, 89.95, 0.0]),
    st.sampled_from([-9.12, 150.9, -179.9, 0.0]),
    st.sampled_from([0.0, 25.0, 500.0, 5_000.0, 30_000.0]),
)
phrases = st.builds(Words, st.sampled_from(["red", "red car", "car", "東京", "%", "red_car"]))
leaves = st.one_of([*(conditions_on(item) for item in ALL_FIELDS.items()), nearby, phrases])
filters = st.recursive(leaves, joined, max_leaves=5).map(lambda tree: check(tree, ALL_FIELDS))


def as_table(rows):
    columns = {"row": pa.array(range(len(rows)), pa.int64())}
    for name, kind in FIELDS.items():
        stored = [layout.to_storage(row.get(name)) for row in rows]
        columns[layout.column_of(name)] = pa.array(stored, layout.arrow_field(name, kind).type)
    columns[layout.WORDS] = pa.array([row.get(WORDS) for row in rows], pa.string())
    return pa.table(columns)


def expected(condition, rows):
    return [i for i, row in enumerate(rows) if matches(condition, row)]


@pytest.fixture(scope="module", params=[False, True], ids=["scanned", "indexed"])
def chooses_the_same(tmp_path_factory, request):
    """Asserts that a condition chooses the same of 150 rows in all three ways."""
    pick = random.Random(7)
    rows = [
        {WORDS: pick.choice(PHRASES)}
        | {
            name: pick.choice(PLACES.get(name) or STORED[kind])
            for name, kind in FIELDS.items()
            if pick.random() < 0.8
        }
        for _ in range(150)
    ]
    table = as_table(rows)
    lance = lancedb.connect(tmp_path_factory.mktemp("lance")).create_table("segments", table)
    if request.param:
        lance_index.index_fields(lance, rows=0)

    def assert_same(condition):
        passing = expected(condition, rows)
        assert passing_rows(condition, table).tolist() == passing
        found = lance.search().where(to_sql(condition, table.column_names)).select(["row"])
        assert sorted(found.to_arrow()["row"].to_pylist()) == passing
        return passing

    return assert_same


@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(condition=filters, rows=st.lists(rows_of_fields, max_size=6))
@pytest.mark.slow
def test_arrow_agrees_with_plain_python(condition, rows):
    assert passing_rows(condition, as_table(rows)).tolist() == expected(condition, rows)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(condition=filters)
@pytest.mark.slow
def test_lance_agrees_with_both(chooses_the_same, condition):
    chooses_the_same(condition)


def one_of(field, *members):
    return In(field, members)


@pytest.mark.parametrize(
    "condition",
    [
        # DataFusion takes each of these for true or false even where the field is null.
        Not(And((one_of("Title", "a", "A"), one_of("Title", "", "ab")))),
        Or((Not(one_of("taken_at", EPOCH)), Not(one_of("taken_at", LEAP_DAY)))),
        Not(Like("Title", "%")),
        # A backslash at the end is a backslash; Arrow's own LIKE loses it.
        Like("Title", "\\"),
        Like("Title", "\\a%"),
        Like("Title", "%\\%%"),
        # A regular expression without case would take İ for i.
        Like("Title", "i", ignore_case=True),
        Like("Title", "é", ignore_case=True),
        Like("Title", "S", ignore_case=True),
        Like("Title", "ß", ignore_case=True),
        Like("Title", "_"),
        Like("Title", "%'%"),
        Comparison("Title", Operator.GE, "it's"),
        Comparison("année", Operator.EQ, -(2**63)),
        Has("tags", "it's"),
        Not(Has("tags", "a")),
        Not(Comparison("nowhere", Operator.EQ, 1)),
        Not(IsNull("nowhere")),
    ],
    ids=str,
)
def test_forms_that_engines_disagree_about(chooses_the_same, condition):
    chooses_the_same(check(condition, ALL_FIELDS))


@pytest.mark.parametrize("operator", Operator)
@pytest.mark.parametrize("value", BEYOND)
@pytest.mark.slow
def test_integers_compare_exactly_with_any_number(chooses_the_same, operator, value):
    """As Python compares, which never rounds."""
    checked = check(Comparison("année", operator, value), ALL_FIELDS)
    for integer in INTEGERS:
        assert matches(checked, {"année": integer}) is EXACTLY[operator](integer, value)
    assert matches(checked, {}) is None
    chooses_the_same(checked)
    chooses_the_same(Not(checked))


def test_a_missing_field_is_unknown_not_false():
    """SQL's logic in full: the reference the others are held to."""
    unknown, yes = Comparison("year", Operator.EQ, 1), IsNull("year")
    no, row = Not(yes), {}
    assert matches(unknown, row) is None
    assert matches(Not(unknown), row) is None
    assert matches(And((unknown, no)), row) is False
    assert matches(And((unknown, yes)), row) is None
    assert matches(Or((unknown, yes)), row) is True
    assert matches(Or((unknown, no)), row) is None


def test_every_form_chooses_what_it_says(chooses_the_same):
    """Not all three wrong together: on rows where the answer is plain to see."""
    row = {"Title": "It's_ok", "année": 2024, "taken_at": LEAP_DAY, "tags": ["a", "b"]}
    holding = [
        Comparison("Title", Operator.EQ, "It's_ok"),
        Comparison("année", Operator.GT, 2023),
        Comparison("taken_at", Operator.LT, LEAP_DAY + timedelta(microseconds=1)),
        In("année", (1, 2024)),
        IsNull("exif.gps"),
        Like("Title", "It%\\_ok"),
        Like("Title", "IT'S_OK", ignore_case=True),
        Has("tags", "b"),
    ]
    failing = [
        Comparison("Title", Operator.NE, "It's_ok"),
        Comparison("exif.gps", Operator.NE, 1.0),
        In("année", (1, 2)),
        IsNull("Title"),
        Like("Title", "it%"),
        Like("Title", "It"),
        Has("tags", "A"),
    ]
    table = as_table([row])
    for condition in [*holding, *(Not(each) for each in failing[:1] + failing[2:])]:
        assert matches(condition, row) is True
        assert passing_rows(condition, table).tolist() == [0]
    for condition in [*failing, Not(failing[1])]:
        assert not matches(condition, row)
        assert passing_rows(condition, table).tolist() == []


def test_the_deepest_filter_that_parses_is_one_that_lance_reads(chooses_the_same):
    tree = In("Title", ("a", "b"))
    for level in range(16):
        other = Comparison("année", Operator.GT, -(2**63) + level)
        tree = [And((other, tree)), Or((tree, Not(other))), Not(tree)][level % 3]
    chooses_the_same(tree)
    for join in (And, Or):
        tree = Not(In("Title", ("a", "b")))
        for _ in range(15):
            tree = join((IsNull("tags"), tree))
        chooses_the_same(tree)


def test_a_chain_of_thousands_is_no_depth(chooses_the_same):
    assert chooses_the_same(Or(tuple(Comparison("année", Operator.EQ, i) for i in range(3000))))


@pytest.mark.parametrize("text", ["'; DROP TABLE x; --", "' OR '1'='1", "\\' OR TRUE --", "''"])
def test_no_literal_escapes_its_quotes(chooses_the_same, text):
    for condition in (
        Comparison("Title", Operator.EQ, text),
        one_of("Title", text),
        Like("Title", text),
        Has("tags", text),
    ):
        assert chooses_the_same(condition) == []


def test_no_field_name_reaches_sql_unspelled():
    condition = IsNull('x" OR TRUE --')
    assert to_sql(condition, [layout.column_of(condition.field)]) == (
        "m_x_22__20__4f__52__20__54__52__55__45__20__2d__2d_ IS NULL"
    )
