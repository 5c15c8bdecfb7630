"""SQL-like text -> filter tree, by sqlglot.

sqlglot reads all of SQL; only the few forms named in `ALLOWED` become a tree, and everything else
is refused. No text of the user's reaches a store: stores compile the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import sqlglot
from sqlglot import exp

from polyseek.core.errors import InvalidFilterError
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
    Operator,
    Or,
)
from polyseek.core.texts import well_formed

ALLOWED = (
    "allowed: field = != < <= > >= value, BETWEEN, IN (...), LIKE, ILIKE, IS [NOT] NULL, "
    "tags HAS 'x', NEAR(latitude, longitude, km), AND, OR, NOT, parentheses; texts and dates in "
    "'single quotes', unusual field names in \"double quotes\""
)
_MAX_CHARS = 100_000
_MAX_DEPTH = 16  # Lance's parser gives up soon after
_WORDS = frozenset(
    ["AND", "OR", "NOT", "IN", "IS", "NULL", "LIKE", "ILIKE", "BETWEEN", "TRUE", "FALSE"]
)
_PARTS = frozenset(
    ["this", "expression", "expressions", "low", "high", "table", "db", "catalog", "negate"]
)
_POSITION = ("latitude", "longitude")  # as pictures have it
_LIST_FUNCTIONS = frozenset({"has", "array_contains", "array_has"})
_COMPARISONS: dict[type[exp.Expression], Operator] = {
    exp.EQ: Operator.EQ,
    exp.NEQ: Operator.NE,
    exp.LT: Operator.LT,
    exp.LTE: Operator.LE,
    exp.GT: Operator.GT,
    exp.GTE: Operator.GE,
}
_FLIPPED = {
    Operator.LT: Operator.GT,
    Operator.LE: Operator.GE,
    Operator.GT: Operator.LT,
    Operator.GE: Operator.LE,
}


def parse_condition(text: str) -> Filter:
    """The tree of a condition; see `polyseek.core.filters.parse`.

    Raises:
        InvalidFilterError: It does not parse or uses anything but `ALLOWED`.
    """
    if len(text) > _MAX_CHARS:
        raise InvalidFilterError(f"the filter has {len(text)} characters, at most {_MAX_CHARS}")
    text = well_formed(text)  # as stores keep it
    try:
        tree = _convert(sqlglot.parse_one(_only_names_and_values(text), into=exp.Condition))
        depth = _depth(tree)
    except sqlglot.errors.SqlglotError as error:
        raise _refuse(text, "does not parse") from error
    except RecursionError as error:
        raise _refuse(text, "is nested too deeply") from error
    if depth > _MAX_DEPTH:
        raise _refuse(text, f"is nested too deeply ({depth} levels, at most {_MAX_DEPTH})")
    return tree


def _depth(tree: Filter) -> int:
    """Levels of AND, OR and NOT."""
    match tree:
        case And(parts) | Or(parts):
            return 1 + max(map(_depth, parts))
        case Not(part):
            return 1 + _depth(part)
        case _:
            return 0


def _refuse(text: object, why: str) -> InvalidFilterError:
    shown = " ".join(str(text).split())
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return InvalidFilterError(f"filter '{shown}' {why}; {ALLOWED}")


def _only_names_and_values(text: str) -> str:
    """Quote every word that is not an operator, so that a field may be called ``date`` or ``end``.

    This also takes the meaning from every SQL keyword outside the allowed grammar. ``HAS``, which
    SQL lacks, takes the place of ``GLOB``, whose own spelling was just quoted away.
    """
    tokens = list(sqlglot.tokenize(text))
    if not tokens:
        raise _refuse(text, "is empty")
    kept = []
    for i, token in enumerate(tokens):
        if token.comments:
            raise _refuse(text, "has a comment")
        source = text[token.start : token.end + 1]
        word = source.replace("_", "a").isalnum() and not source[0].isdecimal()
        if not word or source.upper() in _WORDS:
            kept.append(source)
        elif i and source.upper() == "HAS" and _ends_name(text, tokens[i - 1]):
            kept.append("GLOB")
        elif i + 1 < len(tokens) and text[tokens[i + 1].start] == "(":
            kept.append(source)
        else:
            kept.append(f'"{source}"')
    return " ".join(kept)


def _ends_name(text: str, token: Any) -> bool:
    """Whether an operator can follow: the token is a field name, not ``AND``, ``.`` or ``(``."""
    source = text[token.start : token.end + 1]
    return source.upper() not in _WORDS and (source[-1].isalnum() or source[-1] in '"_')


def _convert(node: Any) -> Filter:
    if any(value and name not in _PARTS for name, value in node.args.items()):
        raise _refuse(node.sql(), "is not allowed")  # an addition, such as BETWEEN's SYMMETRIC
    if isinstance(node, exp.Paren):
        return _convert(node.this)
    if isinstance(node, exp.And):
        return And(tuple(_convert(part) for part in _flatten(node, exp.And)))
    if isinstance(node, exp.Or):
        return Or(tuple(_convert(part) for part in _flatten(node, exp.Or)))
    if isinstance(node, exp.Not):
        return Not(_convert(node.this))
    if type(node) in _COMPARISONS:
        return _comparison(node)
    if isinstance(node, exp.Column | exp.Dot):
        return Comparison(_field(node), Operator.EQ, value=True)
    convert = _FORMS.get(type(node))
    if convert is None:
        raise _refuse(node.sql(), "is not a condition on a field")
    return Not(convert(node)) if node.args.get("negate") else convert(node)


def _flatten(node: Any, kind: type[Any]) -> list[Any]:
    """The parts of a chain, in order, without recursion: a chain may be thousands long."""
    parts, stack = [], [node]
    while stack:
        part = stack.pop()
        if isinstance(part, kind):
            stack += [part.expression, part.this]
        else:
            parts.append(part)
    return parts


def _comparison(node: Any) -> Comparison:
    operator, left, right = _COMPARISONS[type(node)], node.this, node.expression
    if not isinstance(left, exp.Column | exp.Dot):
        left, right, operator = right, left, _FLIPPED.get(operator, operator)
    if not isinstance(left, exp.Column | exp.Dot):
        raise _refuse(node.sql(), "does not compare a field")
    return Comparison(_field(left), operator, _literal(right))


def _between(node: Any) -> Filter:
    field = _field(node.this)
    return And(
        (
            Comparison(field, Operator.GE, _literal(node.args["low"])),
            Comparison(field, Operator.LE, _literal(node.args["high"])),
        )
    )


def _in(node: Any) -> Filter:
    if not node.expressions:
        raise _refuse(node.sql(), "needs a list of values")
    return In(_field(node.this), tuple(_literal(value) for value in node.expressions))


def _is(node: Any) -> Filter:
    if not isinstance(node.expression, exp.Null):
        raise _refuse(node.sql(), "is not allowed: IS takes NULL or NOT NULL")
    return IsNull(_field(node.this))


def _like(node: Any) -> Filter:
    return Like(_field(node.this), _text(node.expression), isinstance(node, exp.ILike))


def _has(node: Any) -> Filter:
    return Has(_field(node.this), _text(node.expression))


def _function(node: Any) -> Filter:
    """``has(tags, 'x')``, ``near(38.7, -9.1, 25)``, ``near(gps.lat, gps.lon, 38.7, -9.1, 25)``."""
    if str(node.this).lower() == "near" and len(node.expressions) in (3, 5):
        return _near(node.expressions)
    if str(node.this).lower() not in _LIST_FUNCTIONS or len(node.expressions) != 2:
        raise _refuse(node.sql(), "calls a function")
    field, value = node.expressions
    return Has(_field(field), _text(value))


def _near(given: Sequence[Any]) -> Filter:
    *fields, latitude, longitude, radius_km = given
    numbers = [_literal(node) for node in (latitude, longitude, radius_km)]
    if any(isinstance(number, str | bool) for number in numbers):
        raise _refuse(given[-1].sql(), "must be a number: NEAR(latitude, longitude, km)")
    names = tuple(map(_field, fields)) or _POSITION
    return Near((names[0], names[1]), *map(float, numbers))  # type: ignore[arg-type]


_FORMS: dict[type[Any], Callable[[Any], Filter]] = {
    exp.Between: _between,
    exp.In: _in,
    exp.Is: _is,
    exp.Like: _like,
    exp.ILike: _like,
    exp.Glob: _has,
    exp.ArrayContains: _has,
    exp.Anonymous: _function,
}


def _field(node: Any) -> str:
    """A name; dots join the parts of a nested one."""
    parts: Sequence[Any] = node.parts if isinstance(node, exp.Column | exp.Dot) else ()
    if not parts or not all(isinstance(part, exp.Identifier) for part in parts):
        raise _refuse(node.sql(), "is not a field name")
    return ".".join(part.name for part in parts)


def _text(node: Any) -> str:
    value = _literal(node)
    if not isinstance(value, str):
        raise _refuse(node.sql(), "must be a text in single quotes")
    return value


def _literal(node: Any) -> Literal:
    if isinstance(node, exp.Boolean):
        return bool(node.this)
    if isinstance(node, exp.Null):
        raise _refuse("= NULL", "is never true: write IS NULL")
    sign, number = (-1, node.this) if isinstance(node, exp.Neg) else (1, node)
    if isinstance(number, exp.Literal) and not number.is_string:
        for read in (int, float):
            with suppress(ValueError):
                return sign * read(number.name)
    if isinstance(node, exp.Literal) and node.is_string:
        return str(node.this)
    raise _refuse(node.sql(), "is not a value (a text, a number, true, false or a date)")
