"""Versions of a collection: a state is the versions of all its tables.

Lance keeps every version of a table until it is cleaned up. The table ``versions`` lists the states
that count: one per run, with what it did. A state is recorded after all of a run's commits, and
cleaning up spares whatever a listed state needs.

Going back restores one table after the other. It is announced by a row of its own, so one that was
killed half-way is finished by the next writer before it does anything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from polyseek.core.columns import Version
from polyseek.core.errors import StoreError
from polyseek.store import layout
from polyseek.store.lance_copies import Copies
from polyseek.store.metadata import ClashLog

if TYPE_CHECKING:
    from polyseek.store.lance import LanceStore

VERSIONS = "versions"
KEPT = 5
"""Versions that are kept when nobody says how many."""

GRACE = timedelta(hours=1)
"""States that are not listed stay this long, for readers that still have them open."""

COMPACT_GRACE = timedelta(seconds=30)
"""The same when somebody asks for the space: a search takes less."""

MARGIN = timedelta(minutes=1)
"""Lance counts ages from when it gets to it: a process that is held up must not lose a state."""

GOING = "going to"
"""Action of a row that announces a restore; no version of its own."""

_SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("time", pa.timestamp("us"), nullable=False),
        pa.field("action", pa.string(), nullable=False),
        ("detail", pa.string()),
        ("tables", pa.string()),
    ]
)


def versions(store: LanceStore) -> list[Version]:
    """See `polyseek.core.protocols.VersionedStore`."""
    return [version for version in _rows(store) if version.action != GOING]


def record(store: LanceStore, action: str, detail: Mapping[str, object]) -> None:
    """See `polyseek.core.protocols.VersionedStore`."""
    rows = _rows(store)
    known = rows[-1].tables if rows else {}
    tables = _tables_now(store, known)
    if tables == known and rows[-1].action != GOING:
        return
    _append(store, rows, action, detail, tables)
    _forget(store, KEPT)


def mark(store: LanceStore) -> Version:
    """See `polyseek.core.protocols.VersionedStore`."""
    tables = {name: [int(table.version), ""] for name, table in state(store).items()}
    return Version(number=0, time=datetime.now(UTC), action="mark", tables=tables)


def at(store: LanceStore, version: Version) -> LanceStore:
    """See `polyseek.core.protocols.VersionedStore`."""
    frozen = copy(store)
    frozen.frozen = f"version {version.number}"
    frozen._tables = {}
    frozen._copies = Copies(frozen, resident=store._copies.resident)
    frozen._counted = frozen._tuning = None
    frozen._clashes = ClashLog()
    for name, (number, _) in version.tables.items():
        table = store._database.open_table(name)
        try:
            table.checkout(number)
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(
                f"{store.location}: version {version.number} cannot be read any more: {error}"
            ) from error
        frozen._tables[name] = table
    return frozen


def restore(store: LanceStore, version: Version) -> None:
    """See `polyseek.core.protocols.VersionedStore`."""
    if version.number:
        _append(store, _rows(store), GOING, {"version": version.number}, version.tables)
    _go(store, version)


def finish(store: LanceStore) -> None:
    """Finish a restore that was killed half-way; called before anything is written."""
    if not store._exists(VERSIONS):
        return
    rows = _rows(store)
    if rows and rows[-1].action == GOING:
        _go(store, rows[-1])
        record(store, "rollback", {**rows[-1].detail, "finished": "after it was interrupted"})


def compact(store: LanceStore, keep: int) -> None:
    """See `polyseek.core.protocols.VersionedStore`."""
    _forget(store, keep)
    store.tidy(grace=COMPACT_GRACE, compact=True)
    rows = _rows(store)
    if rows:  # the last version is the rewritten state now, or the one before would stay for it
        tables = json.dumps(_tables_now(store, rows[-1].tables))
        table = store._table(VERSIONS)
        table.update(where=f"number = {rows[-1].number}", values={"tables": tables})
        store.tidy(grace=COMPACT_GRACE, compact=True)


def oldest(store: LanceStore) -> dict[str, datetime]:
    """When the oldest version of each table was made that a listed state needs."""
    found: dict[str, datetime] = {}
    for version in _rows(store):
        for name, (_, made) in version.tables.items():
            time = datetime.fromisoformat(made)
            found[name] = min(found.get(name, time), time)
    return found


def spared(needed: datetime | None, grace: timedelta) -> timedelta:
    """How old a version of a table must be to be cleaned up, from now.

    Args:
        needed: When the oldest version was made that is needed; None for none.
        grace: How long versions stay that nobody needs.
    """
    if needed is None:
        return grace
    return max(grace, datetime.now(UTC) - needed + MARGIN)


def state(store: LanceStore) -> dict[str, Any]:
    """The tables that make up the collection, by name."""
    return {table.name: table for _, table in store._all_tables()}


def _tables_now(store: LanceStore, known: Mapping[str, Any]) -> dict[str, Any]:
    """Version of every table and when it was made; what is known already is not looked up."""
    found = {}
    for name, table in state(store).items():
        number, before = int(table.version), known.get(name)
        found[name] = before if before and before[0] == number else [number, _made(table, number)]
    return found


def _go(store: LanceStore, version: Version) -> None:
    """Bring every table to its version; the records last, so that they vouch for nothing wrong."""
    tables = state(store)
    for name in sorted(tables, key=lambda name: name == layout.ASSETS):
        table = tables[name]
        if name not in version.tables:
            if not version.number:
                store._drop(name)
            elif table.count_rows():
                table.delete("TRUE")  # it did not exist then
        elif int(table.version) != version.tables[name][0]:
            table.checkout(version.tables[name][0])
            table.restore()
            table.checkout_latest()


def _rows(store: LanceStore) -> list[Version]:
    if not store._exists(VERSIONS):
        return []
    rows = store._table(VERSIONS).to_arrow().sort_by("number").to_pylist()
    return [
        Version(
            number=row["number"],
            time=row["time"].replace(tzinfo=UTC),
            action=row["action"],
            detail=json.loads(row["detail"]),
            tables=json.loads(row["tables"]),
        )
        for row in rows
    ]


def _append(
    store: LanceStore,
    rows: Sequence[Version],
    action: str,
    detail: Mapping[str, object],
    tables: Mapping[str, object],
) -> None:
    """Add a row; one that announced a restore gives its place to what came of it."""
    announced = bool(rows) and rows[-1].action == GOING
    number = (rows[-1].number + (not announced)) if rows else 1
    row = pa.table(
        [
            [number], [datetime.now(UTC).replace(tzinfo=None)], [action],
            [json.dumps(detail, default=str)], [json.dumps(tables)],
        ],
        schema=_SCHEMA,
    )  # fmt: skip
    if not store._exists(VERSIONS):
        store._tables[VERSIONS] = store._database.create_table(VERSIONS, schema=_SCHEMA)
    table = store._table(VERSIONS)
    merge = table.merge_insert("number").when_matched_update_all().when_not_matched_insert_all()
    merge.execute(row)


def _forget(store: LanceStore, keep: int) -> None:
    numbers = [version.number for version in _rows(store)]
    if len(numbers) > keep:
        store._table(VERSIONS).delete(f"number < {numbers[-keep]}")


def _made(table: Any, number: int) -> str:
    """When a table's version was committed."""
    found = next(v["timestamp"] for v in table.list_versions() if v["version"] == number)
    return _utc(found).isoformat()


def _utc(time: datetime) -> datetime:
    """Lance tells local time without a zone."""
    return time.astimezone(UTC)
