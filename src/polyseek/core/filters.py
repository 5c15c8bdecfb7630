"""Metadata filters: parsed from SQL-like text to a small typed tree."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeAlias


class FieldType(StrEnum):
    """Type of a metadata field."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time"
    LIST = "list"


Filter: TypeAlias = object
