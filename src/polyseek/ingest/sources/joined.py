"""A metadata table by the path its rows belong to: on disk, so its size takes no memory."""

from __future__ import annotations

import pickle
import sqlite3
import weakref
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from polyseek.core.texts import well_formed
from polyseek.core.types import Metadata

_NOWHERE = ""
"""SQLite's name for a file that has none, so nothing is left of it however the process ends."""


class JoinedTable(Mapping[str, Metadata]):
    """Rows by path; of several with the same path the last.

    They are there for the process that made it, which lists assets. Pickled, it has none to ask
    for: that is for workers, which open them.

    Args:
        rows: Paths and fields.

    Raises:
        OSError: There is no room for it.
    """

    def __init__(self, rows: Iterable[tuple[str, Metadata]]) -> None:
        self._database = sqlite3.connect(_NOWHERE, check_same_thread=False)
        weakref.finalize(self, self._database.close)
        try:
            self._database.executescript("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;")
            with self._database:
                self._database.execute("CREATE TABLE rows (path TEXT PRIMARY KEY, fields BLOB)")
                self._database.executemany(
                    "INSERT OR REPLACE INTO rows VALUES (?, ?)",
                    ((well_formed(path), pickle.dumps(fields)) for path, fields in rows),
                )
        except sqlite3.Error as error:
            raise OSError(f"no room for it where temporary files are: {error}") from error

    def __getitem__(self, path: str) -> Metadata:
        row = self._database.execute(
            "SELECT fields FROM rows WHERE path = ?", (well_formed(path),)
        ).fetchone()
        if row is None:
            raise KeyError(path)
        found: Metadata = pickle.loads(row[0])  # noqa: S301 - what this process has written
        return found

    def __iter__(self) -> Iterator[str]:
        for (path,) in self._database.execute("SELECT path FROM rows ORDER BY rowid"):
            yield path

    def __len__(self) -> int:
        (count,) = self._database.execute("SELECT count(*) FROM rows").fetchone()
        return int(count)

    def __getstate__(self) -> dict[str, Any]:
        return {}
