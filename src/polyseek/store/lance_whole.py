"""What a Lance store does with a collection as a whole: columns, versions, generations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from polyseek.core.columns import SegmentColumns, Version
from polyseek.core.filters import Filter
from polyseek.store import (
    lance_columns,
    lance_generations,
    lance_text,
    lance_versions,
    layout,
)
from polyseek.store.places import Place, committing

if TYPE_CHECKING:
    from polyseek.store.lance import LanceStore


class WholeCollection:
    """The half of `polyseek.store.lance.LanceStore` that its protocols add to a plain store."""

    place: Place
    location: str

    @property
    def _store(self) -> LanceStore:
        return cast("LanceStore", self)

    @committing
    def record_assets(self) -> None:
        """See `polyseek.core.protocols.ColumnStore`."""
        lance_columns.record(self._store)

    @committing
    def upsert_columns(self, chunks: Iterable[SegmentColumns]) -> int:
        """See `polyseek.core.protocols.ColumnStore`."""
        return lance_columns.upsert(self._store, chunks)

    def export(self, condition: Filter | None = None) -> pa.RecordBatchReader:
        """See `polyseek.core.protocols.ColumnStore`."""
        with self._store._reading():
            return lance_columns.export_rows(self._store, condition)

    def lacks(self) -> Sequence[str]:
        """See `polyseek.core.protocols.AgedStore`."""
        with self._store._reading():
            tables = list(self._store._all_tables())
            found = []
            if any(m and not lance_text.searchable(table) for m, table in tables):
                found.append("words: its texts are not searched by their words")
            if any(layout.lacks_key(table) for _, table in tables):
                found.append("primary keys: two writers at once could double a row")
            if self._store.counts() and not lance_versions.versions(self._store):
                found.append(
                    "versions: nobody knows what it was made of, and nothing to go back to"
                )
        return found

    def versions(self) -> Sequence[Version]:
        """See `polyseek.core.protocols.VersionedStore`."""
        with self._store._reading():
            return lance_versions.versions(self._store)

    @committing
    def record_version(self, action: str, detail: Mapping[str, object]) -> None:
        """See `polyseek.core.protocols.VersionedStore`."""
        lance_versions.record(self._store, action, detail)

    def mark(self) -> Version:
        """See `polyseek.core.protocols.VersionedStore`."""
        with self._store._reading():
            return lance_versions.mark(self._store)

    def at(self, version: Version) -> LanceStore:
        """See `polyseek.core.protocols.VersionedStore`."""
        with self._store._reading():
            return lance_versions.at(self._store, version)

    @committing
    def restore(self, version: Version) -> None:
        """See `polyseek.core.protocols.VersionedStore`."""
        lance_versions.restore(self._store, version)

    @committing
    def compact(self, keep: int) -> None:
        """See `polyseek.core.protocols.VersionedStore`."""
        lance_versions.compact(self._store, keep)

    def generations(self) -> Sequence[str]:
        """See `polyseek.core.protocols.SwitchingStore`."""
        with self._store._reading():
            return lance_generations.history(self._store)

    @committing
    def serve(self, generations: Sequence[str]) -> None:
        """See `polyseek.core.protocols.SwitchingStore`."""
        lance_generations.serve(self._store, generations)

    @committing
    def clear(self) -> None:
        """See `polyseek.core.protocols.SwitchingStore`."""
        lance_generations.clear(self._store)
        self._store.tidy(grace=timedelta(minutes=1))

    @committing
    def remove(self) -> None:
        """See `polyseek.core.protocols.SwitchingStore`."""
        lance_generations.remove(self._store)
