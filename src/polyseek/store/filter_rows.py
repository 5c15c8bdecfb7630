"""Filters over plain Python rows: the reference that every other evaluation is tested against."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from polyseek.core.filters import (
    And,
    Comparison,
    Filter,
    Has,
    In,
    IsNull,
    Like,
    Near,
    Not,
    Operator,
    Or,
    Words,
)

WORDS = " words"
"""Key under which a row has its stored words; no field is called so."""

_COMPARE: Mapping[Operator, Callable[[Any, Any], bool]] = {
    Operator.EQ: operator.eq,
    Operator.NE: operator.ne,
    Operator.LT: operator.lt,
    Operator.LE: operator.le,
    Operator.GT: operator.gt,
    Operator.GE: operator.ge,
}


def matches(condition: Filter, row: Mapping[str, Any]) -> bool | None:
    """Whether a row passes; None (which does not pass) is SQL's unknown.

    Args:
        condition: A checked tree.
        row: Typed values by field, and the words under `WORDS`; what is missing is absent.
    """
    match condition:
        case And(parts):
            return _all(matches(part, row) for part in parts)
        case Or(parts):
            negated = _all(_negate(matches(part, row)) for part in parts)
            return _negate(negated)
        case Not(part):
            return _negate(matches(part, row))
        case Words(phrase):
            return f" {phrase} " in row.get(WORDS, "")
        case Near(fields):
            latitude, longitude = map(row.get, fields)
            if latitude is None or longitude is None:
                return None
            return bool(haversine(condition, latitude, longitude) <= condition.reach)
        case _:
            return _leaf(condition, row.get(condition.field))


def _leaf(condition: Comparison | In | IsNull | Like | Has, value: Any) -> bool | None:
    if isinstance(condition, IsNull):
        return value is None
    if value is None:
        return None
    match condition:
        case Comparison():
            return _COMPARE[condition.operator](value, condition.value)
        case In():
            return value in condition.values
        case Like():
            return _like(condition, value)
        case Has():
            return condition.value in value


def haversine(centre: Near, latitude: Any, longitude: Any) -> Any:
    """Of the angles between positions in degrees (numbers or arrays) and the centre."""
    up = np.sin(np.radians(latitude - centre.latitude) / 2)
    along = np.sin(np.radians(longitude - centre.longitude) / 2)
    level = np.cos(np.radians(centre.latitude)) * np.cos(np.radians(latitude))
    return up * up + level * along * along


def like_regex(pattern: str) -> str:
    """A LIKE pattern as the body of a regular expression whose dot matches everything."""
    parts, i = [], 0
    while i < len(pattern):
        char = pattern[i]
        if char == "\\" and i + 1 < len(pattern):
            i += 1
            parts.append(re.escape(pattern[i]))
        else:
            parts.append({"%": ".*", "_": "."}.get(char) or re.escape(char))
        i += 1
    return "".join(parts)


@lru_cache(maxsize=64)
def _like_pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\A{like_regex(pattern)}\Z", re.DOTALL)


def _like(condition: Like, value: str) -> bool:
    pattern = condition.pattern
    if condition.ignore_case:
        pattern, value = _fold(pattern), _fold(value)
    return _like_pattern(pattern).search(value) is not None


def _fold(text: str) -> str:
    """Unicode's simple case folding, as in every store; `re.IGNORECASE` also takes İ for i."""
    return text.casefold() if text.isascii() else "".join(map(_fold_char, text))


def _fold_char(char: str) -> str:
    return next((c for c in (char.casefold(), char.lower()) if len(c) == 1), char)


def _all(values: Any) -> bool | None:
    result: bool | None = True
    for value in values:
        if value is False:
            return False
        if value is None:
            result = None
    return result


def _negate(value: bool | None) -> bool | None:  # noqa: FBT001
    return None if value is None else not value
