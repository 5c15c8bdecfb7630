"""Segments as Arrow columns: for vectors that come by the million, where objects would cost most.

Arrays are PyArrow's; this module only names them, so that importing it costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from polyseek.core.types import Modality

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SegmentColumns:
    """n segments of one modality, whose vectors are finite and of unit length.

    Attributes:
        modality: Of all of them.
        uris: String array, one per segment.
        shared: Fixed-size list array of float32, ``(n, dim)``.
        tower: The tower's own embeddings, as `shared`; None where there is no such space.
        spans: Arrays of unit, start and end, null for whole assets; None for none.
        texts: String array; None for none.
        sparse: List arrays of indices and of weights; None for none.
        metadata: Arrays of strings, int64, float64, booleans, timestamps (UTC, microseconds, no
            zone) or lists of strings, by the name of the field.
        clashing: Values that do not fit their field's type, as a store exports them; None for none.
    """

    modality: Modality
    uris: pa.Array
    shared: pa.Array
    tower: pa.Array | None = None
    spans: tuple[pa.Array, pa.Array, pa.Array] | None = None
    texts: pa.Array | None = None
    sparse: tuple[pa.Array, pa.Array] | None = None
    metadata: Mapping[str, pa.Array] = field(default_factory=dict)
    clashing: pa.Array | None = None

    def __len__(self) -> int:
        return len(self.uris)


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One state of a collection that is kept by name.

    Attributes:
        number: Counts from 1.
        time: When it was made, UTC.
        action: What made it, e.g. ``index`` or ``rollback``.
        detail: What that did, JSON-ready.
        tables: What a store needs to go back there.
    """

    number: int
    time: datetime
    action: str
    detail: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, without the store's own part."""
        return {
            "version": self.number,
            "time": self.time.isoformat(timespec="seconds"),
            "action": self.action,
            "detail": dict(self.detail),
        }


VersionName: TypeAlias = int | str | datetime
"""A version's number, or a time: the last one at or before it."""
