"""A search term that a person typed, as a query."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPException
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, unquote, urlsplit
from urllib.request import urlopen

from polyseek.core.errors import AssetError, DecodeError, QueryError
from polyseek.core.hits import PICTURE_LABEL, Query
from polyseek.core.objects import BUCKETS, scheme_of
from polyseek.core.protocols import Decoder, FileReader
from polyseek.core.texts import well_formed
from polyseek.core.types import Asset, EncoderInfo, Modality
from polyseek.ingest.decode import decoder_for, decoders, reader_of, segmenters, suffix_of
from polyseek.ingest.segmenters.whole import WholeSegmenter
from polyseek.ingest.sources.locate import open_uri, uri_of

TEXT_PREFIX = "text:"
MAX_REMOTE_BYTES = 64 * 1024 * 1024
REMOTE_TIMEOUT_S = 30
MAX_PIECES = 16
MAX_TEXT_CHARS = 20_000
"""Encoders look at the beginning of a text, but some take gigabytes to find it in a long one."""


def read_query(
    term: str | Path | Any, *, offline: bool = False, encoder: EncoderInfo | None = None
) -> Query:
    """The query a term stands for.

    Args:
        term: A PIL image; a path; or a string, which is a path when it names an existing file, or
            has no space and either a slash or the ending of a media file, a URL when it starts
            with ``http(s)://``, an object when with ``s3://``, ``gs://`` or ``az://``, and a text
            otherwise. ``text:...`` forces text.
        offline: Refuse URLs.
        encoder: Whose towers decide what a file is; None for any.

    Raises:
        QueryError: The term is empty, or names a file that is not there or cannot be fetched.
        AssetError: The file or picture cannot be decoded.
    """
    if isinstance(term, Path):
        return _from_path(term, encoder)
    if not isinstance(term, str):
        return _from_image(term)
    if term.startswith(TEXT_PREFIX):
        return _from_text(term.removeprefix(TEXT_PREFIX))
    if is_url(term):
        return _from_url(term, encoder, offline=offline)
    if scheme_of(term) in BUCKETS:
        return _from_bucket(term, encoder, offline=offline)
    path = path_of(term, encoder)
    return _from_text(term) if path is None else _from_path(path, encoder)


def is_url(term: str) -> bool:
    """Whether a term is the address of something on the web."""
    return re.match(r"https?://\S+$", term) is not None


def path_of(term: str, encoder: EncoderInfo | None = None) -> Path | None:
    """The path that a term names; None where it is a text."""
    if term.startswith(TEXT_PREFIX):
        return None
    is_file = _is(_expanded(Path(term)), Path.is_file)
    named = _looks_like_path(term) or _is_file_name(term, encoder)
    return Path(term) if is_file or named else None


def read_file(path: Path, *, name: str, encoder: EncoderInfo | None = None) -> Query:
    """The query that a media file stands for.

    Args:
        path: Where it is.
        name: What it is called: that decides how it is read.
        encoder: As for `read_query`.

    Raises:
        AssetError: It cannot be decoded.
    """
    asset = replace(_asset(name, name), size_bytes=path.stat().st_size)
    with path.open("rb") as stream:
        return _query(asset, stream, encoder, label=name)


def _looks_like_path(term: str) -> bool:
    separators = {"/", os.sep}
    has_separator = any(s in term for s in separators)
    # "and/or" in a sentence is no path; "./my photo.jpg" and "~/a b.png" are.
    starts_like_path = term.startswith((".", "~", *separators))
    return has_separator and (starts_like_path or " " not in term)


def _is_file_name(term: str, encoder: EncoderInfo | None) -> bool:
    """A word such as ``blue.png``: searched for as text, a wrong name would seem to find things."""
    if not Path(term).suffix or re.search(r"\s", term):
        return False
    return _is_known(term, encoder)


def _is_known(name: str, encoder: EncoderInfo | None) -> bool:
    known, readers = _reading(encoder)
    return suffix_of(name, known) in known or reader_of(name, readers) is not None


def _reading(encoder: EncoderInfo | None) -> tuple[Mapping[str, Decoder], Sequence[FileReader]]:
    """Decoders by file name ending, and readers of towers that have files of their own."""
    return (decoders(), ()) if encoder is None else (decoders(encoder.decoded), encoder.readers)


def _from_text(text: str) -> Query:
    if not text.strip():
        raise QueryError("the query is empty; give a text, or a path of a media file")
    return Query(
        modality=Modality.TEXT,
        signals=[well_formed(text[:MAX_TEXT_CHARS])],
        label=well_formed(text),
    )


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
    return Query(modality=Modality.IMAGE, signals=[picture], label=PICTURE_LABEL)


def _from_path(given: Path, encoder: EncoderInfo | None) -> Query:
    path = _expanded(given)
    if _is(path, Path.is_dir):
        raise QueryError(f"{given}: is a folder; a query is one file, or text:{given} for text")
    if not _is(path, Path.is_file):
        raise QueryError(f"{given}: no such file; write text:{given} to search for it as text")
    asset = _asset(path.absolute().as_uri(), path.absolute().as_posix())
    try:
        with path.open("rb") as stream:
            return _query(asset, stream, encoder, label=str(path))
    except OSError as error:
        raise QueryError(f"{given}: cannot be read: {error.strerror}") from error


def _from_url(url: str, encoder: EncoderInfo | None, *, offline: bool) -> Query:
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
    if not _is_known(name, encoder):
        asset = replace(asset, path="picture.jpg")  # many image URLs have no ending
    return _query(asset, BytesIO(data), encoder, label=url)


def _from_bucket(url: str, encoder: EncoderInfo | None, *, offline: bool) -> Query:
    if offline:
        raise QueryError(f"{url}: not fetched, because polyseek is set to offline")
    try:
        return query_of(uri_of(url), encoder)
    except DecodeError:
        raise
    except AssetError as error:
        raise QueryError(str(error)) from error


def query_of(uri: str, encoder: EncoderInfo | None = None) -> Query:
    """What an asset holds, as a query.

    Raises:
        AssetError: It cannot be read or decoded.
    """
    asset = _asset(uri, unquote(urlsplit(uri).path))
    with open_uri(uri) as stream:
        return _query(asset, stream, encoder, label=uri)


def _query(asset: Asset, stream: BinaryIO, encoder: EncoderInfo | None, *, label: str) -> Query:
    """A file's first stream; of a long one, the first pieces."""
    known, readers = _reading(encoder)
    decoded = decoder_for(asset, known, readers).open(asset, stream)
    media = next(decoded, None)  # `decoded` must live as long as its streams are read
    if media is None:
        raise DecodeError(asset.uri, "holds nothing to search with")
    whole = reader_of(asset.path, readers) is not None
    splits = WholeSegmenter(media.modality) if whole else segmenters()[media.modality]
    pieces = islice(splits.split(asset, media), MAX_PIECES)
    signals = [piece.signal for piece in pieces if piece.signal is not None]
    if not signals:
        raise DecodeError(asset.uri, "holds nothing to search with")
    return Query(modality=media.modality, signals=signals, label=well_formed(label))


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


def _asset(uri: str, name: str) -> Asset:
    return Asset(uri=uri, path=name, size_bytes=0, modified=datetime.now(UTC), etag="")
