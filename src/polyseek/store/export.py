"""A collection's segments as one table that every other tool reads.

| column | holds |
|---|---|
| `id` | of the segment |
| `uri` | of the asset |
| `modality` | text, image, ... |
| `span_unit`, `span_start`, `span_end` | where in the asset; null for the whole |
| `text` | the words in it |
| `embedding` | shared space, float32, unit length |
| `tower` | the tower's own space, float32, as stored (rounded to float16); where there is one |
| `sparse_indices`, `sparse_weights` | where there are any |
| `clashing` | values that do not fit their field's type, as JSON |
| others | metadata fields: ``exif_lens`` for ``exif.lens``, ``field_id`` for ``id`` |

The schema's metadata carries the collection's manifest, so an import knows the encoder, and the
true names of the fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from polyseek.core.filters import FieldType, Filter
from polyseek.core.types import Manifest, Modality
from polyseek.store import layout
from polyseek.store.filter_sql import to_sql
from polyseek.store.inverted import COLUMNS, FIELDS

OWN = (
    "id", "uri", "modality", "span_unit", "span_start", "span_end", "text", "embedding", "tower",
    *COLUMNS, "clashing",
)  # fmt: skip
FIELDS_KEY = b"polyseek.fields"
"""Field by column, as JSON, in the metadata of an export."""

_STORED = {"uri": "asset_uri"}


def schema(
    manifest: Manifest, fields: Mapping[str, FieldType], *, sparse: bool, clashing: bool
) -> pa.Schema:
    """The columns of an export.

    Args:
        manifest: Of the collection.
        fields: Its metadata fields.
        sparse: Whether any segment has a sparse vector.
        clashing: Whether any has a value of another type than its field's.
    """
    columns = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("uri", pa.string(), nullable=False),
        pa.field("modality", pa.string(), nullable=False),
        ("span_unit", pa.string()),
        ("span_start", pa.float64()),
        ("span_end", pa.float64()),
        ("text", pa.string()),
        ("embedding", pa.list_(pa.float32(), manifest.dim)),
    ]
    if manifest.tower_dims:  # of different lengths, so the list has no fixed one
        columns.append(("tower", pa.list_(pa.float32())))
    if sparse:
        columns += list(FIELDS)
    if clashing:
        columns.append(("clashing", pa.string()))
    shown = columns_of(fields)
    columns += [
        (column, layout.arrow_field(name, fields[name]).type) for column, name in shown.items()
    ]
    carried = {**layout.assets_schema(manifest).metadata, FIELDS_KEY: json.dumps(shown).encode()}
    return pa.schema(columns, metadata=carried)


def columns_of(fields: Iterable[str]) -> dict[str, str]:
    """Field by its column in an export: no dots, which Lance refuses, and none of `OWN`."""
    found: dict[str, str] = {}
    for field in sorted(fields):
        column = field.replace(".", "_")
        while column in OWN or column in found:
            column = f"field_{column}"
        found[column] = field
    return found


def reader(
    manifest: Manifest,
    fields: Mapping[str, FieldType],
    tables: Sequence[tuple[Modality, Any]],
    condition: Filter | None,
) -> pa.RecordBatchReader:
    """Every row that passes, modality after modality, a block at a time.

    Args:
        manifest: Of the collection.
        fields: Its metadata fields.
        tables: Its segments tables.
        condition: A checked filter.
    """
    shape = schema(
        manifest, fields,
        sparse=any(COLUMNS[0] in table.schema.names for _, table in tables),
        clashing=any(table.count_rows("clashing IS NOT NULL") for _, table in tables),
    )  # fmt: skip

    stored = _stored(shape)

    def blocks() -> Iterator[pa.RecordBatch]:
        for modality, table in tables:
            query = table.search()
            if condition is not None:
                query = query.where(to_sql(condition, table.schema.names))
            names = [name for name in stored.values() if name in table.schema.names]
            for block in query.limit(None).select(names).to_batches():
                yield _shown(block, modality, shape, stored)

    return pa.RecordBatchReader.from_batches(shape, blocks())


def _stored(shape: pa.Schema) -> dict[str, str]:
    """The column of a segments table that each exported one comes from."""
    fields = json.loads(shape.metadata[FIELDS_KEY])
    own = {name: _STORED.get(name, name) for name in shape.names if name in OWN}
    return own | {column: layout.column_of(field) for column, field in fields.items()}


def _shown(
    block: pa.RecordBatch, modality: Modality, shape: pa.Schema, stored: Mapping[str, str]
) -> pa.RecordBatch:
    names, arrays = set(block.schema.names), []
    for field in shape:
        if field.name == "modality":
            array = pa.nulls(len(block), pa.string()).fill_null(str(modality))
        elif stored[field.name] not in names:
            array = pa.nulls(len(block), field.type)
        else:
            array = block[stored[field.name]]
            array = array if array.type == field.type else array.cast(field.type)
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=shape)
