"""Metadata filters: a small typed tree, and the check that gives it a collection's types.

Stores compile the checked tree, never the user's text. Logic is SQL's: a comparison with a missing
field is neither true nor false, and only rows for which the whole filter is true pass.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TypeAlias, cast

from polyseek.core.errors import InvalidFilterError


class FieldType(StrEnum):
    """Type of a metadata field."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    LIST = "list"


class Operator(StrEnum):
    """How a comparison compares."""

    EQ = "="
    NE = "!="
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


Literal: TypeAlias = "str | int | float | bool | datetime"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator value``."""

    field: str
    operator: Operator
    value: Literal


@dataclass(frozen=True, slots=True)
class In:
    """``field IN (values)``."""

    field: str
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class IsNull:
    """The field is missing; always true or false."""

    field: str


@dataclass(frozen=True, slots=True)
class Like:
    """A text with ``%`` (any run) and ``_`` (any one character); a backslash makes them literal."""

    field: str
    pattern: str
    ignore_case: bool = False


@dataclass(frozen=True, slots=True)
class Has:
    """A list field contains this text."""

    field: str
    value: Literal


EARTH_RADIUS_KM = 6371.0088


@dataclass(frozen=True, slots=True)
class Near:
    """A position on Earth is within so many kilometres of another; unknown without a position.

    Attributes:
        fields: Names of the fields of latitude and longitude, in degrees.
        latitude: Of the centre, in degrees.
        longitude: Of the centre, in degrees.
        radius_km: Great-circle distance.
    """

    fields: tuple[str, str]
    latitude: float
    longitude: float
    radius_km: float

    @property
    def reach(self) -> float:
        """Haversine of the radius: a position passes when its haversine is not greater."""
        angle = min(self.radius_km / EARTH_RADIUS_KM, math.pi)
        return math.sin(angle / 2) ** 2


@dataclass(frozen=True, slots=True)
class Words:
    """These words stand one after the other in the segment's texts; never unknown.

    Attributes:
        phrase: Words as `core.words.words` makes them, with one blank between.
    """

    phrase: str


@dataclass(frozen=True, slots=True)
class And:
    """All parts hold."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any part holds."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part is false; unknown stays unknown."""

    part: Filter


Filter: TypeAlias = "Comparison | In | IsNull | Like | Has | Near | Words | And | Or | Not"


def parse(text: str) -> Filter:
    """The tree of a SQL-like condition, e.g. ``year >= 2020 AND tags HAS 'cat'``.

    Types are those of the literals until `check` fits them to the fields.

    Raises:
        InvalidFilterError: It does not parse or uses anything but the forms the message lists.
    """
    from polyseek.core.filter_parser import parse_condition

    return parse_condition(text)


def check(condition: Filter, fields: Mapping[str, FieldType]) -> Filter:
    """The same tree with every literal in its field's type: numbers widened, dates as UTC times.

    Args:
        condition: From `parse`.
        fields: The collection's fields and their types.

    Raises:
        InvalidFilterError: A field is unknown, or a literal or operator does not suit its type.
    """
    match condition:
        case And(parts):
            return And(tuple(check(part, fields) for part in parts))
        case Or(parts):
            return Or(tuple(check(part, fields) for part in parts))
        case Not(part):
            return Not(check(part, fields))
        case Words():
            return condition
        case Near():
            return _check_near(condition, fields)
        case _:
            return _check_leaf(condition, _field_type(condition.field, fields))


def _check_leaf(condition: Comparison | In | IsNull | Like | Has, kind: FieldType) -> Filter:
    match condition:
        case IsNull():
            return condition
        case Comparison(field, operator, value):
            _require(kind is not FieldType.LIST, field, kind, f"use {field} HAS 'value'")
            ordered = kind is not FieldType.BOOLEAN or operator in (Operator.EQ, Operator.NE)
            _require(ordered, field, kind, "use = or !=")
            value = _coerce(field, kind, value)
            if kind is FieldType.INTEGER:
                return _in_integers(field, operator, value)
            return replace(condition, value=value)
        case In(field, values):
            _require(kind is not FieldType.LIST, field, kind, f"use {field} HAS 'value'")
            coerced = (_coerce(field, kind, value) for value in values)
            fits = kind is not FieldType.INTEGER
            return In(field, tuple(value for value in coerced if fits or _is_stored(value)))
        case Like(field, pattern):
            _require(kind is FieldType.TEXT, field, kind, "LIKE needs a text field")
            shown = f"a LIKE pattern of {len(pattern)} characters, at most {_MAX_PATTERN}"
            _require(len(pattern) <= _MAX_PATTERN, field, kind, shown)
            return condition
        case Has(field, value):
            _require(kind is FieldType.LIST, field, kind, "HAS needs a list field")
            return Has(field, _coerce(field, FieldType.TEXT, value))


def _check_near(condition: Near, fields: Mapping[str, FieldType]) -> Near:
    for field in condition.fields:
        kind = _field_type(field, fields)
        numeric = kind in (FieldType.NUMBER, FieldType.INTEGER)
        _require(numeric, field, kind, "NEAR needs degrees as numbers")
    if not (abs(condition.latitude) <= 90 and abs(condition.longitude) <= 180):
        raise InvalidFilterError(
            f"NEAR({condition.latitude:g}, {condition.longitude:g}, ...): a latitude is -90 to 90 "
            "degrees and comes first, a longitude -180 to 180"
        )
    if not 0 <= condition.radius_km < math.inf:
        raise InvalidFilterError(
            f"NEAR: a radius of {condition.radius_km:g} km; expected 0 or more"
        )
    return condition


def field_names(condition: Filter) -> Iterator[str]:
    """Every field a tree names, in order, with repetitions."""
    match condition:
        case And(parts) | Or(parts):
            for part in parts:
                yield from field_names(part)
        case Not(part):
            yield from field_names(part)
        case Near(fields):
            yield from fields
        case Words():
            return
        case _:
            yield condition.field


def _field_type(name: str, fields: Mapping[str, FieldType]) -> FieldType:
    if name in fields:
        return fields[name]
    by_folded = {known.casefold(): known for known in fields}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=1)
    hint = f"; did you mean '{by_folded[close[0]]}'?" if close else ";"
    known = ", ".join(sorted(fields)) or "none: no asset has metadata yet"
    raise InvalidFilterError(f"unknown field '{name}'{hint} known fields: {known}")


def _require(holds: bool, field: str, kind: FieldType, advice: str) -> None:  # noqa: FBT001
    if not holds:
        raise InvalidFilterError(f"field '{field}' is of type {kind}: {advice}")


_MAX_PATTERN = 1000  # stores make regular expressions of patterns, and refuse huge ones
_INT64 = range(-(2**63), 2**63)
_ADVICE = {
    FieldType.TEXT: "a text in single quotes",
    FieldType.INTEGER: "a number",
    FieldType.NUMBER: "a number",
    FieldType.BOOLEAN: "true or false",
    FieldType.TIME: "a date such as '2024-05-31' or '2024-05-31T12:00:00'",
}


def _coerce(field: str, kind: FieldType, value: Literal) -> Literal:
    match kind, value:
        case FieldType.BOOLEAN, bool():
            return value
        case _, bool():
            pass
        case FieldType.TEXT, str():
            return value
        case FieldType.INTEGER, int():
            return value
        case FieldType.INTEGER, float() if value.is_integer():
            return int(value)
        case ((FieldType.INTEGER | FieldType.NUMBER), int() | float()) if _finite(value):
            return float(value) + 0.0  # the sum turns -0.0, which stores order below 0, into 0.0
        case FieldType.TIME, datetime():
            return as_utc(value)
        case FieldType.TIME, str():
            if (time := _read_time(value)) is not None:
                return time
    shown = f"'{value}'" if isinstance(value, str) else str(value).lower()
    raise InvalidFilterError(f"field '{field}' is of type {kind}: compare it to {_ADVICE[kind]}, "
                             f"not to {shown}")  # fmt: skip


def _in_integers(field: str, operator: Operator, value: Literal) -> Filter:
    """A comparison with any number as one with a 64-bit integer.

    Stores compare an integer with a fraction as two floats, which are not exact past 2**53.
    """
    if _is_stored(value):
        return Comparison(field, operator, value)
    never = In(field, ())  # false, and unknown where the field is missing
    if operator in (Operator.EQ, Operator.NE):
        return never if operator is Operator.EQ else Not(never)
    below = math.floor(cast("float", value))  # exact, also for integers
    upwards = operator in (Operator.GT, Operator.GE)
    if below < _INT64.start:
        return Not(never) if upwards else never
    bound = min(below, _INT64.stop - 1)
    return Comparison(field, Operator.GT if upwards else Operator.LE, bound)


def _is_stored(value: Literal) -> bool:
    """Whether an integer field can have this value."""
    return isinstance(value, int) and value in _INT64


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _read_time(text: str) -> datetime | None:
    """An ISO date or time; a year or a month alone is its first moment. No zone means UTC."""
    text = text.strip()
    if re.fullmatch(r"\d{4}(-\d{2})?", text):
        text += "-01-01"[len(text) - 4 :]
    try:
        return as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def as_utc(time: datetime) -> datetime:
    """The same moment in UTC; a time without a zone is taken to be in UTC."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
