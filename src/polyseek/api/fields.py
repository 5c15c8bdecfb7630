"""Which metadata fields a collection has, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from polyseek.core.filters import FieldType, IsNull, Not
from polyseek.core.hits import Candidates, Retrieval
from polyseek.core.protocols import StoreReader
from polyseek.core.types import MetadataValue, by_modality

EXAMPLES = 3
_LOOK_AT = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A metadata field.

    Attributes:
        name: As filters name it.
        type: Of its values.
        segments: Number of segments that have it.
        examples: A few different values.
    """

    name: str
    type: FieldType
    segments: int
    examples: Sequence[MetadataValue]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        shown = [e.isoformat() if isinstance(e, datetime) else e for e in self.examples]
        return {
            "name": self.name,
            "type": str(self.type),
            "segments": self.segments,
            "examples": shown,
        }


def describe(store: StoreReader) -> list[Field]:
    """All fields by name: one filtered search each, so the counts are exact."""
    return [_describe(store, name, kind) for name, kind in sorted(store.fields().items())]


def _describe(store: StoreReader, name: str, kind: FieldType) -> Field:
    found = list(_having(store, name))
    examples: list[MetadataValue] = []
    for hit in (hit for candidates in found for hit in candidates.hits):
        value = hit.metadata[name]
        if value not in examples and len(examples) < EXAMPLES:
            examples.append(value)
    rows = sum(candidates.rows for candidates in found)
    return Field(name=name, type=kind, segments=rows, examples=examples)


def _having(store: StoreReader, name: str) -> Iterator[Candidates]:
    anything = np.eye(1, store.manifest.dim, dtype=np.float32)[0]
    for modality in by_modality(store.counts()):
        yield store.search(
            Retrieval(vector=anything, modality=modality, limit=_LOOK_AT, filter=Not(IsNull(name)))
        )
