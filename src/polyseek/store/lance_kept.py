"""What a Lance store keeps beside segments, each in a table of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

import pyarrow as pa

from polyseek.core.tuning import Tuning
from polyseek.store import layout
from polyseek.store.filter_sql import quote
from polyseek.store.lance_rows import delete_rows
from polyseek.store.places import Place, committing

if TYPE_CHECKING:
    from polyseek.store.lance import LanceStore


class KeptBeside:
    """The third of `polyseek.store.lance.LanceStore` that is not about segments.

    What was read is remembered for as long as the version of its table.
    """

    place: Place
    _tuning: tuple[int, Tuning] | None = None
    _notes: tuple[int, Mapping[str, str]] | None = None
    _attached: tuple[int, dict[str, bytes | None]] | None = None

    @property
    def _store(self) -> LanceStore:
        return cast("LanceStore", self)

    @property
    def tuning(self) -> Tuning | None:
        """See `polyseek.core.protocols.StoreReader`."""
        if not self._store._exists(layout.TUNING):
            return None
        with self._store._reading():
            table = self._store._table(layout.TUNING)
            version = self._store._version_of(table)
            if self._tuning is None or self._tuning[0] != version:
                found = table.to_arrow()["tuning"].to_pylist()
                if not found:  # back at a version before there was any
                    return None
                self._tuning = version, Tuning.from_json(found[0])
        return self._tuning[1]

    @property
    def notes(self) -> Mapping[str, str]:
        """See `polyseek.core.protocols.StoreReader`."""
        if not self._store._exists(layout.NOTES):
            return {}
        with self._store._reading():
            table = self._store._table(layout.NOTES)
            version = self._store._version_of(table)
            if self._notes is None or self._notes[0] != version:
                rows = table.to_arrow()
                texts = zip(rows["name"].to_pylist(), rows["text"].to_pylist(), strict=True)
                self._notes = version, dict(texts)
        return self._notes[1]

    def attachment(self, name: str) -> bytes | None:
        """See `polyseek.core.protocols.StoreReader`."""
        if not self._store._exists(layout.ATTACHMENTS):
            return None
        with self._store._reading():
            table = self._store._table(layout.ATTACHMENTS)
            version = self._store._version_of(table)
            if self._attached is None or self._attached[0] != version:
                self._attached = version, {}
            known = self._attached[1]
            if name not in known:
                rows = table.search().where(f"name = {quote(name)}").limit(1).to_arrow()
                known[name] = rows["data"][0].as_py() if len(rows) else None
        return known[name]

    @committing
    def save_tuning(self, tuning: Tuning) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        rows = pa.table({"tuning": [tuning.to_json()]})
        self._store._tables[layout.TUNING] = self._store._database.create_table(
            layout.TUNING, rows, mode="overwrite"
        )

    @committing
    def save_note(self, name: str, text: str | None) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        kept = {k: v for k, v in {**self.notes, name: text}.items() if v is not None}
        columns = {"name": list(kept), "text": list(kept.values())}
        schema = pa.schema([("name", pa.string()), ("text", pa.string())])
        mode = "overwrite" if self._store._exists(layout.NOTES) else "create"
        self._store._tables[layout.NOTES] = self._store._database.create_table(
            layout.NOTES, pa.table(columns, schema=schema), mode=mode
        )

    @committing
    def attach(self, name: str, data: bytes | None) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        if not self._store._exists(layout.ATTACHMENTS):
            self._store._tables[layout.ATTACHMENTS] = self._store._database.create_table(
                layout.ATTACHMENTS, schema=layout.ATTACHMENTS_SCHEMA, exist_ok=True
            )
        table = self._store._table(layout.ATTACHMENTS)
        if data is None:
            delete_rows(table, "name", [name])
            return
        rows = pa.table({"name": [name], "data": [data]}, schema=layout.ATTACHMENTS_SCHEMA)
        merge = table.merge_insert("name").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(rows)
