"""Which source a location belongs to: a path, or a URL whose scheme names the plug-in."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from polyseek.core import plugins
from polyseek.core.config import IndexOptions
from polyseek.core.errors import SourceNotFoundError
from polyseek.core.objects import scheme_of, split_url, uri_of_key
from polyseek.core.protocols import Source
from polyseek.core.types import Asset
from polyseek.ingest.sources.files import FileSource, local_path

_KEYED = frozenset({"s3", "gs", "az", "hf"})
"""Schemes whose URLs people type without quoting."""


def source_at(location: str | Path, options: IndexOptions | None = None) -> Source:
    """The source at a path or URL.

    Raises:
        SourceNotFoundError: There is no such file or folder.
        UnknownPluginError: No source is registered for the URL's scheme.
        SourceError: The metadata table cannot be read or joined.
    """
    options = options or IndexOptions()
    scheme = scheme_of(location)
    if scheme not in (None, "file"):
        made: Source = plugins.load("source", str(scheme))(location, options)
        return made
    path = local_path(str(location)) if scheme else Path(location).expanduser()
    if not path.exists():
        raise SourceNotFoundError(f"{location}: no such file or folder")
    make = plugins.load("source", "files")
    local: Source = make(path, options)
    return local


def uri_of(location: str | Path) -> str:
    """The uri of a path or URL that a user names."""
    scheme = scheme_of(location)
    if scheme is None:
        return Path(os.path.abspath(Path(location).expanduser())).as_uri()  # noqa: PTH100 - keeps links
    return uri_of_key(*split_url(str(location))) if scheme in _KEYED else str(location)


def open_uri(uri: str) -> BinaryIO:
    """The bytes of an asset that was indexed.

    Raises:
        AssetError: It cannot be read any more.
        UnknownPluginError: No source is registered for its scheme.
    """
    asset = Asset(uri=uri, path="asset", size_bytes=0, modified=datetime.now(UTC), etag="")
    if scheme_of(uri) == "file":
        return FileSource("/").open(asset)
    return source_at(uri).open(asset)
