"""Filters: what parses to what, what is refused, and how literals take their field's type."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyseek.core.errors import InvalidFilterError
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
    check,
    field_names,
    parse,
)

FIELDS = {
    "title": FieldType.TEXT,
    "year": FieldType.INTEGER,
    "size": FieldType.NUMBER,
    "public": FieldType.BOOLEAN,
    "taken": FieldType.TIME,
    "tags": FieldType.LIST,
}


def eq(field, value):
    return Comparison(field, Operator.EQ, value)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("year = 2020", eq("year", 2020)),
        ("year == 2020", eq("year", 2020)),
        ("year != 2020", Comparison("year", Operator.NE, 2020)),
        ("year <> 2020", Comparison("year", Operator.NE, 2020)),
        ("year < 2020", Comparison("year", Operator.LT, 2020)),
        ("year <= 2020", Comparison("year", Operator.LE, 2020)),
        ("year > 2020", Comparison("year", Operator.GT, 2020)),
        ("year>=2020", Comparison("year", Operator.GE, 2020)),
        ("2020 = year", eq("year", 2020)),
        ("2020 < year", Comparison("year", Operator.GT, 2020)),
        ("2020 >= year", Comparison("year", Operator.LE, 2020)),
        ("year = -3", eq("year", -3)),
        ("year > -0.5e1", Comparison("year", Operator.GT, -5.0)),
        ("size = .5", eq("size", 0.5)),
        ("title = 'it''s'", eq("title", "it's")),
        ("title = 'a -- b /* c */; d'", eq("title", "a -- b /* c */; d")),
        ("title = '\\'", eq("title", "\\")),
        ("title = ''", eq("title", "")),
        ("public = TRUE", eq("public", True)),
        ("false = public", eq("public", False)),
        ("public", eq("public", True)),
        ("NOT public", Not(eq("public", True))),
        ("year IN (1, -2, 'x')", In("year", (1, -2, "x"))),
        ("year not in (1)", Not(In("year", (1,)))),
        ("year IS NULL", IsNull("year")),
        ("year is not null", Not(IsNull("year"))),
        ("title LIKE 'a%'", Like("title", "a%")),
        ("title ilike 'a_'", Like("title", "a_", ignore_case=True)),
        ("title NOT LIKE 'a'", Not(Like("title", "a"))),
        ("title NOT ILIKE 'a'", Not(Like("title", "a", ignore_case=True))),
        ("NOT title NOT LIKE 'a'", Not(Not(Like("title", "a")))),
        ("tags HAS 'cat'", Has("tags", "cat")),
        ("has(tags, 'cat')", Has("tags", "cat")),
        ("array_has(tags, 'cat')", Has("tags", "cat")),
        ("ARRAY_CONTAINS(tags, 'cat')", Has("tags", "cat")),
        ("NOT tags HAS 'cat'", Not(Has("tags", "cat"))),
        ("((year = 1))", eq("year", 1)),
        ("a AND b OR NOT c", Or((And((eq("a", True), eq("b", True))), Not(eq("c", True))))),
        ("a AND (b OR c)", And((eq("a", True), Or((eq("b", True), eq("c", True)))))),
    ],
)
def test_every_form_has_its_tree(text, tree):
    assert parse(text) == tree


def test_between_takes_both_ends():
    both = And((Comparison("year", Operator.GE, 1), Comparison("year", Operator.LE, 2)))
    assert parse("year BETWEEN 1 AND 2") == both
    assert parse("year NOT BETWEEN 1 AND 2 AND public") == And((Not(both), eq("public", True)))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('"odd name" = 1', "odd name"),
        ('"a""b" = 1', 'a"b'),
        ('"x = 1; DROP TABLE y" = 1', "x = 1; DROP TABLE y"),
        ("exif.camera.model = 1", "exif.camera.model"),
        ('exif."focal length" = 1', "exif.focal length"),
        ("größe = 1", "größe"),
        ("名前 = 1", "名前"),
        ("_a1 = 1", "_a1"),
        ("Year = 1", "Year"),
    ],
)
def test_field_names_are_taken_as_they_are(text, name):
    assert parse(text) == eq(name, 1)


@pytest.mark.parametrize("word", "date end select table order has glob user all from case".split())
def test_words_of_sql_can_be_field_names(word):
    assert parse(f"{word} = 1") == eq(word, 1)
    assert parse(f"x = 2 AND {word} HAS 'y'") == And((eq("x", 2), Has(word, "y")))


@pytest.mark.parametrize("joint", ["AND", "OR"])
@pytest.mark.slow
def test_a_chain_may_be_thousands_long(joint):
    tree = parse(f" {joint} ".join(f"year = {i}" for i in range(2000)))
    assert type(tree) is {"AND": And, "OR": Or}[joint]
    assert tree.parts == tuple(eq("year", i) for i in range(2000))
    assert check(tree, FIELDS) == tree


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("()", "is not a condition"),
        ("year =", "does not parse"),
        ("= 2020", "does not parse"),
        ("year = 2020 AND", "does not parse"),
        ("year = 2020 or or public", "does not parse"),
        ("(year = 2020", "does not parse"),
        ("title = 'open", "does not parse"),
        ("year 2020", "does not parse"),
        ("a, b", "does not parse"),
        ("lower(title) = 'x'", "does not compare a field"),
        ("taken < now()", "is not a value"),
        ("load_extension('x')", "calls a function"),
        ("has(tags)", "calls a function"),
        ("has(1, 'x')", "is not a field name"),
        ("CAST(year AS TEXT) = 'x'", "does not parse"),
        ("year::text = 'x'", "does not compare a field"),
        ("year IN (SELECT 1)", "does not parse"),
        ("(SELECT 1) = year", "does not parse"),
        ("EXISTS (SELECT 1)", "does not parse"),
        ("year IN ()", "needs a list"),
        ("year IN (size)", "is not a value"),
        ("year IN UNNEST(x)", "is not allowed"),
        ("year + 1 = 2", "does not compare a field"),
        ("year = 1 + 1", "is not a value"),
        ("year = size", "is not a value"),
        ('title = "beach"', "is not a value"),
        ("title || 'x' = 'y'", "does not compare a field"),
        ("year < 2020 < 2021", "does not compare a field"),
        ("1 = 1", "does not compare a field"),
        ("TRUE", "is not a condition"),
        ("2020", "is not a condition"),
        ("year = NULL", "IS NULL"),
        ("year != NULL", "IS NULL"),
        ("year IN (1, NULL)", "IS NULL"),
        ("public IS TRUE", "IS takes NULL"),
        ("tags HAS 3", "must be a text"),
        ("tags HAS 'a' HAS 'b'", "does not parse"),
        ("title LIKE year", "is not a value"),
        ("title SIMILAR TO 'x'", "is not a condition"),
        ("title LIKE 'x' ESCAPE '!'", "does not parse"),
        ("tags[0] = 'x'", "does not compare a field"),
        ("year = ?", "is not a value"),
        ("year = 1e", "is not a value"),
        ("year = 0x10", "does not parse"),
        ("year = 1; DROP TABLE x", "does not parse"),
        ("1=1; DROP TABLE x", "does not parse"),
        ("title = 'x' UNION SELECT 1", "does not parse"),
        ("title = '' OR 1=1 --'", "has a comment"),
        ("year = 1 -- all", "has a comment"),
        ("year = 1 /* all */", "has a comment"),
    ],
)
def test_anything_else_is_refused_with_the_reason(text, why):
    with pytest.raises(InvalidFilterError, match=why) as refusal:
        parse(text)
    assert "allowed: field = " in str(refusal.value)


@pytest.mark.parametrize(
    ("start", "middle", "end"),
    [
        ("(", "a", ")"),
        ("NOT ", "a", ""),
        ("NOT (", "a", ")"),
        ("a AND (b OR ", "c", ")"),
        ("f(", "a", ")"),
        ("a = - ", "1", ""),
        ("a IN (", "1", ")"),
        ("[", "a", "]"),
    ],
)
@pytest.mark.parametrize("depth", [200, 2000])
@pytest.mark.slow
def test_deep_nesting_is_refused_at_once(start, middle, end, depth):
    with pytest.raises(InvalidFilterError) as refusal:
        parse(start * depth + middle + end * depth)
    assert len(str(refusal.value)) < 500


def test_the_depth_that_parses_is_the_same_wherever_the_caller_stands():
    assert parse("NOT " * 16 + "a")
    with pytest.raises(InvalidFilterError, match=r"too deeply \(17 levels, at most 16\)"):
        parse("NOT " * 17 + "a")


def test_huge_filters_are_refused_unread():
    with pytest.raises(InvalidFilterError, match="100005 characters, at most 100000"):
        parse("a = '" + "x" * 99_999 + "'")


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(
    st.text(max_size=20)
    | st.lists(
        st.sampled_from(
            "( ) [ ] { } a 1 .5 1e 'x' \" ' = < , . - ~ ? : :: ; * / % | @ # $ \\ AND OR NOT IN IS "
            "NULL LIKE HAS BETWEEN CASE SELECT CAST ARRAY INTERVAL DATE x' \ud800 \0".split()
        ),
        max_size=6,
    ).map(" ".join)
)
@pytest.mark.slow
def test_no_text_does_anything_but_parse_or_be_refused(text):
    try:
        tree = parse(text)
    except InvalidFilterError:
        return
    assert list(field_names(tree))


def test_undecodable_text_is_read_as_it_is_stored():
    assert parse("title = 'caf\udce9'") == eq("title", "caf�")


def test_field_names_lists_every_mention_in_order():
    tree = parse("b = 1 AND (NOT a IN (1) OR b IS NULL) AND tags HAS 'x' AND title LIKE 'y'")
    assert list(field_names(tree)) == ["b", "a", "b", "tags", "title"]


def moment(*parts):
    return datetime(*parts, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024", moment(2024, 1, 1)),
        ("2024-05", moment(2024, 5, 1)),
        ("2024-05-31", moment(2024, 5, 31)),
        (" 2024-05-31 ", moment(2024, 5, 31)),
        ("2024-05-31T12:30:01", moment(2024, 5, 31, 12, 30, 1)),
        ("2024-05-31 12:30", moment(2024, 5, 31, 12, 30)),
        ("2024-05-31T12:30:00.25Z", moment(2024, 5, 31, 12, 30, 0, 250_000)),
        ("2024-05-31T00:30+02:00", moment(2024, 5, 30, 22, 30)),
    ],
)
def test_dates_are_utc_times(text, time):
    assert check(parse(f"taken >= '{text}'"), FIELDS) == Comparison("taken", Operator.GE, time)
    assert check(parse(f"taken IN ('{text}')"), FIELDS) == In("taken", (time,))


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("year = 2020.0", eq("year", 2020)),
        ("year < 2020.5", Comparison("year", Operator.LE, 2020)),
        ("year > -0.5", Comparison("year", Operator.GT, -1)),
        ("year >= 2020.5", Comparison("year", Operator.GT, 2020)),
        ("year = 2020.5", In("year", ())),
        ("year != 2020.5", Not(In("year", ()))),
        ("year IN (1, 2.0, 2.5)", In("year", (1, 2))),
        ("year < 1e30", Comparison("year", Operator.LE, 2**63 - 1)),
        ("year < -1e30", In("year", ())),
        ("year > -9223372036854775809", Not(In("year", ()))),
        ("size > 3", Comparison("size", Operator.GT, 3.0)),
        ("size IN (1, 2.5)", In("size", (1.0, 2.5))),
        ("public != false", Comparison("public", Operator.NE, False)),
    ],
)
def test_numbers_take_the_type_of_their_field(text, tree):
    checked = check(parse(text), FIELDS)
    assert checked == tree
    assert repr(checked) == repr(tree), "1 == 1.0 == True, but they are not one literal"


def test_minus_zero_is_zero():
    assert str(check(parse("size = -0.0"), FIELDS).value) == "0.0"


@pytest.mark.parametrize(
    ("text", "kind", "advice"),
    [
        ("year = 'x'", "integer", "compare it to a number, not to 'x'"),
        ("year = true", "integer", "compare it to a number, not to true"),
        ("size > '3'", "number", "compare it to a number"),
        ("size > 1e999", "number", "compare it to a number, not to inf"),
        ("title = 3", "text", "compare it to a text in single quotes, not to 3"),
        ("title IN ('a', 3)", "text", "a text in single quotes"),
        ("title", "text", "a text in single quotes, not to true"),
        ("public = 1", "boolean", "compare it to true or false"),
        ("public < true", "boolean", "use = or !="),
        ("taken > 'yesterday'", "time", "a date such as '2024-05-31'"),
        ("taken > '2024-13'", "time", "a date such as"),
        ("taken > '0001-01-01T00:00+05:00'", "time", "a date such as"),
        ("taken > 2024", "time", "a date such as .* not to 2024"),
        ("tags = 'cat'", "list", "use tags HAS 'value'"),
        ("tags IN ('cat')", "list", "use tags HAS 'value'"),
        ("tags LIKE 'cat'", "list", "LIKE needs a text field"),
        ("year LIKE '20%'", "integer", "LIKE needs a text field"),
        ("title HAS 'cat'", "text", "HAS needs a list field"),
        (f"title LIKE '{'_' * 1001}'", "text", "a LIKE pattern of 1001 characters, at most 1000"),
    ],
)
def test_a_wrong_type_names_field_type_and_what_to_write(text, kind, advice):
    field = re.match(r"\w+", text)[0]
    with pytest.raises(InvalidFilterError, match=f"field '{field}' is of type {kind}: .*{advice}"):
        check(parse(text), FIELDS)


@pytest.mark.parametrize("where", ["yaer = 1", "NOT (year = 1 OR yaer IS NULL)", "yaer HAS 'x'"])
def test_an_unknown_field_is_met_with_the_known_ones(where):
    with pytest.raises(InvalidFilterError) as refusal:
        check(parse(where), FIELDS)
    assert str(refusal.value) == (
        "unknown field 'yaer'; did you mean 'year'? "
        "known fields: public, size, tags, taken, title, year"
    )


def test_a_suggestion_looks_past_case_and_is_not_forced():
    with pytest.raises(InvalidFilterError, match=r"'YEAR'; did you mean 'year'\?"):
        check(parse("YEAR = 1"), FIELDS)
    with pytest.raises(InvalidFilterError, match=r"unknown field 'xyz'; known fields: public,"):
        check(parse("xyz = 1"), FIELDS)
    with pytest.raises(InvalidFilterError, match="known fields: none: no asset has metadata yet"):
        check(parse("year = 1"), {})


PLACED = FIELDS | {"latitude": FieldType.NUMBER, "longitude": FieldType.NUMBER}


def test_near_is_a_radius_in_kilometres():
    lisbon = Near(("latitude", "longitude"), 38.7, -9.1, 25.0)
    assert check(parse("NEAR(38.7, -9.1, 25)"), PLACED) == lisbon
    own = parse("near(gps.lat, gps.lon, 38.7, -9.1, 25) AND year > 1")
    assert list(field_names(own)) == ["gps.lat", "gps.lon", "year"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("NEAR(-9.1, 138.7, '25')", "number"),
        ("NEAR(120, 9, 25)", "latitude"),
        ("NEAR(38, 9, -1)", "radius"),
        ("NEAR(title, size, 38, 9, 1)", "degrees"),
        ("NEAR(nowhere, size, 38, 9, 1)", "unknown field"),
        ("NEAR(38, 9)", "function"),
    ],
)
def test_a_wrong_radius_is_refused(text, why):
    with pytest.raises(InvalidFilterError, match=why):
        check(parse(text), PLACED)
