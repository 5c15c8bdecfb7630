"""Starting and stopping the server."""

from __future__ import annotations

import uvicorn

from polyseek import api
from polyseek.server.app import create_app
from polyseek.server.settings import ServerSettings


def run(server: ServerSettings) -> None:
    """Serve until the process is told to stop."""
    for location in server.collections.values():
        api.open(location, create=False, resident=False)
    uvicorn.run(create_app(server), host=server.host, port=server.port, server_header=False)
