"""`polyseek mcp`: collections as tools for language models."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from polyseek.cli.serve import named_collections
from polyseek.core.errors import ConfigError, MissingExtraError


def mcp(
    *,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="[NAME=]FOLDER",
            help="A collection, by the name models call it; repeatable (default: .polyseek).",
        ),
    ] = None,
    http: Annotated[
        bool,
        typer.Option("--http", help="Streamable HTTP on this machine, instead of standard input."),
    ] = False,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port of --http; the path is /mcp.")
    ] = 8001,
) -> None:
    """Serve collections to language models (Model Context Protocol): search, look, nothing else."""
    try:
        import mcp  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtraError("the MCP server", "mcp") from None
    from polyseek import api
    from polyseek.server.mcp import create_server

    named = named_collections(collections or [])
    for location in named.values():
        api.open(location, create=False, resident=False)
    server = create_server(named, show_files=not http)
    if not http:
        server.run("stdio")
        return
    _require_free(port)
    address = f"http://127.0.0.1:{port}/mcp"
    typer.echo(f"serving {', '.join(named)} at {address} (Ctrl-C stops)", err=True)
    server.run("streamable-http", host="127.0.0.1", port=port)


def _require_free(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"--port {port} is in use; give another") from error
