"""A table of somebody's vectors -> checked columns of segments.

Vectors are brought to unit length. One that has no direction (all zero) or is not finite, an id
that is missing, and a row of another length stop the import with the number of the row: nothing may
silently be missing from searches.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from polyseek.core.columns import SegmentColumns
from polyseek.core.config import ImportOptions
from polyseek.core.errors import ConfigError, DimensionError
from polyseek.core.types import Floats, Modality
from polyseek.ingest.vector_files import VectorTable, listed

UNIT_TOLERANCE = 1e-3
"""Vectors whose length is 1 up to this are taken as they are, without a copy."""

EXPORTED = b"polyseek.manifest"
"""In the metadata of a table that polyseek exported."""

FIELDS_KEY = b"polyseek.fields"
"""Likewise: the true names of its fields by column, as JSON."""

_SPAN = ("span_unit", "span_start", "span_end")
_SPARSE = ("sparse_indices", "sparse_weights")
_OWN = {"id", "uri", "modality", *_SPAN, "text", "tower", *_SPARSE, "clashing"}
_NAMES = ("vector", "embedding")


@dataclass(kw_only=True)
class Reading:
    """Blocks of a table on their way to columns.

    Attributes:
        table: What is read.
        options: Which columns are what.
        dim: Length of its vectors; 0 until the first block.
        scaled: Vectors that had another length than 1.
        rows: Rows read.
    """

    table: VectorTable
    options: ImportOptions
    dim: int = 0
    scaled: int = 0
    rows: int = 0
    _roles: dict[str, str] = field(default_factory=dict)

    def __iter__(self) -> Iterator[SegmentColumns]:
        """Columns, one modality at a time.

        Raises:
            ConfigError: A column is missing or of a wrong type, or a vector or id cannot be used.
            DimensionError: A vector has another length than the others.
        """
        self.rows = 0
        for block in self.table.blocks():
            if len(block):
                yield from self._columns(block)
                self.rows += len(block)

    @property
    def exported(self) -> bool:
        """Whether polyseek wrote it: then its columns are known."""
        return EXPORTED in self.table.metadata

    def _columns(self, block: pa.Table) -> Iterator[SegmentColumns]:
        names = block.column_names
        own_ids = self.exported and self.options.id == ImportOptions().id
        uris = self._ids(block, "uri" if own_ids else self.options.id)
        vector = self._vector_name(block)
        shared = self._vectors(block, vector, uris)
        modality = self._modality(block)
        fields = self._metadata(block, vector)
        text = self.options.text or ("text" if self.exported else None)
        texts = None if text is None else self._texts(block, text)
        exported = self.exported
        whole = _Block(
            uris=uris, shared=shared, texts=texts, metadata=fields, sparse=self._sparse(block),
            tower=_tower(block["tower"]) if exported and "tower" in names else None,
            spans=[_chunk(block[name]) for name in _SPAN] if exported else None,
            clashing=_chunk(block["clashing"]) if exported and "clashing" in names else None,
        )  # fmt: skip
        if isinstance(modality, Modality):
            yield whole.of(modality)
            return
        for name in pc.unique(modality).to_pylist():
            yield whole.where(pc.equal(modality, name)).of(Modality(name))

    def _ids(self, block: pa.Table, name: str) -> pa.Array:
        column = self._column(block, name, "--id")
        if not (_is_text(column.type) or pa.types.is_integer(column.type)):
            raise self._wrong(name, "texts or whole numbers", column.type)
        uris = column.cast(pa.string())
        self._demand(pc.is_valid(uris), f"has no {name}")
        self._demand(pc.not_equal(uris, ""), f"has an empty {name}")
        return uris

    def _vector_name(self, block: pa.Table) -> str:
        if self.options.vector:
            return self.options.vector
        if self.exported:
            return "embedding"
        lists = [f.name for f in block.schema if _is_vector(f.type)]
        named = [name for name in _NAMES if name in lists]
        if named or len(lists) == 1:
            return (named or lists)[0]
        raise ConfigError(
            f"{self.table.label}: which column holds the vectors? Name it with --vector; it has "
            f"{', '.join(block.column_names)}"
        )

    def _vectors(self, block: pa.Table, name: str, uris: pa.Array) -> pa.Array:
        column = self._column(block, name, "--vector")
        if not _is_vector(column.type):
            raise self._wrong(name, "lists of numbers", column.type)
        self._demand(pc.is_valid(column), "has no vector", uris)
        rows = self._matrix(column, name, uris)
        squares = np.vecdot(rows, rows)
        self._demand(pa.array(np.isfinite(squares)), "has a vector that is not finite", uris)
        self._demand(pa.array(squares > 0), "has a vector of zeros, which has no direction", uris)
        away = np.abs(squares - 1) > 2 * UNIT_TOLERANCE
        if away.any():
            self.scaled += int(away.sum())
            rows = rows / np.sqrt(squares)[:, None]
        return listed(rows)

    def _matrix(self, column: pa.Array, name: str, uris: pa.Array) -> Floats:
        """``(n, dim)`` float32; no copy of what is float32 already."""
        if not pa.types.is_fixed_size_list(column.type):
            lengths = pc.list_value_length(column)
            self.dim = self.dim or lengths[0].as_py()
            other = pc.not_equal(lengths, self.dim)
            if pc.any(other).as_py():
                at = pc.index(other, True).as_py()
                raise DimensionError(
                    f"{self.table.label}: {self._row(at, uris)} has a vector of "
                    f"{lengths[at].as_py()} numbers, those before it have {self.dim}"
                )
        found = column.type.list_size if pa.types.is_fixed_size_list(column.type) else self.dim
        self.dim = self.dim or found
        if not self.dim:
            raise DimensionError(f"{self.table.label}: column '{name}' has vectors without numbers")
        if found != self.dim:
            raise DimensionError(
                f"{self.table.label}: column '{name}' has vectors of {found} numbers, the "
                f"collection's have {self.dim}"
            )
        flat = column.flatten()
        self._demand_numbers(flat, uris)
        rows: Floats = flat.cast(pa.float32(), safe=False).to_numpy().reshape(-1, self.dim)
        return rows

    def _demand_numbers(self, flat: pa.Array, uris: pa.Array) -> None:
        if flat.null_count:
            at = pc.index(pc.is_null(flat), True).as_py() // self.dim
            raise ConfigError(
                f"{self.table.label}: {self._row(at, uris)} has a vector with a missing number"
            )

    def _modality(self, block: pa.Table) -> Modality | pa.Array:
        if self.options.modality is not None or not self.exported:
            return self.options.modality or Modality.TEXT
        return _chunk(block["modality"])

    def _texts(self, block: pa.Table, name: str) -> pa.Array:
        column = self._column(block, name, "--text")
        if not (_is_text(column.type) or pa.types.is_null(column.type)):
            raise self._wrong(name, "texts", column.type)
        return column.cast(pa.string())

    def _sparse(self, block: pa.Table) -> tuple[pa.Array, pa.Array] | None:
        if self.options.sparse is None:
            if self.exported and _SPARSE[0] in block.column_names:
                return _chunk(block[_SPARSE[0]]), _chunk(block[_SPARSE[1]])
            return None
        name = self.options.sparse
        column = self._column(block, name, "--sparse")
        if pa.types.is_null(column.type):
            return None
        kept = {f.name for f in column.type} if pa.types.is_struct(column.type) else set()
        weights = next((w for w in ("weights", "values") if w in kept), None)
        if "indices" not in kept or weights is None:
            raise self._wrong(name, '{"indices": [...], "weights": [...]}', column.type)
        return self._sorted(column, pc.struct_field(column, "indices"),
                            pc.struct_field(column, weights))  # fmt: skip

    def _sorted(self, column: pa.Array, indices: Any, weights: Any) -> tuple[pa.Array, pa.Array]:
        """Both lists in the order of the indices, checked; null rows stay null."""
        lengths = [pc.list_value_length(part) for part in (indices, weights)]
        self._demand(pc.equal(*lengths), "has a sparse vector with more indices than weights, or "
                     "fewer")  # fmt: skip
        flat = pc.list_flatten(indices).cast(pa.int64()).to_numpy(zero_copy_only=False)
        values = pc.list_flatten(weights).cast(pa.float32(), safe=False)
        numbers = values.to_numpy(zero_copy_only=False)
        rows = pc.list_parent_indices(indices).to_numpy()
        order = np.lexsort((flat, rows))
        flat, rows = flat[order], rows[order]
        bad = np.zeros(len(column), bool)
        bad[rows[(flat < 0) | (flat > np.iinfo(np.int32).max) | ~np.isfinite(numbers)]] = True
        twice = (np.diff(flat) == 0) & (np.diff(rows) == 0)
        bad[rows[1:][twice]] = True
        self._demand(pa.array(~bad), "has a sparse vector with a weight that is not finite, or an "
                     "index that is negative, too large or there twice")  # fmt: skip
        counts = np.bincount(rows, minlength=len(column))
        offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
        mask = pc.is_null(column)
        return (
            pa.ListArray.from_arrays(offsets, pa.array(flat.astype(np.int32)), mask=mask),
            pa.ListArray.from_arrays(offsets, pa.array(numbers[order]), mask=mask),
        )

    def _metadata(self, block: pa.Table, vector: str) -> dict[str, pa.Array]:
        taken = {self.options.id, vector, self.options.text, self.options.sparse}
        wanted = self.options.metadata
        for name in wanted or ():
            self._column(block, name, "--metadata")
        chosen = wanted if wanted is not None else [
            name for name in block.column_names
            if name not in taken and not (self.exported and name in _OWN)
        ]  # fmt: skip
        true = json.loads(self.table.metadata.get(FIELDS_KEY, b"{}"))
        fields: dict[str, pa.Array] = {}
        for name in chosen:
            for key, array in _flattened(true.get(name, name), _chunk(block[name])):
                kept = field_column(array)
                if kept is None:
                    raise ConfigError(
                        f"{self.table.label}: column '{name}' is of type {array.type}, which no "
                        "field can hold; choose columns with --metadata"
                    )
                fields[key] = kept
        return fields

    def _column(self, block: pa.Table, name: str, flag: str) -> pa.Array:
        if name not in block.column_names:
            raise ConfigError(
                f"{self.table.label}: there is no column '{name}' ({flag}); it has "
                f"{', '.join(block.column_names)}"
            )
        return _chunk(block[name])

    def _wrong(self, name: str, expected: str, got: pa.DataType) -> ConfigError:
        return ConfigError(
            f"{self.table.label}: column '{name}' is of type {got}; expected {expected}"
        )

    def _demand(self, good: Any, what: str, uris: pa.Array | None = None) -> None:
        good = pc.fill_null(good, fill_value=True)
        if not pc.all(good).as_py():
            at = pc.index(good, False).as_py()
            raise ConfigError(
                f"{self.table.label}: {self._row(at, uris)} {what}; correct it or leave it out"
            )

    def _row(self, at: int, uris: pa.Array | None) -> str:
        name = "" if uris is None else f" (id '{uris[at].as_py()}')"
        return f"row {self.rows + at + 1:,}{name}"


@dataclass(kw_only=True)
class _Block:
    """Columns of one block, of whatever modalities."""

    uris: pa.Array
    shared: pa.Array
    tower: Any
    texts: pa.Array | None
    metadata: dict[str, pa.Array]
    sparse: tuple[pa.Array, pa.Array] | None
    spans: Sequence[pa.Array] | None
    clashing: pa.Array | None

    def where(self, mask: pa.Array) -> _Block:
        def kept(array: Any) -> Any:
            return None if array is None else array.filter(mask)

        return _Block(
            uris=kept(self.uris), shared=kept(self.shared), tower=kept(self.tower),
            texts=kept(self.texts), clashing=kept(self.clashing),
            metadata={name: kept(array) for name, array in self.metadata.items()},
            sparse=self.sparse and (kept(self.sparse[0]), kept(self.sparse[1])),
            spans=self.spans and [kept(array) for array in self.spans],
        )  # fmt: skip

    def of(self, modality: Modality) -> SegmentColumns:
        unit, start, end = self.spans or (None, None, None)
        tower = None
        if self.tower is not None and len(self.tower) and self.tower[0].is_valid:
            flat = self.tower.flatten()
            tower = pa.FixedSizeListArray.from_arrays(flat, len(flat) // len(self.tower))
        return SegmentColumns(
            modality=modality, uris=self.uris, shared=self.shared, tower=tower, texts=self.texts,
            sparse=self.sparse, metadata=self.metadata, clashing=self.clashing,
            spans=None if unit is None else (unit, start, end),
        )  # fmt: skip


def field_column(array: pa.Array) -> pa.Array | None:
    """A column as fields keep it (see `SegmentColumns.metadata`); None where none can."""
    kind, is_ = array.type, pa.types
    if is_.is_dictionary(kind):
        return field_column(array.dictionary_decode())
    if is_.is_null(kind) or is_.is_boolean(kind):
        return array
    if _is_text(kind):
        return array.cast(pa.string())
    if is_.is_floating(kind) or is_.is_uint64(kind) or is_.is_decimal(kind):
        numbers = array.cast(pa.float64(), safe=False)
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if is_.is_integer(kind):
        return array.cast(pa.int64())
    return _time_column(array) if is_.is_temporal(kind) else _list_column(array)


def _time_column(array: pa.Array) -> pa.Array | None:
    kind = array.type
    if pa.types.is_date(kind):
        return array.cast(pa.timestamp("s")).cast(pa.timestamp("us"))
    if not pa.types.is_timestamp(kind):
        return None
    # Arrow keeps times with a zone as UTC, so the zone can just be left out.
    return array.cast(pa.timestamp(kind.unit)).cast(pa.timestamp("us"), safe=False)


def _list_column(array: pa.Array) -> pa.Array | None:
    is_, kind = pa.types, array.type
    if not any(lists(kind) for lists in (is_.is_list, is_.is_large_list, is_.is_fixed_size_list)):
        return None
    inner = kind.value_type
    if not (_is_text(inner) or is_.is_primitive(inner) or is_.is_null(inner)):
        return None
    texts = array.cast(pa.list_(pa.string()))
    if not texts.flatten().null_count:
        return texts
    kept = [v and [item for item in v if item is not None] for v in texts.to_pylist()]
    return pa.array(kept, texts.type)


def _flattened(name: str, array: pa.Array) -> Iterator[tuple[str, pa.Array]]:
    """A column, or those of a nested one: ``exif`` becomes ``exif.lens``, ``exif.iso``."""
    if not pa.types.is_struct(array.type):
        yield name, array
        return
    for place, inner in enumerate(array.type):
        yield from _flattened(f"{name}.{inner.name}", pc.struct_field(array, [place]))


def _chunk(column: Any) -> pa.Array:
    """One array of a column; not copied where it is one already."""
    if not isinstance(column, pa.ChunkedArray):
        return column
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole


def _tower(column: Any) -> pa.Array:
    """The tower's embeddings as float16 lists, exactly as they were stored."""
    whole = _chunk(column)
    return whole.cast(pa.list_(pa.float16()), safe=False)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind)) or (
        hasattr(pa.types, "is_string_view") and pa.types.is_string_view(kind)
    )


def _is_vector(kind: pa.DataType) -> bool:
    lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_(kind) for is_ in lists) and bool(
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    )
