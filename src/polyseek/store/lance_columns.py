"""Columns in and out of Lance tables, by the million: one commit for all rows that are new."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from polyseek.core.columns import SegmentColumns
from polyseek.core.errors import ConfigError
from polyseek.core.filters import FieldType, Filter, check
from polyseek.core.types import Modality
from polyseek.store import columns as rows
from polyseek.store import export, inverted, layout
from polyseek.store.columns import Seen

if TYPE_CHECKING:
    from polyseek.store.lance import LanceStore

MERGE_ROWS = 32_768
"""Rows that replace stored ones are merged in pieces of this many: Lance joins them in memory."""


def upsert(store: LanceStore, chunks: Iterable[SegmentColumns]) -> int:
    """See `polyseek.core.protocols.ColumnStore`."""
    return _Upsert(store).run(chunks)


def record(store: LanceStore) -> None:
    """See `polyseek.core.protocols.ColumnStore`."""
    parts = {
        modality: table.search().select(["asset_uri"]).to_arrow()["asset_uri"]
        for modality, table in store._segment_tables()
    }
    assets = store._table(layout.ASSETS)
    found = rows.records(parts, assets.to_arrow())
    if found is not None:
        merge = assets.merge_insert("uri").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(pa.Table.from_batches([rows.fill(found, assets.schema)]))


def export_rows(store: LanceStore, condition: Filter | None) -> pa.RecordBatchReader:
    """See `polyseek.core.protocols.ColumnStore`."""
    fields = store.fields()
    checked = check(condition, fields) if condition is not None else None
    return export.reader(
        store.manifest, fields, [(m, table) for m, table in store._segment_tables()], checked
    )


class _Upsert:
    """One upsert under way: ids that have come, and rows that must be merged."""

    def __init__(self, store: LanceStore) -> None:
        self._store = store
        self._came: dict[Modality, Seen] = {}
        self._stored: dict[Modality, Seen] = {}
        self._waiting: list[tuple[Modality, pa.Table]] = []
        self._failed: BaseException | None = None
        self._schema: pa.Schema | None = None
        self._next: SegmentColumns | None = None
        self.replaced = 0

    def run(self, chunks: Iterable[SegmentColumns]) -> int:
        """Append what is new as one stream per table and schema, and merge the rest."""
        self._chunks = iter(chunks)
        chunk = next(self._chunks, None)
        while chunk is not None:
            chunk = self._append(chunk)
            self._merge()
        return self.replaced

    def _append(self, first: SegmentColumns) -> SegmentColumns | None:
        """Stream chunks into a table for as long as its columns suffice; the one that does not."""
        fields = rows.evolved(self._store.fields(), first)
        table = self._store._ready_table(
            first.modality,
            fields,
            [rows.kinds_of(first)],
            tower_dim=self._store.manifest.tower_dims.get(first.modality),
        )
        if first.sparse is not None and inverted.INDICES not in table.schema.names:
            table.add_columns(list(inverted.FIELDS))
        self._schema = table.schema
        fresh = self._fresh(first, fields)
        head = next(fresh, None)
        if head is not None:
            reader = pa.RecordBatchReader.from_batches(
                self._schema.remove_metadata(), self._caught(head, fresh)
            )
            try:
                table.add(reader)
            except Exception:
                if self._failed is not None:  # Lance only passes its text on
                    raise self._failed from None
                raise
        return self._next

    def _caught(
        self, head: pa.RecordBatch, rest: Iterator[pa.RecordBatch]
    ) -> Iterator[pa.RecordBatch]:
        yield head
        try:
            yield from rest
        except BaseException as error:
            self._failed = error
            raise

    def _fresh(
        self, first: SegmentColumns, fields: Mapping[str, FieldType]
    ) -> Iterator[pa.RecordBatch]:
        """The rows of this and the following chunks that the table does not have yet."""
        assert self._schema is not None  # noqa: S101 - the caller's case
        chunk: SegmentColumns | None = first
        self._next = None
        while chunk is not None:
            if chunk is not first and not self._fits(chunk, first.modality, fields):
                self._next = chunk
                return
            ids, numbers = rows.ids_of(chunk)
            self._demand_once(chunk, numbers)
            old = self._stored_ids(chunk.modality).has(numbers)
            whole = rows.to_rows(chunk, ids, fields)
            if old.any():
                self._waiting.append((chunk.modality, whole.filter(pa.array(old))))
                self.replaced += int(old.sum())
                whole = whole.filter(pa.array(~old))
            if len(whole):
                yield rows.fill(whole, self._schema)
            chunk = next(self._chunks, None)

    def _fits(
        self, chunk: SegmentColumns, modality: Modality, fields: Mapping[str, FieldType]
    ) -> bool:
        assert self._schema is not None  # noqa: S101 - the caller's case
        if sum(len(part) for _, part in self._waiting) >= MERGE_ROWS:
            return False
        names = set(self._schema.names)
        return (
            chunk.modality is modality
            and rows.evolved(fields, chunk) == fields
            and all(layout.column_of(name) in names for name in rows.kinds_of(chunk))
            and (chunk.sparse is None or inverted.INDICES in names)
        )

    def _demand_once(self, chunk: SegmentColumns, numbers: Any) -> None:
        came = self._came.setdefault(chunk.modality, Seen())
        again = came.has(numbers)
        order = np.argsort(numbers, kind="stable")
        again[order[1:]] |= numbers[order][1:] == numbers[order][:-1]
        if again.any():
            uri = chunk.uris[int(np.flatnonzero(again)[0])].as_py()
            raise ConfigError(f"id '{uri}' comes twice; ids must differ. Leave one of its rows out")
        came.add(numbers)

    def _stored_ids(self, modality: Modality) -> Seen:
        if modality not in self._stored:
            self._stored[modality] = Seen()
            table = self._store._table(layout.segments_table(modality))
            for batch in table.search().select(["id"]).to_batches():
                self._stored[modality].add(rows.numbers_of(batch["id"]))
        return self._stored[modality]

    def _merge(self) -> None:
        waiting, self._waiting = self._waiting, []
        for modality, part in waiting:
            table = self._store._table(layout.segments_table(modality))
            schema = table.schema
            batch = pa.Table.from_batches([rows.fill(part, schema)])
            table.merge_insert("id").when_matched_update_all().execute(batch)
