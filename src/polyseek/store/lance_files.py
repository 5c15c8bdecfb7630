"""A collection in a folder on a local disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

from polyseek.core.errors import CollectionBusyError, StoreError
from polyseek.store.version import VersionWatch

LOCK_FILE = ".writer.lock"


class Folder:
    """See `polyseek.store.places.Place`: one writer by a file lock, versions by the folder's time.

    Args:
        location: A path.
    """

    distant = False

    def __init__(self, location: str) -> None:
        self.location = location
        self._folder = Path(location).absolute()  # the working folder may change
        self._versions = VersionWatch()

    def connect(self) -> Any:
        """Of this connection, every read looks for the newest version."""
        import lancedb

        return lancedb.connect(str(self._folder), read_consistency_interval=timedelta(0))

    def has_table(self, name: str) -> bool:
        """See `polyseek.store.places.Place`."""
        return any((self._folder / f"{name}.lance" / "_versions").glob("*.manifest"))

    def version_of(self, table: Any) -> int:
        """See `polyseek.store.places.Place`."""
        return self._versions.of(table, self._folder / f"{table.name}.lance")

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `polyseek.store.places.Place`.

        Raises:
            CollectionBusyError: Another process has the lock.
            StoreError: The folder cannot be written.
        """
        from filelock import FileLock, Timeout

        lock = FileLock(self._folder / LOCK_FILE)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            lock.acquire(timeout=0)
        except Timeout:
            raise CollectionBusyError(
                f"{self.location}: another process is writing to this collection; wait for it, "
                "or index into another one with -c"
            ) from None
        except OSError as error:
            raise StoreError(
                f"{self.location}: the collection cannot be written: {error.strerror}"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def renew(self, tables: list[Any]) -> None:
        """Nothing to do: every read is new."""

    def check(self) -> None:
        """Nothing to do: a file lock is not lost."""

    def wrote(self) -> None:
        """Nothing to do: the folder's time tells."""

    def dropped(self, name: str) -> None:
        """Nothing to do: the disk is asked every time."""

    def vacate(self) -> None:
        """See `polyseek.store.places.Place`; a folder that holds something else stays."""
        (self._folder / LOCK_FILE).unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()

    def explain(self, error: Exception) -> str:
        """What went wrong, without Lance's places in its own source."""
        message = re.sub(r",? \S+\.rs:\d+:\d+", "", str(error))
        if re.search(r"No space left|os error (28|122)\b", message):
            message = "no space left on its disk; make room and run the same command again"
        return message
