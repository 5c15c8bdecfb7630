"""Opening remote objects: one request for a small one, ranges as needed for a large one."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from polyseek.core.errors import AssetError
from polyseek.core.objects import BUCKETS, bucket_of, explain, scheme_of, split_uri, web_of
from polyseek.core.types import Asset
from polyseek.ingest.sources.reader import BLOCK_BYTES, RangeReader

if TYPE_CHECKING:
    from obstore.store import ObjectStore

SMALL_BYTES = 4 * BLOCK_BYTES
"""Up to here an object comes whole with the first request."""

_SPOOLED_BYTES = 64 * BLOCK_BYTES


def client_of(uri: str) -> tuple[ObjectStore, str]:
    """What reaches an asset with this uri, and what it is called there."""
    if scheme_of(uri) in BUCKETS:
        bucket, key = split_uri(uri)
        return bucket_of(bucket), key
    parts = urlsplit(uri)
    origin = f"{parts.scheme}://{parts.netloc}"
    return web_of(origin, parts.query), unquote(parts.path).strip("/")


def open_object(asset: Asset) -> BinaryIO:
    """The bytes of an object, as they were when it was listed.

    Args:
        asset: Its `etag` begins with the server's (see `tag_of`); a size of 0 is not known.

    Raises:
        AssetError: It is gone, has changed, or cannot be fetched.
    """
    import obstore
    from obstore.exceptions import BaseError, NotSupportedError

    store, key = client_of(asset.uri)
    try:
        size, etag = asset.size_bytes, server_tag(asset)
        if not size:
            meta = obstore.head(store, key)
            size, etag = meta["size"], etag or meta["e_tag"]
        head_bytes = size if size <= SMALL_BYTES else BLOCK_BYTES
        if not size:
            return cast("BinaryIO", RangeReader(asset.uri, lambda *_: b"", 0))
        try:
            head = _range(store, key, etag, (0, head_bytes))
        except NotSupportedError:  # a web server that knows no ranges
            return _spooled(store, key)
    except (BaseError, OSError, ValueError) as error:
        raise failed(asset.uri, error) from error

    def fetch(start: int, end: int) -> bytes:
        try:
            data = _range(store, key, etag, (start, end))
        except (BaseError, OSError, ValueError) as error:
            raise failed(asset.uri, error) from error
        if len(data) != end - start:
            raise AssetError(asset.uri, f"{end - start:,} bytes expected, {len(data):,} came")
        return data

    return cast("BinaryIO", RangeReader(asset.uri, fetch, size, head))


def tag_of(etag: str | None, *others: str) -> str:
    """The etag of an asset from the server's and what else decides about it."""
    return f"{etag or ''}|{'-'.join(others)}"


def server_tag(asset: Asset) -> str | None:
    """What the server calls the content of an asset that it listed."""
    return asset.etag.partition("|")[0] or None


def failed(uri: str, error: Exception) -> AssetError:
    """The error of one asset, none of them final: the next run tries again."""
    from obstore.exceptions import PreconditionError

    if isinstance(error, FileNotFoundError):
        return AssetError(uri, "is gone; it was there when the source was listed")
    if isinstance(error, PreconditionError):
        return AssetError(uri, "changed while it was being read; the next run reads it anew")
    return AssetError(uri, f"cannot be fetched: {explain(uri, error)}")


def _range(store: ObjectStore, key: str, etag: str | None, bounds: tuple[int, int]) -> bytes:
    import obstore

    options: Any = {"range": bounds, **({"if_match": etag} if etag else {})}
    return bytes(obstore.get(store, key, options=options).bytes())


def _spooled(store: ObjectStore, key: str) -> BinaryIO:
    """A whole object, on disk when it is large."""
    import obstore

    file = tempfile.SpooledTemporaryFile(_SPOOLED_BYTES)  # noqa: SIM115 - the caller closes it
    for piece in obstore.get(store, key).stream(min_chunk_size=BLOCK_BYTES):
        file.write(piece)
    file.seek(0)
    return cast("BinaryIO", file)
