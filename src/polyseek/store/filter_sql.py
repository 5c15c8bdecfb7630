"""Filters as DataFusion SQL, for Lance. Compiled from the checked tree, never from text."""

from __future__ import annotations

import math
from collections.abc import Collection
from datetime import UTC, datetime

from polyseek.core.filters import (
    And,
    Comparison,
    Filter,
    Has,
    In,
    IsNull,
    Like,
    Literal,
    Near,
    Not,
    Or,
    Words,
)
from polyseek.store.layout import WORDS, column_of

_UNKNOWN = "CAST(NULL AS BOOLEAN)"


def to_sql(condition: Filter, columns: Collection[str]) -> str:
    """The condition for a table with these columns; a field it lacks is null in every row.

    Column names are safe by construction (`layout.column_of`); text literals double their quotes,
    which is all that DataFusion's dialect needs.
    """
    return _holds(condition, columns)


def _holds(condition: Filter, columns: Collection[str]) -> str:
    match condition:
        case And(parts):
            return " AND ".join(f"({_holds(part, columns)})" for part in parts)
        case Or(parts):
            return " OR ".join(f"({_holds(part, columns)})" for part in parts)
        case Not(part):
            return _fails(part, columns)
        case _:
            return _leaf(condition, columns)


def _fails(condition: Filter, columns: Collection[str]) -> str:
    """``NOT condition``, with NOT on single conditions only and never on a null.

    DataFusion simplifies ``x IN (1) AND x IN (2)`` to false and ``x NOT IN (1) OR x NOT IN (2)`` to
    true. Both are unknown for a null, which is as good as false at the top, but not under a NOT.
    """
    match condition:
        case And(parts):
            return " OR ".join(f"({_fails(part, columns)})" for part in parts)
        case Or(parts):
            return " AND ".join(f"({_fails(part, columns)})" for part in parts)
        case Not(part):
            return _holds(part, columns)
        case In(field):
            present = _fails(IsNull(field), columns)
            return f"{present} AND NOT ({_leaf(condition, columns)})"
        case _:
            return f"NOT ({_leaf(condition, columns)})"


def _leaf(
    condition: Comparison | In | IsNull | Like | Has | Near | Words, columns: Collection[str]
) -> str:
    if isinstance(condition, Near):
        return _near(condition, columns)
    if isinstance(condition, Words):
        inside = f"coalesce({WORDS}, '') LIKE {quote(f'% {condition.phrase} %')}"
        return inside if WORDS in columns else "FALSE"
    column = column_of(condition.field)
    present = column in columns
    match condition:
        case IsNull():
            return f"{column} IS NULL" if present else "TRUE"
        case _ if not present:
            return _UNKNOWN
        case Comparison():
            return f"{column} {condition.operator} {_literal(condition.value)}"
        case In(values=()):
            return "FALSE"  # for a null, too: no NOT is put around it
        case In():
            return f"{column} IN ({', '.join(map(_literal, condition.values))})"
        case Like():
            verb = "ILIKE" if condition.ignore_case else "LIKE"
            return f"{column} {verb} {_literal(condition.pattern)}"
        case Has():
            return f"array_has({column}, {_literal(condition.value)})"


def _near(condition: Near, columns: Collection[str]) -> str:
    latitude, longitude = map(column_of, condition.fields)
    if latitude not in columns or longitude not in columns:
        return _UNKNOWN
    cosine = _literal(math.cos(math.radians(condition.latitude)))
    half = [
        f"sin(radians({column} - {_literal(centre)}) / 2)"
        for column, centre in ((latitude, condition.latitude), (longitude, condition.longitude))
    ]
    return (
        f"{half[0]} * {half[0]} + {cosine} * cos(radians({latitude})) * {half[1]} * {half[1]} "
        f"<= {_literal(condition.reach)}"
    )


def quote(text: str) -> str:
    """A text literal."""
    return "'" + text.replace("'", "''") + "'"


def _literal(value: Literal) -> str:
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case str():
            return quote(value)
        case datetime():
            naive = value.astimezone(UTC).replace(tzinfo=None)
            return f"CAST('{naive.isoformat(timespec='microseconds')}' AS TIMESTAMP)"
        case float():
            return f"CAST('{value!r}' AS DOUBLE)"
        case int():
            # Lance reads the digits without their sign, and the least integer's would not fit.
            return str(value) if value > -(2**63) else f"CAST('{value}' AS BIGINT)"
