"""Buckets: S3 and what speaks its language, Google Cloud Storage, Azure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, SourceError, SourceNotFoundError
from polyseek.core.objects import (
    bucket_of,
    explain,
    has_no_bucket,
    scheme_of,
    split_uri,
    split_url,
    uri_of_key,
)
from polyseek.core.types import Asset
from polyseek.ingest.sources.listing import Entry, assets_of, with_sidecar
from polyseek.ingest.sources.metadata import read_table
from polyseek.ingest.sources.remote import open_object
from polyseek.ingest.sources.selection import Selection

if TYPE_CHECKING:
    from obstore import ObjectMeta

PAGE_KEYS = 1000
_CONTENT_TAG = re.compile(r'"[0-9a-f]{32}(-\d+)?"')
"""Of S3 without encryption: a hash of the content."""


class ObjectSource:
    """All objects below a prefix of a bucket, or a single one: ``s3://bucket/prefix``.

    Rules for what is hidden and what belongs together are those of `FileSource`. Sidecars are read
    by the workers, and only for assets that have changed.

    Args:
        url: The key in it as people type it, not quoted.
        options: `include`, `exclude` and `metadata` are used.

    Raises:
        SourceError: The metadata table cannot be read or joined.
    """

    def __init__(self, url: str, options: IndexOptions | None = None) -> None:
        options = options or IndexOptions()
        self.url = url
        self._bucket, self._key = split_url(url)
        self._selection = Selection(options)
        self._table = read_table(options.metadata) if options.metadata else {}

    def list(self) -> Iterator[Asset | AssetError]:
        """See `polyseek.core.protocols.Source`."""
        yield from assets_of(self._entries(), self._selection, self._table)

    def open(self, asset: Asset) -> BinaryIO:
        """See `polyseek.core.protocols.Source`."""
        return open_object(asset)

    def detail(self, asset: Asset) -> Asset:
        """See `polyseek.core.protocols.DetailedSource`."""
        return with_sidecar(asset, self.open)

    def covers(self, uri: str) -> bool:
        """See `polyseek.core.protocols.Source`."""
        if scheme_of(uri) != scheme_of(self.url):
            return False
        bucket, key = split_uri(uri)
        if bucket != self._bucket or not key:
            return False
        if key == self._key:
            return True
        above = f"{self._key}/" if self._key else ""
        return key.startswith(above) and self._selection.covers(key.removeprefix(above))

    def joined(self) -> Iterator[tuple[str, bool]]:
        """See `polyseek.core.protocols.JoiningSource`."""
        if self._table:
            there = {entry.path for entry in self._entries()}
            yield from ((path, path in there) for path in self._table)

    def _entries(self) -> Iterator[Entry]:
        import obstore
        from obstore.exceptions import BaseError

        above = f"{self._key}/" if self._key else ""
        store, found = bucket_of(self._bucket), False
        try:
            for page in obstore.list(store, self._key or None, chunk_size=PAGE_KEYS):
                for meta in page:
                    found = True
                    if meta["path"] == self._key:  # some tools make an object for a folder
                        continue
                    yield self._entry(meta, meta["path"].removeprefix(above))
            if not found and self._key:
                meta = obstore.head(store, self._key)
                yield self._entry(meta, self._key.rpartition("/")[2])
        except FileNotFoundError as error:
            if has_no_bucket(error):
                raise self._error(error) from error
        except (BaseError, OSError, ValueError) as error:
            raise self._error(error) from error

    def _entry(self, meta: ObjectMeta, path: str) -> Entry:
        etag, size = meta["e_tag"], meta["size"]
        of_content = bool(etag and self._bucket.startswith("s3:") and _CONTENT_TAG.fullmatch(etag))
        return Entry(
            path=path,
            uri=uri_of_key(self._bucket, meta["path"]),
            size_bytes=size,
            modified=meta["last_modified"],
            etag=etag,
            content_hash=f"s3 {etag} {size}" if of_content else None,
        )

    def _error(self, error: Exception) -> SourceError:
        kind = SourceNotFoundError if has_no_bucket(error) else SourceError
        return kind(f"{self.url}: cannot be listed: {explain(self.url, error)}")
