"""Lists of URLs: ``manifest:PATH_OR_URL``, and such files on the web."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cached_property
from itertools import islice
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, SourceError
from polyseek.core.objects import scheme_of
from polyseek.core.types import Asset, Metadata
from polyseek.ingest.sources.files import local_path
from polyseek.ingest.sources.listing import Entry, assets_of
from polyseek.ingest.sources.locate import open_uri, uri_of
from polyseek.ingest.sources.metadata import flatten_metadata, rows_of
from polyseek.ingest.sources.remote import client_of, failed, open_object
from polyseek.ingest.sources.selection import Selection

SUFFIXES = frozenset({".txt", ".csv", ".tsv", ".jsonl", ".ndjson", ".parquet", ".pq"})
COLUMNS = ("url", "uri", "path", "file_name")
AT_ONCE = 16
"""Requests at a time that ask for the length and etag of what is listed."""


class ManifestSource:
    """A file with a URL in every line or row; the other columns of a table are metadata.

    Lines are URLs or paths relative to the manifest; blank ones and those that begin with ``#``
    do not count. An asset that leaves the list stays in the collection.

    Args:
        location: ``manifest:`` and a path or URL.
        options: `include` and `exclude` are used, on paths like ``host/folder/name``.
    """

    def __init__(self, location: str, options: IndexOptions | None = None) -> None:
        self.location = location.removeprefix("manifest:")
        self._uri = uri_of(self.location)
        self._selection = Selection(options or IndexOptions())

    def list(self) -> Iterator[Asset | AssetError]:
        """See `polyseek.core.protocols.Source`."""
        wanted = [uri for uri in self._rows if self._selection.wants(path_of(uri))]
        for found in described((uri, path_of(uri)) for uri in wanted):
            if isinstance(found, AssetError):
                yield found
            else:
                yield from assets_of([found], self._selection, {found.path: self._rows[found.uri]})

    def open(self, asset: Asset) -> BinaryIO:
        """See `polyseek.core.protocols.Source`."""
        if scheme_of(asset.uri) != "file":
            return open_object(asset)
        return open_uri(asset.uri)

    def covers(self, uri: str) -> bool:
        """See `polyseek.core.protocols.Source`."""
        return uri in self._rows

    @cached_property
    def _rows(self) -> dict[str, Metadata]:
        suffix = PurePosixPath(urlsplit(self._uri).path).suffix.lower()
        try:
            with open_uri(self._uri) as file:
                if suffix in (".txt", ""):
                    rows = [{"url": line} for line in file.read().decode().splitlines()]
                    rows = [row for row in rows if row["url"].strip()[:1] not in ("", "#")]
                else:
                    rows = list(rows_of(suffix, file))
        except (AssetError, OSError, ValueError, RecursionError) as error:
            told = error.reason if isinstance(error, AssetError) else error
            raise SourceError(f"{self.location}: cannot be read as a manifest: {told}") from error
        column = next((name for name in COLUMNS if rows and name in rows[0]), "")
        if rows and not column:
            raise SourceError(f"{self.location}: needs a column named 'url'; it has {[*rows[0]]}")
        found: dict[str, Metadata] = {}
        for row in rows:
            given = row.pop(column, None)
            if given:
                uri = absolute(str(given).strip(), self._uri)
                found.setdefault(uri, flatten_metadata(row))
        return found


def absolute(given: str, base: str) -> str:
    """A URL as it is, a path relative to the folder of a uri."""
    if scheme_of(given) is not None:
        return given
    if given.startswith("/"):
        root = "file://" if scheme_of(base) == "file" else "/".join(base.split("/")[:3])
        return root + quote(given)
    return f"{base.rpartition('/')[0]}/{quote(given.removeprefix('./'))}"


def path_of(uri: str) -> str:
    """The path of an asset of a list: its host or bucket, and what it is called there."""
    parts = urlsplit(uri)
    return f"{parts.netloc}/{unquote(parts.path).lstrip('/')}".lstrip("/")


def described(named: Iterator[tuple[str, str]]) -> Iterator[Entry | AssetError]:
    """Length and etag of objects given by uri and path, in their order, several asked at once."""
    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="polyseek-head") as pool:
        while block := list(islice(named, AT_ONCE * 16)):
            yield from pool.map(_described, block)


def _described(named: tuple[str, str]) -> Entry | AssetError:
    import obstore
    from obstore.exceptions import BaseError

    uri, path = named
    try:
        if scheme_of(uri) == "file":
            status = local_path(uri).stat()
            modified = datetime.fromtimestamp(status.st_mtime, UTC)
            size, etag = status.st_size, f"{status.st_size}-{status.st_mtime_ns}"
            return Entry(path=path, uri=uri, size_bytes=size, modified=modified, etag=etag)
        store, key = client_of(uri)
        meta = obstore.head(store, key)
    except (BaseError, OSError, ValueError) as error:
        gone = isinstance(error, FileNotFoundError)
        return AssetError(uri, "is not there") if gone else failed(uri, error)
    return Entry(
        path=path,
        uri=uri,
        size_bytes=meta["size"],
        modified=meta["last_modified"],
        etag=meta["e_tag"],
    )
