"""How a collection's rows lie in Arrow and Lance tables.

One table per modality (``segments_image``) holds the segments, the table ``assets`` what is
remembered about each asset; its schema carries the manifest. A metadata field is a nullable column
whose name spells the field's in safe characters.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from polyseek.core.filters import FieldType
from polyseek.core.hits import HubCorrection
from polyseek.core.sparse import SparseVector
from polyseek.core.texts import well_formed
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Manifest,
    Modality,
    SegmentBatch,
    Space,
    Span,
    SpanUnit,
)
from polyseek.store.inverted import COLUMNS, INDICES, WEIGHTS, from_arrow, to_arrow
from polyseek.store.metadata import dump_clashing
from polyseek.store.words import stored_words, words_of

ASSETS = "assets"
WORDS = "words"
"""Column of the segment's words; see `polyseek.store.words`."""

VECTOR_COLUMN = {Space.SHARED: "embedding", Space.TOWER: "tower"}
HUB_COLUMN = {modality: f"hub_{modality}" for modality in Modality}
"""Hub bias by modality of the query; null where not known."""

TUNING = "tuning"
NOTES = "notes"
ATTACHMENTS = "attachments"
"""Named data that belongs to the collection, one row each."""

_PRIMARY_KEY = {"lance-schema:unenforced-primary-key": "true"}
"""With it, two writers that insert the same row conflict, and the later one updates it instead."""

ATTACHMENTS_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
        ("data", pa.large_binary()),
    ]
)

_MANIFEST_KEY = b"polyseek.manifest"
_FIELD_PREFIX = "m_"
_ARROW = {
    FieldType.TEXT: pa.string(),
    FieldType.INTEGER: pa.int64(),
    FieldType.NUMBER: pa.float64(),
    FieldType.BOOLEAN: pa.bool_(),
    FieldType.TIME: pa.timestamp("us"),
    FieldType.LIST: pa.list_(pa.string()),
}


def segments_table(modality: Modality) -> str:
    """Name of the table that holds a modality's segments."""
    return f"segments_{modality}"


def column_of(field: str) -> str:
    """A metadata field's column: other characters than a-z and 0-9 become their code point.

    So names that differ in case, dots, blanks or script stay apart, need no quoting in any SQL,
    and never meet the store's own columns.
    """
    return _FIELD_PREFIX + "".join(
        c if c.isascii() and (c.islower() or c.isdigit()) else f"_{ord(c):x}_" for c in field
    )


def field_of(column: str) -> str | None:
    """The reverse of `column_of`; None for the store's own columns."""
    if not column.startswith(_FIELD_PREFIX):
        return None
    name = column[len(_FIELD_PREFIX) :]
    return re.sub(r"_([0-9a-f]+)_", lambda found: chr(int(found[1], 16)), name)


def arrow_field(name: str, kind: FieldType) -> pa.Field:
    """The nullable column of a metadata field."""
    return pa.field(column_of(name), _ARROW[kind])


def fields_of(schema: pa.Schema) -> dict[str, FieldType]:
    """Metadata fields of a segments table."""
    found = {}
    for column in schema:
        name = field_of(column.name)
        if name is not None:
            found[name] = field_type(column.type)
    return found


def field_type(type_: pa.DataType) -> FieldType:
    """The field type that is kept in columns of an Arrow type."""
    if pa.types.is_list(type_):
        return FieldType.LIST
    return next(kind for kind, kept in _ARROW.items() if kept == type_)


def vector_column(space: Space, names: Sequence[str]) -> str:
    """The column that is compared in a space; without a tower's own it is the shared one.

    Args:
        space: Which one is asked for.
        names: The table's columns.
    """
    column = VECTOR_COLUMN[space]
    return column if column in names else VECTOR_COLUMN[Space.SHARED]


def vectors_in(names: Sequence[str]) -> list[str]:
    """The columns of embeddings that a table has."""
    return [column for column in VECTOR_COLUMN.values() if column in names]


def tower_dim(schema: pa.Schema) -> int | None:
    """Length of a segments table's tower embeddings; None where it keeps none."""
    column = VECTOR_COLUMN[Space.TOWER]
    return int(schema.field(column).type.list_size) if column in schema.names else None


def segments_schema(dim: int, tower_dim: int | None) -> pa.Schema:
    """A segments table before any metadata: shared float32 ``(dim,)``, tower float16 if any."""
    tower = [(VECTOR_COLUMN[Space.TOWER], pa.list_(pa.float16(), tower_dim))] if tower_dim else []
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
            pa.field("asset_uri", pa.string(), nullable=False),
            ("span_unit", pa.string()),
            ("span_start", pa.float64()),
            ("span_end", pa.float64()),
            ("text", pa.string()),
            ("clashing", pa.string()),
            (WORDS, pa.string()),
            (VECTOR_COLUMN[Space.SHARED], pa.list_(pa.float32(), dim)),
            *tower,
            *((name, pa.float32()) for name in HUB_COLUMN.values()),
        ]
    )


def segments_to_arrow(
    batch: SegmentBatch,
    rows: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]],
    fields: Mapping[str, FieldType],
) -> pa.Table:
    """A batch as rows of its segments table.

    Args:
        batch: n segments with their embeddings.
        rows: n pairs of typed and clashing metadata (`metadata.split`).
        fields: The metadata columns to write.
    """
    segments, spans = batch.segments, [segment.span for segment in batch.segments]
    columns: dict[str, Any] = {
        "id": pa.array([segment.id for segment in segments], pa.string()),
        "asset_uri": pa.array([segment.asset_uri for segment in segments], pa.string()),
        "span_unit": pa.array([span and str(span.unit) for span in spans], pa.string()),
        "span_start": pa.array([span and span.start for span in spans], pa.float64()),
        "span_end": pa.array([span and span.end for span in spans], pa.float64()),
        "text": pa.array(
            [s.text if s.text is None else well_formed(s.text) for s in segments]
        ).cast(pa.string()),
        WORDS: pa.array(
            [
                stored_words(words_of(segment.asset_uri, segment.text, {**rest, **typed}))
                for segment, (typed, rest) in zip(segments, rows, strict=True)
            ],
            pa.string(),
        ),
        **dict(zip(COLUMNS, to_arrow(s.sparse for s in segments), strict=True)),
        "clashing": pa.array([dump_clashing(rest) for _, rest in rows], pa.string()),
        "embedding": vectors_to_arrow(batch.embeddings.shared, pa.float32()),
        "tower": vectors_to_arrow(batch.embeddings.tower, pa.float16()),
        **{
            name: pa.array(batch.hub_bias[query], pa.float32())
            if query in batch.hub_bias
            else pa.nulls(len(batch), pa.float32())
            for query, name in HUB_COLUMN.items()
        },
    }
    for name, kind in fields.items():
        values = [to_storage(typed.get(name)) for typed, _ in rows]
        columns[column_of(name)] = pa.array(values, _ARROW[kind])
    return keyed(pa.table(columns))


def vectors_to_arrow(rows: Floats, type_: pa.DataType) -> pa.Array:
    """``(n, dim)`` vectors as a fixed-size list column."""
    flat = np.ascontiguousarray(rows, dtype=type_.to_pandas_dtype()).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, type_), rows.shape[1])


def vectors_to_numpy(column: Any) -> Floats:
    """A fixed-size list column as ``(n, dim)`` float32; float16 rows are brought to unit length."""
    chunk = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    dim = chunk.type.list_size
    rows = chunk.flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    if rows.dtype == np.float32:
        shared: Floats = rows
        return shared
    return unit_rows(rows.astype(np.float32))


def embeddings_of(rows: Any) -> Embeddings:
    """Both embeddings of rows of a segments table."""
    names = rows.schema.names
    shared, tower = (vectors_to_numpy(rows[vector_column(space, names)]) for space in Space)
    return Embeddings(shared=shared, tower=tower)


def sparse_of(rows: pa.Table) -> Sequence[SparseVector | None]:
    """The sparse vectors of rows of a segments table."""
    if INDICES not in rows.column_names:
        return [None] * len(rows)
    return from_arrow(rows[INDICES], rows[WEIGHTS])


def unit_rows(rows: Floats) -> Floats:
    """``(n, dim)`` float32 rows scaled to unit length; all-zero rows stay."""
    norms = np.sqrt(np.vecdot(rows, rows))[:, None]
    scaled: Floats = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    return scaled


def hub_offsets(columns: pa.Table, hub: HubCorrection) -> Floats:
    """``(n,)`` what is subtracted from the cosine of each row."""
    name = HUB_COLUMN[hub.query]
    if name not in columns.column_names:  # made before there were any
        return np.full(len(columns), hub.strength * hub.missing, np.float32)
    known = columns[name].to_numpy()
    offsets = np.where(np.isnan(known), hub.missing, known)
    return (hub.strength * offsets).astype(np.float32)


def hub_biases_of(rows: pa.Table) -> dict[Modality, Floats]:
    """``(n,)`` stored hub biases by modality of the query; NaN where not known."""
    return {
        query: rows[name].to_numpy().astype(np.float32)
        for query, name in HUB_COLUMN.items()
        if name in rows.column_names
    }


def to_storage(value: Any) -> Any:
    """A literal or metadata value as its column keeps it: times are UTC without a zone."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None)
    return value


def from_storage(value: Any) -> Any:
    """The reverse of `to_storage`."""
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def span_of(unit: str | None, start: float | None, end: float | None) -> Span | None:
    """A span from its three columns."""
    if unit is None or start is None or end is None:
        return None
    return Span(unit=SpanUnit(unit), start=start, end=end)


def assets_schema(manifest: Manifest) -> pa.Schema:
    """The assets table, with the manifest in its metadata."""
    text = json.dumps(asdict(manifest), sort_keys=True)
    return pa.schema(
        [
            pa.field("uri", pa.string(), nullable=False, metadata=_PRIMARY_KEY),
            pa.field("status", pa.string(), nullable=False),
            ("reason", pa.string()),
            ("modalities", pa.list_(pa.string())),
            ("etag", pa.string()),
            ("content_hash", pa.string()),
            ("size_bytes", pa.int64()),
            ("segments", pa.int64()),
        ],
        metadata={_MANIFEST_KEY: text.encode()},
    )


def ensure_key(table: Any) -> None:
    """Give a table that an older polyseek made its primary key."""
    for column in _keyless(table):
        table.update_field_metadata({"path": column, "metadata": _PRIMARY_KEY})


def lacks_key(table: Any) -> bool:
    """Whether `ensure_key` would do anything."""
    return bool(_keyless(table))


def _keyless(table: Any) -> list[str]:
    schema = table.schema
    return [c for c in ("id", "uri") if c in schema.names and not schema.field(c).metadata]


def keyed(rows: pa.Table) -> pa.Table:
    """Rows with an id that is never null, as Lance wants a primary key also in what is merged."""
    place = rows.schema.get_field_index("id")
    return rows.set_column(place, pa.field("id", pa.string(), nullable=False), rows["id"])


def manifest_of(schema: pa.Schema) -> Manifest:
    """The manifest in an assets table's schema.

    Raises:
        KeyError: There is none.
        ValueError: It does not read as one.
    """
    read = json.loads((schema.metadata or {})[_MANIFEST_KEY])
    read["tower_dims"] = {Modality(name): dim for name, dim in read["tower_dims"].items()}
    known = {key: value for key, value in read.items() if key in Manifest.__dataclass_fields__}
    if known.get("sparse"):
        known["sparse"] = tuple(known["sparse"])
    return Manifest(**known)


def records_to_arrow(records: Iterable[AssetRecord], schema: pa.Schema) -> pa.Table:
    """Rows of the assets table."""
    rows = [asdict(record) for record in records]
    for row in rows:
        row["reason"] = row["reason"] and well_formed(row["reason"])
    return pa.Table.from_pylist(rows, schema=schema.remove_metadata())


def records_from_arrow(table: pa.Table) -> Iterable[AssetRecord]:
    """The reverse of `records_to_arrow`."""
    for row in table.to_pylist():
        status, modalities = AssetStatus(row.pop("status")), row.pop("modalities")
        yield AssetRecord(status=status, modalities=tuple(map(Modality, modalities)), **row)
