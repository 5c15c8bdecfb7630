"""What every request passes before anything is read of it. Plain ASGI: bodies stay streams."""

from __future__ import annotations

from time import perf_counter
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyseek.server.metrics import Metrics
from polyseek.server.security import Access
from polyseek.server.security import Scope as KeyScope
from polyseek.server.settings import ServerSettings


class Guard:
    """Lets requests through that may come in, and counts all of them."""

    def __init__(self, app: ASGIApp, *, server: ServerSettings, metrics: Metrics) -> None:
        self._app, self._server, self._metrics = app, server, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = perf_counter(), 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        client = scope.get("client") or ("unknown", 0)
        scope["polyseek.access"] = Access(who=client[0], scope=KeyScope.ADMIN)
        try:
            await self._app(scope, receive, counted)
        finally:
            route: Any = getattr(scope.get("route"), "path", "other")
            self._metrics.requests.labels(route, status).inc()
            self._metrics.latency.labels(route).observe(perf_counter() - started)
