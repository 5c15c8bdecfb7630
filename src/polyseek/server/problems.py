"""Errors as RFC 9457 problem documents: which error is which status, in one table.

A detail names what the client sent, never a path of this machine: errors whose messages may hold
one have a fixed sentence in the table, and the message goes to the log.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from polyseek.core import errors

_log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"


class ProblemError(errors.PolyseekError):
    """A request that the server itself refuses.

    Args:
        status: HTTP status.
        code: Short name of the problem, for programs.
        detail: One sentence for people.
        headers: Of the response, e.g. ``Retry-After``.
    """

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class _Row:
    status: int
    code: str
    detail: str | None = None
    """What the client is told; None for the error's own message."""


TABLE: dict[type[Exception], _Row] = {
    errors.InvalidFilterError: _Row(400, "invalid-filter"),
    errors.UnknownAssetError: _Row(404, "unknown-asset"),
    errors.QueryError: _Row(400, "invalid-query"),
    errors.UnsupportedMediaError: _Row(415, "unsupported-media"),
    errors.DecodeError: _Row(422, "undecodable-media"),
    errors.AssetError: _Row(422, "undecodable-media"),
    errors.CollectionNotFoundError: _Row(
        404, "unknown-collection", "this collection is not there any more"
    ),
    errors.CollectionBusyError: _Row(409, "collection-busy", "the collection is being written to"),
    errors.IncompatibleCollectionError: _Row(
        500, "incompatible-collection", "the collection needs another version of the server"
    ),
    errors.StoreError: _Row(500, "store-failed", "the collection cannot be read"),
    errors.EncoderError: _Row(503, "encoder-failed", "the encoder cannot be used"),
    errors.SourceError: _Row(400, "invalid-source", "a source is missing or cannot be read"),
    errors.UnknownPluginError: _Row(500, "server-misconfigured", "the server is misconfigured"),
    errors.MissingExtraError: _Row(501, "missing-extra"),
    errors.ConfigError: _Row(400, "invalid-option"),
    TimeoutError: _Row(504, "timeout", "the answer took too long; ask for less, or later"),
    errors.PolyseekError: _Row(500, "failed", "the request failed; the server's log says why"),
    Exception: _Row(500, "failed", "the request failed; the server's log says why"),
}
"""The first class an error is an instance of decides."""


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = MEDIA_TYPE

    def __init__(self, content: dict[str, Any], headers: Mapping[str, str]) -> None:
        super().__init__(content, status_code=content["status"], headers=dict(headers))
        self.content = content


def response_of(error: Exception) -> ProblemResponse:
    """What a client is told about an error; server errors are logged in full."""
    if isinstance(error, ProblemError):
        return problem(error.status, error.code, error.detail, headers=error.headers)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _log.error("no space left: %s", error)
        return problem(507, "disk-full", "the server's disk is full")
    row = next(row for kind, row in TABLE.items() if isinstance(error, kind))
    if row.status >= 500:
        _log.error("%s: %s", row.code, error, exc_info=error)
    message = error.reason if isinstance(error, errors.AssetError) else str(error)
    return problem(row.status, row.code, row.detail or message)


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    faults: Sequence[Mapping[str, Any]] = (),
) -> ProblemResponse:
    """A problem document; `faults` are the places in a request that are wrong."""
    content: dict[str, Any] = {
        "type": "about:blank",
        "title": code.replace("-", " "),
        "status": status,
        "code": code,
        "detail": detail,
    }
    if faults:
        content["errors"] = list(faults)
    return ProblemResponse(content, headers or {})


def invalid(error: RequestValidationError) -> ProblemResponse:
    """Where a request does not follow the schema. What was sent is not repeated."""
    faults = [
        {"where": ".".join(str(step) for step in fault["loc"]), "problem": fault["msg"]}
        for fault in error.errors()[:20]
    ]
    first = faults[0] if faults else {"where": "request", "problem": "is not valid"}
    detail = f"{first['where']}: {first['problem']}"
    return problem(422, "invalid-request", detail, faults=faults)


def install(app: FastAPI) -> None:
    """Answer every error of an app with a problem document."""

    async def known(_: Request, error: Exception) -> ProblemResponse:
        return response_of(error)

    async def unreadable(_: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - it is registered for these
        return invalid(error)

    async def http(_: Request, error: Exception) -> ProblemResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - it is registered for these
        code = {404: "not-found", 405: "method-not-allowed"}.get(error.status_code, "refused")
        return problem(error.status_code, code, str(error.detail), headers=error.headers)

    app.add_exception_handler(errors.PolyseekError, known)
    app.add_exception_handler(TimeoutError, known)
    app.add_exception_handler(OSError, known)
    app.add_exception_handler(RequestValidationError, unreadable)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, known)
