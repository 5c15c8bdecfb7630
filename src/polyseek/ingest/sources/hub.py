"""Data sets, models and spaces on the Hugging Face hub: ``hf://datasets/OWNER/NAME/FOLDER``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any, BinaryIO, cast
from urllib.parse import quote, unquote

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, MissingExtraError, SourceError, SourceNotFoundError
from polyseek.core.types import Asset
from polyseek.ingest.sources.listing import Entry, assets_of, with_sidecar
from polyseek.ingest.sources.metadata import read_table
from polyseek.ingest.sources.selection import Selection

SCHEME = "hf://"


class HubSource:
    """A folder of a repository, read by ranges; the token is the one that ``hf auth login`` keeps.

    Args:
        url: ``hf://datasets/OWNER/NAME[@REVISION][/FOLDER]``.
        options: `include`, `exclude` and `metadata` are used.

    Raises:
        MissingExtraError: The client of the hub is not installed.
        SourceError: The metadata table cannot be read or joined.
    """

    def __init__(self, url: str, options: IndexOptions | None = None) -> None:
        options = options or IndexOptions()
        self.url = url
        self._root = unquote(url.removeprefix(SCHEME)).strip("/")
        self._selection = Selection(options)
        self._table = read_table(options.metadata) if options.metadata else {}
        filesystem()

    def list(self) -> Iterator[Asset | AssetError]:
        """See `polyseek.core.protocols.Source`."""
        try:
            found = filesystem().find(self._root, detail=True)
            changed = _last_change(self._root)
        except FileNotFoundError as error:
            raise SourceNotFoundError(
                f"{self.url}: there is no such repository or folder"
            ) from error
        except Exception as error:  # whatever its HTTP client raises
            told = str(error).partition("\n")[0][:200]
            raise SourceError(
                f"{self.url}: cannot be listed: {told}; a private or gated repository needs "
                "HF_TOKEN, or 'hf auth login'"
            ) from error
        entries = [self._entry(info, changed) for info in found.values()]
        yield from assets_of(entries, self._selection, self._table)

    def open(self, asset: Asset) -> BinaryIO:
        """See `polyseek.core.protocols.Source`."""
        path = unquote(asset.uri.removeprefix(SCHEME))
        try:
            return cast("BinaryIO", filesystem().open(path, "rb"))
        except Exception as error:  # as above
            told = str(error).partition("\n")[0][:200]
            raise AssetError(asset.uri, f"cannot be fetched: {told}") from error

    def detail(self, asset: Asset) -> Asset:
        """See `polyseek.core.protocols.DetailedSource`."""
        return with_sidecar(asset, self.open)

    def covers(self, uri: str) -> bool:
        """See `polyseek.core.protocols.Source`."""
        path = unquote(uri.removeprefix(SCHEME)) if uri.startswith(SCHEME) else ""
        above = self._root + "/"
        return path.startswith(above) and self._selection.covers(path.removeprefix(above))

    def _entry(self, info: dict[str, Any], changed: datetime) -> Entry:
        name = str(info["name"]).lstrip("/")
        etag = (info.get("lfs") or {}).get("sha256") or info.get("blob_id")
        return Entry(
            path=name.removeprefix(self._root + "/"),
            uri=SCHEME + quote(name),
            size_bytes=info["size"] or 0,
            modified=changed,
            etag=etag,
            content_hash=f"hf {etag}" if etag else None,
        )


@cache
def filesystem() -> Any:
    """The hub as a file system.

    Raises:
        MissingExtraError: Its client is not installed.
    """
    try:
        from huggingface_hub import HfFileSystem
    except ImportError as error:
        raise MissingExtraError("hf://", "hub") from error
    return HfFileSystem()


def _last_change(root: str) -> datetime:
    """Of the whole repository: asking for every file would take a request each."""
    from huggingface_hub import HfApi

    where = filesystem().resolve_path(root)
    info = HfApi().repo_info(where.repo_id, repo_type=where.repo_type, revision=where.revision)
    changed: datetime | None = info.last_modified
    return changed or datetime.fromtimestamp(0, UTC)
