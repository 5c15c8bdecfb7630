"""A collection below a prefix of a bucket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from polyseek.core.errors import StoreError
from polyseek.core.objects import (
    bucket_of,
    explain,
    folders_in,
    split_url,
    storage_options,
    uri_of_key,
)
from polyseek.store.lease import LEASE, Lease
from polyseek.store.version import PolledVersions

if TYPE_CHECKING:
    from obstore.store import ObjectStore

REFRESH_S = 1.0
"""How long a reader may not see what another process has written; asking costs a request."""


class Bucket:
    """See `polyseek.store.places.Place`: one writer by a lease, versions asked for now and then.

    Args:
        location: ``s3://bucket/prefix``.
    """

    distant = True

    def __init__(self, location: str) -> None:
        self.location = location
        self._url, key = split_url(location)
        self._prefix = f"{key}/" if key else ""
        self._versions = PolledVersions(REFRESH_S)
        self._found: set[str] = set()
        self._looked_at_s = float("-inf")
        self._lease: Lease | None = None

    def connect(self) -> Any:
        """Of this connection, a read looks for newer versions once in `REFRESH_S`."""
        import lancedb

        return lancedb.connect(
            uri_of_key(self._url, self._prefix).rstrip("/"),
            read_consistency_interval=timedelta(seconds=REFRESH_S),
            storage_options=storage_options(self._url),
        )

    def has_table(self, name: str) -> bool:
        """See `polyseek.store.places.Place`; one that appears is seen after `REFRESH_S`."""
        now_s = time.monotonic()
        if name not in self._found and now_s - self._looked_at_s >= REFRESH_S:
            self._look()
            self._looked_at_s = now_s
        return name in self._found

    def version_of(self, table: Any) -> int:
        """See `polyseek.store.places.Place`."""
        return self._versions.of(table)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `polyseek.store.places.Place`.

        Raises:
            CollectionBusyError: Another process has the lease.
            StoreError: The bucket cannot be written.
        """
        lease = Lease(bucket_of(self._url), self._prefix + LEASE, self.location)
        with lease.held():
            self._lease = lease
            try:
                yield
            finally:
                self._lease = None

    def renew(self, tables: list[Any]) -> None:
        """See `polyseek.store.places.Place`."""
        self._looked_at_s = float("-inf")
        for table in tables:
            table.checkout_latest()
        self._versions.forget()

    def check(self) -> None:
        """See `polyseek.store.places.Place`."""
        if self._lease is not None:
            self._lease.check()

    def wrote(self) -> None:
        """What was written here is seen here at once."""
        self._versions.forget()

    def dropped(self, name: str) -> None:
        """See `polyseek.store.places.Place`."""
        self._found.discard(name)

    def vacate(self) -> None:
        """Nothing to do: the lease ends with the writing, and its object is no collection."""

    def explain(self, error: Exception) -> str:
        """See `polyseek.store.places.Place`."""
        return explain(self._url, error)

    def _look(self) -> None:
        """Find the tables: those below the prefix with a version."""
        from obstore.exceptions import BaseError

        folders = [f for f in folders_in(self.location) if f.endswith(".lance")]
        new = sorted({f.removesuffix(".lance") for f in folders} - self._found)
        store = bucket_of(self._url)
        try:
            with ThreadPoolExecutor(max(1, len(new))) as pool:
                there = pool.map(lambda name: self._has_version(store, name), new)
                self._found.update(name for name, found in zip(new, there, strict=True) if found)
        except (BaseError, OSError, ValueError) as error:
            raise StoreError(f"{self.location}: {explain(self._url, error)}") from error

    def _has_version(self, store: ObjectStore, name: str) -> bool:
        import obstore

        return bool(next(obstore.list(store, f"{self._prefix}{name}.lance/_versions"), None))
