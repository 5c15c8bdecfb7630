"""What every request passes before anything is read of it. Plain ASGI: bodies stay streams."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyseek.server.limits import Held, LimitedBody, RateLimit
from polyseek.server.metrics import Metrics
from polyseek.server.problems import ProblemError, response_of
from polyseek.server.security import Access, Gatekeeper
from polyseek.server.settings import ServerSettings

_log = logging.getLogger(__name__)

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "media-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
}
"""Of every response that has no such header itself."""


class Guard:
    """Lets requests through that may come in, within their limits, and counts all of them."""

    def __init__(
        self, app: ASGIApp, *, server: ServerSettings, metrics: Metrics, gatekeeper: Gatekeeper
    ) -> None:
        self._app, self._server, self._metrics = app, server, metrics
        self._gatekeeper = gatekeeper
        self._rate = RateLimit(server.requests_per_minute)
        self._held = Held()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here
        started, status = perf_counter(), 500

        async def outward(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if status >= 400 and _unread(scope):
                    headers["Connection"] = "close"  # or the rest of the body would be read
            await send(message)

        try:
            await self._within_limits(scope, receive, outward)
        finally:
            self._count(scope, status, perf_counter() - started)

    async def _within_limits(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        client = (scope.get("client") or ("unknown", 0))[0]
        try:
            access = self._admit(scope, headers, client)
            body = LimitedBody(receive, headers, self._server, self._held)
        except ProblemError as error:
            self._metrics.refused.labels(error.code).inc()
            await _refusal(error, scope, headers)(scope, receive, send)
            return
        scope["polyseek.access"], scope["polyseek.body"] = access, body
        try:
            await self._app(scope, body, send)
        finally:
            body.close()

    def _admit(self, scope: Scope, headers: dict[str, str], client: str) -> Access:
        """Wrong keys count against the address they come from."""
        try:
            access = self._gatekeeper.admit(scope["method"], scope["path"], headers, client=client)
        except ProblemError:
            self._rate.take(client)
            raise
        self._rate.take(access.who)
        return access

    def _count(self, scope: Scope, status: int, elapsed_s: float) -> None:
        """The path without its query: what people look for is in no log."""
        route: Any = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(route, status).inc()
        self._metrics.latency.labels(route).observe(elapsed_s)
        _log.info("%s %s %d %.0f ms", scope["method"], scope["path"], status, elapsed_s * 1e3)


def _unread(scope: Scope) -> bool:
    """Whether the request has a body that has not come to its end."""
    if "polyseek.body" in scope:
        return not scope["polyseek.body"].complete
    headers = dict(scope["headers"])
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _refusal(error: ProblemError, scope: Scope, headers: dict[str, str]) -> Response:
    """A problem document, or, for a person whose browser has no key, where to give one."""
    looks = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    if error.status == 401 and looks and headers.get("hx-request") != "true":
        return RedirectResponse("/login", status_code=303)
    return response_of(error)
