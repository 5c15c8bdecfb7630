"""Segments as columns -> rows of a segments table, without an object per row."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from polyseek.core.columns import SegmentColumns
from polyseek.core.errors import ConfigError
from polyseek.core.filters import FieldType
from polyseek.core.texts import TECHNICAL
from polyseek.core.types import Modality, Span, SpanUnit
from polyseek.core.words import words
from polyseek.store import layout
from polyseek.store.inverted import COLUMNS, FIELDS
from polyseek.store.metadata import load_clashing
from polyseek.store.words import stored_words, words_of

_ID_BYTES = 16
_NO_WORDS = stored_words([])


class Seen:
    """Which ids have come by, 8 bytes each."""

    def __init__(self) -> None:
        self._runs: list[NDArray[np.uint64]] = []

    def has(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """``(n,)`` which of these have been added."""
        found = np.zeros(len(keys), bool)
        for run in self._runs:
            places = np.minimum(np.searchsorted(run, keys), len(run) - 1)
            found |= run[places] == keys
        return found

    def add(self, keys: NDArray[np.uint64]) -> None:
        """Remember these; runs of like length are merged, so there are few."""
        run = np.sort(keys)
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]))
        if len(run):
            self._runs.append(run)


def ids_of(columns: SegmentColumns) -> tuple[pa.Array, NDArray[np.uint64]]:
    """Segment ids as `Segment.id` makes them, and the first 8 bytes of each as a number."""
    tail = f"\n{columns.modality}\n"
    spans = _span_keys(columns) if columns.spans is not None else None
    uris = columns.uris.to_pylist()
    keys = [uri + tail for uri in uris] if spans is None else [
        uri + tail + span for uri, span in zip(uris, spans, strict=True)
    ]  # fmt: skip
    digests = b"".join(
        hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=_ID_BYTES).digest()
        for key in keys
    )
    offsets = (2 * _ID_BYTES * np.arange(len(keys) + 1)).astype(np.int32)
    ids = pa.StringArray.from_buffers(
        len(keys), pa.py_buffer(offsets), pa.py_buffer(digests.hex().encode())
    )
    return ids, np.frombuffer(digests, ">u8")[::2].astype(np.uint64)


def numbers_of(ids: Any) -> NDArray[np.uint64]:
    """The same numbers from stored ids."""
    if not len(ids):
        return np.empty(0, np.uint64)
    raw = bytes.fromhex("".join(ids.to_pylist()))
    return np.frombuffer(raw, ">u8")[::2].astype(np.uint64)


def kinds_of(columns: SegmentColumns) -> dict[str, FieldType]:
    """The type of each field."""
    return {
        name: layout.field_type(array.type)
        for name, array in columns.metadata.items()
        if not pa.types.is_null(array.type)
    }


def evolved(fields: Mapping[str, FieldType], columns: SegmentColumns) -> dict[str, FieldType]:
    """The collection's fields after these columns; integers widen to numbers.

    Raises:
        ConfigError: A column is of another type than the field of that name.
    """
    after = dict(fields)
    for name, kind in kinds_of(columns).items():
        known = after.setdefault(name, kind)
        if (known, kind) == (FieldType.INTEGER, FieldType.NUMBER):
            after[name] = FieldType.NUMBER
        elif known is not kind and not _fits(kind, known):
            raise ConfigError(
                f"column '{name}' is of type {kind}, but the collection has a field '{name}' of "
                f"type {known}; rename the column, or convert it"
            )
    return after


def to_rows(columns: SegmentColumns, ids: pa.Array, fields: Mapping[str, FieldType]) -> pa.Table:
    """Rows of a segments table.

    Args:
        columns: n segments.
        ids: Of them.
        fields: Type of every field of the columns in the collection.
    """
    n = len(columns)
    spans = columns.spans or (
        pa.nulls(n, pa.string()), pa.nulls(n, pa.float64()), pa.nulls(n, pa.float64())
    )  # fmt: skip
    made: dict[str, Any] = {
        "id": ids,
        "asset_uri": columns.uris,
        **dict(zip(("span_unit", "span_start", "span_end"), spans, strict=True)),
        "text": pa.nulls(n, pa.string()) if columns.texts is None else columns.texts,
        layout.WORDS: _words(columns),
        "clashing": pa.nulls(n, pa.string()) if columns.clashing is None else columns.clashing,
        "embedding": columns.shared,
    }
    if columns.tower is not None:
        made["tower"] = columns.tower
    if columns.sparse is not None:
        made |= {
            name: array.cast(field.type)
            for name, array, field in zip(COLUMNS, columns.sparse, FIELDS, strict=True)
        }
    for name, array in columns.metadata.items():
        if name in fields and not pa.types.is_null(array.type):
            field = layout.arrow_field(name, fields[name])
            made[field.name] = array.cast(field.type)
    return pa.table(made)


def fill(rows: pa.Table, schema: pa.Schema) -> pa.RecordBatch:
    """Rows with all columns of a table, null where they have none."""
    names = set(rows.column_names)
    arrays = [
        _one_array(rows[field.name]) if field.name in names else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema.remove_metadata())


def records(parts: Mapping[Modality, Any], known: pa.Table) -> pa.Table | None:
    """Rows of the assets table that are new or have changed.

    Args:
        parts: The column of asset uris of each segments table.
        known: The assets table.
    """
    counted = [
        pa.table({"uri": pc.cast(uris, pa.string()), "bit": pa.nulls(len(uris), pa.int64())
                  .fill_null(1 << place)})
        for place, uris in enumerate(parts.values()) if len(uris)
    ]  # fmt: skip
    if not counted:
        return None
    per_table = [
        part.group_by("uri").aggregate([("bit", "count"), ("bit", "min")]) for part in counted
    ]
    grouped = (
        pa.concat_tables(per_table)
        .group_by("uri")
        .aggregate([("bit_count", "sum"), ("bit_min", "sum")])
    )
    present = grouped.rename_columns(["uri", "segments", "bits"])
    modalities = list(parts)
    sets = [
        sorted(str(m) for place, m in enumerate(modalities) if bits >> place & 1)
        for bits in range(1 << len(modalities))
    ]
    bits_of = {tuple(names): bits for bits, names in enumerate(sets)}
    before = pa.table({
        "uri": known["uri"],
        "was": pa.array([bits_of.get(tuple(sorted(m or ())), -1)
                         for m in known["modalities"].to_pylist()], pa.int64()),
        "had": known["segments"],
        "status": known["status"], "reason": known["reason"], "etag": known["etag"],
        "content_hash": known["content_hash"], "size_bytes": known["size_bytes"],
    })  # fmt: skip
    joined = present.join(before, "uri", join_type="left outer")
    same = pc.and_(
        pc.equal(joined["bits"], joined["was"]), pc.equal(joined["segments"], joined["had"])
    )
    joined = joined.filter(pc.invert(pc.fill_null(same, fill_value=False)))
    if not len(joined):
        return None
    lists = pa.array(sets, pa.list_(pa.string())).take(joined["bits"].combine_chunks())
    return pa.table({
        "uri": joined["uri"],
        "status": pc.fill_null(joined["status"], "indexed"),
        "reason": joined["reason"],
        "modalities": lists,
        "etag": pc.fill_null(joined["etag"], ""),
        "content_hash": joined["content_hash"],
        "size_bytes": pc.fill_null(joined["size_bytes"], 0),
        "segments": joined["segments"],
    })  # fmt: skip


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    """A column in one piece; not copied where it is one already."""
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def _span_keys(columns: SegmentColumns) -> list[str]:
    assert columns.spans is not None  # noqa: S101 - the caller's case
    return [
        "" if unit is None else Span(unit=SpanUnit(unit), start=start, end=end).key()
        for unit, start, end in zip(*(c.to_pylist() for c in columns.spans), strict=True)
    ]


def _fits(kind: FieldType, known: FieldType) -> bool:
    """Whether values of one type can be kept in a field of another without loss."""
    if known is FieldType.TEXT:
        return kind is not FieldType.LIST
    return (kind, known) == (FieldType.INTEGER, FieldType.NUMBER)


def _words(columns: SegmentColumns) -> pa.Array:
    """The words of each segment, as `words_of` finds them; an id that is no address has none."""
    told = {
        name: array
        for name, array in sorted(columns.metadata.items())
        if pa.types.is_string(array.type) or pa.types.is_list(array.type)
    }
    addressed = pc.any(pc.match_substring(columns.uris, "://")).as_py()
    if addressed or columns.clashing is not None or "folder" in told:
        return _words_by_row(columns, told)
    parts = [columns.texts] if columns.texts is not None else []
    parts += [array for name, array in told.items() if name not in TECHNICAL]
    if not parts:
        return pa.array([_NO_WORDS] * len(columns), pa.string())
    # Not null: Arrow leaves out rows of which all parts are null.
    joined = pc.binary_join_element_wise(*map(_words_of_column, parts), " ")
    whole = pc.binary_join_element_wise("", _packed(joined), "", " ")
    return pc.if_else(pc.equal(whole, "  "), _NO_WORDS, whole)


def _words_of_column(array: pa.Array) -> pa.Array:
    """The words of each value between blanks; every different text is read once."""
    if pa.types.is_list(array.type):
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        offsets = pa.array(np.append(0, np.cumsum(lengths)).astype(np.int32))
        values = _words_of_column(pc.list_flatten(array))
        return pc.binary_join(pa.ListArray.from_arrays(offsets, values), " ")
    coded = array.dictionary_encode()
    known = [" ".join(words(text)) for text in coded.dictionary.to_pylist()]
    return pc.fill_null(pa.array(known, pa.string()).take(coded.indices), "")


def _packed(array: pa.Array) -> pa.Array:
    """Single blanks only, and none at the ends."""
    return pc.utf8_trim(pc.replace_substring_regex(array, " +", " "), " ")


def _words_by_row(columns: SegmentColumns, told: Mapping[str, pa.Array]) -> pa.Array:
    """The same where names of files and folders count."""
    n = len(columns)
    nothing: Sequence[str | None] = [None] * n
    texts = nothing if columns.texts is None else columns.texts.to_pylist()
    clashing = nothing if columns.clashing is None else columns.clashing.to_pylist()
    fields = {name: array.to_pylist() for name, array in told.items()}
    found = []
    for i, (uri, text, other) in enumerate(
        zip(columns.uris.to_pylist(), texts, clashing, strict=True)
    ):
        row = {name: values[i] for name, values in fields.items() if values[i] is not None}
        row = {k: list(filter(None, v)) if isinstance(v, list) else v for k, v in row.items()}
        address = uri if "://" in uri else ""
        found.append(stored_words(words_of(address, text, {**load_clashing(other), **row})))
    return pa.array(found, pa.string())
