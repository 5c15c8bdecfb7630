"""A search term that a person typed, as a query; and thumbnails of what was found."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from polyseek.core.errors import AssetError, DecodeError, QueryError
from polyseek.core.types import Asset, Media, Modality, Query
from polyseek.ingest.decode import decoder_for, decoders
from polyseek.ingest.sources.files import open_file

TEXT_PREFIX = "text:"
MAX_REMOTE_BYTES = 64 * 1024 * 1024
REMOTE_TIMEOUT_S = 30
THUMBNAIL_SIDE = 320


def read_query(term: str | Path | Any, *, offline: bool = False) -> Query:
    """The query a term stands for.

    Args:
        term: A PIL image; a path; or a string, which is a path when it names an existing file or
            has a slash and no space around it, a URL when it starts with ``http(s)://``, and a
            text otherwise. ``text:...`` forces text.
        offline: Refuse URLs.

    Raises:
        QueryError: The term is empty, or names a file that is not there or cannot be fetched.
        AssetError: The file cannot be decoded.
    """
    if isinstance(term, Path):
        return _from_path(term)
    if not isinstance(term, str):
        return _from_image(term)
    if term.startswith(TEXT_PREFIX):
        return _from_text(term.removeprefix(TEXT_PREFIX))
    if re.match(r"https?://\S+$", term):
        return _from_url(term, offline=offline)
    path = Path(term).expanduser()
    try:
        exists = path.is_file()
    except (OSError, ValueError):  # too long, or a NUL byte: no path
        exists = False
    if exists or _looks_like_path(term):
        return _from_path(path)
    return _from_text(term)


def preview(uri: str) -> bytes | None:
    """A JPEG thumbnail of a picture, or None when it cannot be read any more."""
    asset = _asset(uri, Path(urlsplit(uri).path).name)
    try:
        with open_file(uri) as stream:
            image: Any = _first_media(asset, stream).signal
    except (AssetError, OSError):
        return None
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _looks_like_path(term: str) -> bool:
    separators = {"/", os.sep}
    has_separator = any(s in term for s in separators)
    # "and/or" in a sentence is no path; "./my photo.jpg" and "~/a b.png" are.
    starts_like_path = term.startswith((".", "~", *separators))
    return has_separator and (starts_like_path or " " not in term)


def _from_text(text: str) -> Query:
    if not text.strip():
        raise QueryError("the query is empty; give a text, or a path of a media file")
    return Query(modality=Modality.TEXT, signal=text, label=text)


def _from_image(image: Any) -> Query:
    from PIL import Image

    from polyseek.ingest.decoders.image import flatten

    if not isinstance(image, Image.Image):
        raise QueryError(f"expected a text, a path or a PIL image, got {type(image).__name__}")
    return Query(modality=Modality.IMAGE, signal=flatten(image), label="image")


def _from_path(path: Path) -> Query:
    path = path.expanduser()
    if path.is_dir():
        raise QueryError(f"{path}: is a folder; a query is one file, or text:{path} for text")
    if not path.is_file():
        raise QueryError(f"{path}: no such file; write text:{path} to search for it as text")
    asset = _asset(path.absolute().as_uri(), path.name)
    try:
        with path.open("rb") as stream:
            media = _first_media(asset, stream)
    except OSError as error:
        raise QueryError(f"{path}: cannot be read: {error.strerror}") from error
    return Query(modality=media.modality, signal=media.signal, label=str(path))


def _from_url(url: str, *, offline: bool) -> Query:
    if offline:
        raise QueryError(f"{url}: not fetched, because polyseek is set to offline")
    try:
        with urlopen(url, timeout=REMOTE_TIMEOUT_S) as response:  # noqa: S310 - http(s) only
            data = response.read(MAX_REMOTE_BYTES + 1)
    except (URLError, OSError, ValueError) as error:
        raise QueryError(f"{url}: cannot be fetched: {error}") from error
    if len(data) > MAX_REMOTE_BYTES:
        raise QueryError(f"{url}: larger than {MAX_REMOTE_BYTES:,} bytes")
    name = Path(urlsplit(url).path).name
    asset = replace(_asset(url, name), size_bytes=len(data))
    if Path(name).suffix.lower() not in decoders():
        asset = replace(asset, path="picture.jpg")  # many image URLs have no ending
    media = _first_media(asset, BytesIO(data))
    return Query(modality=media.modality, signal=media.signal, label=url)


def _first_media(asset: Asset, stream: BinaryIO) -> Media:
    for media in decoder_for(asset, decoders()).open(asset, stream):
        return media
    raise DecodeError(asset.uri, "holds nothing to search with")


def _asset(uri: str, name: str) -> Asset:
    return Asset(uri=uri, path=name, size_bytes=0, modified=datetime.now(UTC), etag="")
