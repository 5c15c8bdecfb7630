"""Filters over Arrow columns in memory, for the resident tier."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

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
from polyseek.store.filter_rows import haversine, like_regex
from polyseek.store.layout import WORDS, column_of, to_storage

_COMPARE = {
    Operator.EQ: "equal",
    Operator.NE: "not_equal",
    Operator.LT: "less",
    Operator.LE: "less_equal",
    Operator.GT: "greater",
    Operator.GE: "greater_equal",
}


def passing_rows(condition: Filter, table: pa.Table) -> NDArray[np.int64]:
    """Row numbers, ascending, for which a checked condition is true."""
    mask = _mask(condition, table)
    return np.flatnonzero(pc.fill_null(mask, fill_value=False).to_numpy(zero_copy_only=False))


def _mask(condition: Filter, table: pa.Table) -> Any:
    """A boolean array with nulls for SQL's unknown."""
    match condition:
        case And(parts):
            return reduce(pc.and_kleene, (_mask(part, table) for part in parts))
        case Or(parts):
            return reduce(pc.or_kleene, (_mask(part, table) for part in parts))
        case Not(part):
            return pc.invert(_mask(part, table))
        case Words(phrase):
            return _phrase(phrase, table)
        case Near():
            return _near(condition, table)
        case _:
            return _leaf(condition, table)


def _leaf(condition: Comparison | In | IsNull | Like | Has, table: pa.Table) -> Any:
    column = column_of(condition.field)
    if column not in table.column_names:
        everywhere = isinstance(condition, IsNull)
        return pa.array(np.ones(len(table), bool)) if everywhere else _unknown(table)
    values = table[column].combine_chunks()
    match condition:
        case IsNull():
            return pc.is_null(values)
        case Comparison():
            literal = _scalar(condition.value, values.type)
            return pc.call_function(_COMPARE[condition.operator], [values, literal])
        case In():
            return _is_in(condition, values)
        case Like():
            # Not match_like: it takes the backslash before the last sign for itself.
            whole = rf"(?s)\A{like_regex(condition.pattern)}\z"
            return pc.match_substring_regex(values, whole, ignore_case=condition.ignore_case)
        case Has():
            return _has(condition, values)


def _phrase(phrase: str, table: pa.Table) -> Any:
    if WORDS not in table.column_names:
        return pa.array(np.zeros(len(table), bool))
    inside = pc.match_substring(table[WORDS].combine_chunks(), f" {phrase} ")
    return pc.fill_null(inside, fill_value=False)


def _near(condition: Near, table: pa.Table) -> Any:
    columns = [column_of(field) for field in condition.fields]
    if not set(columns) <= set(table.column_names):
        return _unknown(table)
    degrees = [
        np.asarray(pc.cast(table[column].combine_chunks(), pa.float64()), float)
        for column in columns
    ]
    inside = haversine(condition, degrees[0], degrees[1]) <= condition.reach
    return pa.array(inside, mask=np.isnan(degrees[0]) | np.isnan(degrees[1]))


def _unknown(table: pa.Table) -> Any:
    return pa.nulls(len(table), pa.bool_())


def _scalar(value: Any, type_: pa.DataType) -> Any:
    if isinstance(value, float) and pa.types.is_integer(type_):  # not widened in this table yet
        return pa.scalar(value, pa.float64())
    return pa.scalar(to_storage(value), type_)


def _is_in(condition: In, values: Any) -> Any:
    if pa.types.is_integer(values.type) and any(isinstance(v, float) for v in condition.values):
        values = pc.cast(values, pa.float64(), safe=False)
        wanted = pa.array([float(value) for value in condition.values], pa.float64())  # type: ignore[arg-type]
    else:
        wanted = pa.array([to_storage(value) for value in condition.values], values.type)
    return pc.if_else(pc.is_null(values), None, pc.is_in(values, value_set=wanted))


def _has(condition: Has, lists: Any) -> Any:
    """Contains the text: found among the flattened items, then carried back to their lists."""
    found = np.zeros(len(lists), bool)
    equal = pc.equal(pc.list_flatten(lists), condition.value)
    parents: Mapping[int, int] = pc.filter(pc.list_parent_indices(lists), equal)
    found[np.asarray(parents, np.int64)] = True
    return pc.if_else(pc.is_null(lists), None, pa.array(found))
