"""A collection's folder on local disk: which tables it holds, and who may write to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from polyseek.core.errors import CollectionBusyError, StoreError

LOCK_FILE = ".writer.lock"


class _Located(Protocol):
    location: str


_Arguments = ParamSpec("_Arguments")
_Store = TypeVar("_Store", bound=_Located)


def connect(folder: Path) -> Any:
    """A LanceDB connection of which every read looks for the newest version."""
    import lancedb

    return lancedb.connect(str(folder), read_consistency_interval=timedelta(0))


def content_hashes(assets: Any) -> dict[str, str | None]:
    """The content hash of every asset in the table of records."""
    rows = assets.search().select(["uri", "content_hash"]).to_arrow()
    return dict(zip(rows["uri"].to_pylist(), rows["content_hash"].to_pylist(), strict=True))


def has_table(folder: Path, name: str) -> bool:
    """Whether the table has a version; one whose making was killed has a folder and none."""
    return any((folder / f"{name}.lance" / "_versions").glob("*.manifest"))


@contextmanager
def writer_lock(location: str, folder: Path) -> Iterator[None]:
    """Keep other processes from writing to the collection.

    Args:
        location: What the user calls it, for messages.
        folder: Where it is.

    Raises:
        CollectionBusyError: Another process has the lock.
        StoreError: The folder cannot be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_FILE)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise CollectionBusyError(
            f"{location}: another process is writing to this collection; wait for it, "
            "or index into another one with -c"
        ) from None
    except OSError as error:
        raise StoreError(
            f"{location}: the collection cannot be written: {error.strerror}"
        ) from error
    try:
        yield
    finally:
        lock.release()


def committing(
    write: Callable[Concatenate[_Store, _Arguments], None],
) -> Callable[Concatenate[_Store, _Arguments], None]:
    """A method of a store whose failures are those of its collection, a full disk for example."""

    @wraps(write)
    def checked(store: _Store, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> None:
        try:
            write(store, *args, **kwargs)
        except (OSError, RuntimeError) as error:
            raise StoreError(f"{store.location}: writing failed: {_told(error)}") from error

    return checked


def _told(error: Exception) -> str:
    """What went wrong, without Lance's places in its own source."""
    message = re.sub(r",? \S+\.rs:\d+:\d+", "", str(error))
    if re.search(r"No space left|os error (28|122)\b", message):
        message = "no space left on its disk; make room and run the same command again"
    return message
