"""Which of several indexes of one collection answers: a row in a table, so switching is one commit.

The collection's own tables are the first generation, ``""``. Others are whole collections below it,
in ``generations/NAME``; the last row of the table ``serving`` names the one in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from polyseek.store import layout
from polyseek.store.lance_versions import VERSIONS

if TYPE_CHECKING:
    from polyseek.store.lance import LanceStore

SERVING = "serving"
_SCHEMA = pa.schema([("number", pa.int64()), ("generation", pa.string())])


def history(store: LanceStore) -> list[str]:
    """See `polyseek.core.protocols.SwitchingStore`."""
    if not store._exists(SERVING):
        return [""]
    rows = store._table(SERVING).to_arrow().sort_by("number")
    return list(rows["generation"].to_pylist())


def serve(store: LanceStore, names: Sequence[str]) -> None:
    """See `polyseek.core.protocols.SwitchingStore`."""
    rows = pa.table([list(range(len(names))), list(names)], schema=_SCHEMA)
    store._tables[SERVING] = store._database.create_table(SERVING, rows, mode="overwrite")


def clear(store: LanceStore) -> None:
    """See `polyseek.core.protocols.SwitchingStore`."""
    _drop(store, [layout.TUNING, layout.ATTACHMENTS, VERSIONS])
    store._table(layout.ASSETS).delete("TRUE")


def remove(store: LanceStore) -> None:
    """See `polyseek.core.protocols.SwitchingStore`; the records, which make it one, go last."""
    beside = [layout.TUNING, layout.ATTACHMENTS, layout.NOTES, VERSIONS, SERVING]
    _drop(store, [*beside, layout.ASSETS])
    store.place.vacate()


def _drop(store: LanceStore, names: Sequence[str]) -> None:
    """Remove the segments' tables and these."""
    segments = [layout.segments_table(m) for m, _ in store._segment_tables()]
    for name in [*segments, *names]:
        if store._exists(name):
            store._drop(name)
