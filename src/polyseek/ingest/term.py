"""A search term that a person typed, as a query; and thumbnails of what was found."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

from polyseek.core.errors import AssetError, DecodeError, QueryError
from polyseek.core.types import Asset, Media, Modality, Query
from polyseek.ingest.decode import decoder_for, decoders
from polyseek.ingest.sources.files import open_file
from polyseek.ingest.sources.metadata import well_formed

TEXT_PREFIX = "text:"
MAX_REMOTE_BYTES = 64 * 1024 * 1024
REMOTE_TIMEOUT_S = 30
THUMBNAIL_SIDE = 320
MAX_TEXT_CHARS = 20_000
"""Encoders look at the beginning of a text, but some take gigabytes to find it in a long one."""


def read_query(term: str | Path | Any, *, offline: bool = False) -> Query:
    """The query a term stands for.

    Args:
        term: A PIL image; a path; or a string, which is a path when it names an existing file or
            has a slash and no space around it, a URL when it starts with ``http(s)://``, and a
            text otherwise. ``text:...`` forces text.
        offline: Refuse URLs.

    Raises:
        QueryError: The term is empty, or names a file that is not there or cannot be fetched.
        AssetError: The file or picture cannot be decoded.
    """
    if isinstance(term, Path):
        return _from_path(term)
    if not isinstance(term, str):
        return _from_image(term)
    if term.startswith(TEXT_PREFIX):
        return _from_text(term.removeprefix(TEXT_PREFIX))
    if re.match(r"https?://\S+$", term):
        return _from_url(term, offline=offline)
    if _is(_expanded(Path(term)), Path.is_file) or _looks_like_path(term):
        return _from_path(Path(term))
    return _from_text(term)


def preview(uri: str) -> bytes | None:
    """A JPEG thumbnail of a local picture, or None when it cannot be read any more."""
    if urlsplit(uri).scheme != "file":
        return None
    asset = _asset(uri, Path(urlsplit(uri).path).name)
    try:
        with open_file(uri) as stream:
            media = _first_media(asset, stream)
    except (AssetError, OSError, ValueError):
        return None
    if media.modality is not Modality.IMAGE:
        return None
    image: Any = media.signal
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
    return _query(Media(modality=Modality.TEXT, signal=text), label=text)


def _from_image(image: Any) -> Query:
    from PIL import Image

    from polyseek.ingest.decoders.image import upright

    if not isinstance(image, Image.Image):
        raise QueryError(f"expected a text, a path or a PIL image, got {type(image).__name__}")
    if not (image.width and image.height):
        raise QueryError(f"the picture has no pixels: it is {image.width} x {image.height}")
    try:
        picture = upright(image)
    except Exception as error:  # Pillow opens files lazily, and its plug-ins raise what they meet
        raise QueryError(f"the picture cannot be decoded: {error}") from error
    return Query(modality=Modality.IMAGE, signal=picture, label="image")


def _from_path(given: Path) -> Query:
    path = _expanded(given)
    if _is(path, Path.is_dir):
        raise QueryError(f"{given}: is a folder; a query is one file, or text:{given} for text")
    if not _is(path, Path.is_file):
        raise QueryError(f"{given}: no such file; write text:{given} to search for it as text")
    asset = _asset(path.absolute().as_uri(), path.name)
    try:
        with path.open("rb") as stream:
            media = _first_media(asset, stream)
    except OSError as error:
        raise QueryError(f"{given}: cannot be read: {error.strerror}") from error
    return _query(media, label=str(path))


def _from_url(url: str, *, offline: bool) -> Query:
    if offline:
        raise QueryError(f"{url}: not fetched, because polyseek is set to offline")
    try:
        # A pasted address may hold letters that HTTP does not.
        plain = quote(url, safe="%/:=&?~#+!$,;'@()*[]")
        with urlopen(plain, timeout=REMOTE_TIMEOUT_S) as response:  # noqa: S310 - http(s) only
            data = response.read(MAX_REMOTE_BYTES + 1)
            missing = response.length or 0
    except (HTTPException, OSError, ValueError) as error:
        raise QueryError(f"{url}: cannot be fetched: {error}") from error
    if len(data) > MAX_REMOTE_BYTES:
        raise QueryError(f"{url}: larger than {MAX_REMOTE_BYTES:,} bytes")
    if missing:
        raise QueryError(f"{url}: cannot be fetched: the last {missing:,} bytes did not come")
    name = Path(urlsplit(url).path).name
    asset = replace(_asset(url, name), size_bytes=len(data))
    if Path(name).suffix.lower() not in decoders():
        asset = replace(asset, path="picture.jpg")  # many image URLs have no ending
    media = _first_media(asset, BytesIO(data))
    return _query(media, label=url)


def _query(media: Media, *, label: str) -> Query:
    signal = media.signal
    if isinstance(signal, str):
        signal = well_formed(signal[:MAX_TEXT_CHARS])
    return Query(modality=media.modality, signal=signal, label=well_formed(label))


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError:  # "~5 dogs": there is no such user
        return path


def _is(path: Path, what: Callable[[Path], bool]) -> bool:
    try:
        return what(path)
    except (OSError, ValueError):  # too long, or a NUL byte: no path
        return False


def _first_media(asset: Asset, stream: BinaryIO) -> Media:
    for media in decoder_for(asset, decoders()).open(asset, stream):
        return media
    raise DecodeError(asset.uri, "holds nothing to search with")


def _asset(uri: str, name: str) -> Asset:
    return Asset(uri=uri, path=name, size_bytes=0, modified=datetime.now(UTC), etag="")
