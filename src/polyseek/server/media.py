"""An asset's bytes as a response: a file of this machine, or an object fetched as it is sent."""

from __future__ import annotations

import io
import mimetypes
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit

from fastapi import Response
from fastapi.responses import FileResponse, StreamingResponse

from polyseek.core.errors import AssetError
from polyseek.core.objects import is_missing, scheme_of
from polyseek.ingest.sources.files import local_path
from polyseek.ingest.sources.locate import open_uri
from polyseek.server.problems import ProblemError

SAFE = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
"""What is in a collection may be hostile: as a page of its own it must not run anything."""

PIECE_BYTES = 256 * 1024
_AS_TEXT = frozenset({"text/html", "application/xhtml+xml", "text/xml", "application/xml"})
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def media_of(uri: str, *, wanted: str | None) -> Response:
    """The bytes of an asset, whole or a range of them. Blocks until they begin to come.

    Args:
        uri: Of the asset.
        wanted: The request's header ``Range``; that of a file is read by its response.

    Raises:
        ProblemError: It is not there any more (404), cannot be reached (502), or has no such range
            (416).
    """
    name = PurePosixPath(unquote(urlsplit(uri).path)).name
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = "text/plain" if kind in _AS_TEXT else kind
    headers = {**SAFE, "Cache-Control": "private, no-cache"}
    if scheme_of(uri) != "file":
        return _object(uri, wanted, kind, {**headers, "Content-Disposition": _inline(name)})
    path = local_path(uri)
    if not path.is_file():
        raise ProblemError(404, "no-media", "the file of this asset is not there any more")
    return FileResponse(
        path,
        media_type=kind,
        filename=path.name.encode(errors="replace").decode(),
        content_disposition_type="inline",
        headers=headers,
    )


def range_of(wanted: str | None, size_bytes: int) -> range | None:
    """The bytes that a ``Range`` header asks for; None for all.

    Several ranges, and what is not understood, are answered with everything (RFC 9110, 14.2).

    Raises:
        ProblemError: There are no such bytes (416).
    """
    found = _RANGE.fullmatch(wanted.strip()) if wanted else None
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        chosen = range(max(0, size_bytes - int(last)), size_bytes)
    elif last and int(last) < int(first):
        return None
    else:
        chosen = range(int(first), min(int(last) + 1, size_bytes) if last else size_bytes)
    if not chosen:
        raise ProblemError(
            416,
            "no-such-range",
            f"the media has {size_bytes} bytes",
            {"Content-Range": f"bytes */{size_bytes}"},
        )
    return chosen


def _object(uri: str, wanted: str | None, kind: str, headers: dict[str, str]) -> Response:
    try:
        stream = open_uri(uri)
    except AssetError as error:
        cause = error.__cause__
        if cause is not None and is_missing(cause):
            raise ProblemError(404, "no-media", "the object is not there any more") from error
        raise ProblemError(502, "unreachable-media", "the object cannot be fetched") from error
    try:
        size = stream.seek(0, io.SEEK_END)
        chosen = range_of(wanted, size)
    except BaseException:
        stream.close()
        raise
    part = chosen or range(size)
    headers |= {"Accept-Ranges": "bytes", "Content-Length": str(len(part))}
    if chosen:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return StreamingResponse(
        _pieces(stream, part), 206 if chosen else 200, media_type=kind, headers=headers
    )


def _pieces(stream: BinaryIO, part: range) -> Iterator[bytes]:
    """Closes the stream. An object that fails on the way ends the connection before its time."""
    with stream:
        stream.seek(part.start)
        left = len(part)
        while left:
            piece = stream.read(min(left, PIECE_BYTES))
            if not piece:
                raise OSError("the object ended before its time")
            left -= len(piece)
            yield piece


def _inline(name: str) -> str:
    return f"inline; filename*=utf-8''{quote(name, safe='')}"
