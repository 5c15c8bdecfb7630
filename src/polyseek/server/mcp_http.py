"""The MCP server over HTTP, behind the guard of the API: hosts, keys, rates, sizes and times."""

from __future__ import annotations

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.types import ASGIApp, Receive, Scope, Send

from polyseek.server.guard import Guard
from polyseek.server.listening import address_of, bound
from polyseek.server.mcp import READS, create_server
from polyseek.server.metrics import Metrics
from polyseek.server.run import announce, config_of, require_keys, stopping
from polyseek.server.security import Access, Gatekeeper
from polyseek.server.settings import ServerSettings


def run(server: ServerSettings) -> None:
    """Serve until the process is told to stop; the path is ``/mcp``.

    Raises:
        ConfigError: The address is taken or not this machine's, or it can be reached by others
            and there are no keys.
    """
    require_keys(server)
    with bound(server.host, server.port) as listening:
        config = config_of(create_app(server))
        announce(server, f"{address_of(listening)}/mcp")
        with stopping():
            uvicorn.Server(config).run(sockets=[listening])


def create_app(server: ServerSettings) -> ASGIApp:
    """The ASGI application. Every request stands for itself, so each is held to its own key."""
    inside = create_server(server.collections, show_files=False).streamable_http_app(
        stateless_http=True,
        max_request_body_size=server.max_body_bytes,
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )  # the guard looks at hosts itself
    return Guard(_Keyed(inside), server=server, metrics=Metrics(), gatekeeper=Gatekeeper(server))


class _Keyed:
    """Lets the tools see the collections of the request's key alone."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        access: Access | None = scope.get("polyseek.access")
        if access is not None:
            READS.set(access.reads)
        await self._app(scope, receive, send)
