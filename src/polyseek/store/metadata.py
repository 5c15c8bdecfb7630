"""Typed metadata: which type a field has, and what becomes of a value of another type.

A field's type is that of its first value. Integers widen to numbers when a fraction arrives; a text
field takes any value as its text. Any other clash (a text for an integer field) must not stop a
run: the value is kept beside the typed fields, is shown with the hit, counts as missing in filters,
and is logged once with both types.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from polyseek.core.filters import FieldType, as_utc
from polyseek.core.texts import well_formed
from polyseek.core.types import Metadata, MetadataValue

logger = logging.getLogger(__name__)


def normalize(value: object) -> MetadataValue | None:
    """A value as every store keeps it; None when there is nothing to keep.

    Times become UTC, NaN becomes missing, -0.0 becomes 0.0, lists become lists of texts, integers
    beyond 64 bits and anything unknown become texts, and lone surrogates become U+FFFD.
    """
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        array = cast("Any", value)  # of NumPy, mostly without dimensions
        value = array.item() if getattr(array, "size", 1) == 1 else array.tolist()
    match value:
        case None:
            return None
        case bool() | str():
            return well_formed(value) if isinstance(value, str) else value
        case int():
            return value if -(2**63) <= value < 2**63 else str(value)
        case float():
            return None if math.isnan(value) else value + 0.0
        case datetime():
            try:
                return as_utc(value)
            except OverflowError:  # beyond the years 1 to 9999 in UTC
                return value.isoformat()
        case list() | tuple() | set() | frozenset():
            return [_text(item) for item in map(normalize, value) if item is not None]
        case _:
            return well_formed(str(value))


def type_of(value: MetadataValue) -> FieldType:
    """The field type a normalised value calls for."""
    match value:
        case bool():
            return FieldType.BOOLEAN
        case int():
            return FieldType.INTEGER
        case float():
            return FieldType.NUMBER
        case datetime():
            return FieldType.TIME
        case list():
            return FieldType.LIST
        case _:
            return FieldType.TEXT


def evolve(
    fields: Mapping[str, FieldType], rows: Iterable[Mapping[str, MetadataValue]]
) -> dict[str, FieldType]:
    """The fields after these normalised rows: new ones added, integers widened to numbers."""
    evolved = dict(fields)
    for row in rows:
        for name, value in row.items():
            kind = type_of(value)
            if (evolved.setdefault(name, kind), kind) == (FieldType.INTEGER, FieldType.NUMBER):
                evolved[name] = FieldType.NUMBER
    return evolved


def split(
    row: Mapping[str, MetadataValue], fields: Mapping[str, FieldType]
) -> tuple[dict[str, MetadataValue], dict[str, MetadataValue]]:
    """Normalised values in their field's type, and those that clash with it."""
    typed: dict[str, MetadataValue] = {}
    clashing: dict[str, MetadataValue] = {}
    for name, value in row.items():
        kind, given = fields[name], type_of(value)
        if given is kind:
            typed[name] = value
        elif (kind, given) == (FieldType.NUMBER, FieldType.INTEGER):
            typed[name] = float(cast("int", value))
        elif kind is FieldType.TEXT:
            typed[name] = _text(value)
        else:
            clashing[name] = value
    return typed, clashing


def normalize_row(metadata: Metadata) -> dict[str, MetadataValue]:
    """Metadata with every value normalised and missing ones left out."""
    row = {}
    for name, given in metadata.items():
        value = normalize(given)
        if value is not None:
            row[well_formed(name)] = value
    return row


class ClashLog:
    """Warns once per field about values that clash with the field's type."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def warn(self, clashing: Mapping[str, MetadataValue], fields: Mapping[str, FieldType]) -> None:
        """Name the field, both types and what happens to the value."""
        for name in clashing.keys() - self._seen:
            self._seen.add(name)
            logger.warning(
                "metadata field '%s' is of type %s, but some assets have a value of type %s: it is "
                "kept and shown, but filters on the field do not see it",
                name,
                fields[name],
                type_of(clashing[name]),
            )


def dump_clashing(clashing: Mapping[str, MetadataValue]) -> str | None:
    """Clashing values as JSON; None when there are none."""
    if not clashing:
        return None
    return json.dumps(clashing, default=lambda time: {"time": time.isoformat()}, sort_keys=True)


def load_clashing(text: str | None) -> dict[str, MetadataValue]:
    """The reverse of `dump_clashing`."""
    if not text:
        return {}
    read = json.loads(text)
    return {
        name: datetime.fromisoformat(value["time"]) if isinstance(value, dict) else value
        for name, value in read.items()
    }


def _text(value: MetadataValue) -> str:
    match value:
        case bool():
            return str(value).lower()
        case datetime():
            return value.isoformat()
        case list():
            return ", ".join(value)
        case _:
            return str(value)
