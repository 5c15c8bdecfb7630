"""`polyseek mcp`: collections as tools for language models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyseek.cli.serve import named_collections, settings_of
from polyseek.core.errors import MissingExtraError


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
        bool, typer.Option("--http", help="Streamable HTTP, instead of standard input.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Address of --http; one that others reach needs API keys.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of --http; the path is /mcp.")
    ] = 8001,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Ask for API keys, also on this machine (polyseek keys)."
        ),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Answer to this host name, too; repeatable."),
    ] = None,
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
    if not http:
        create_server(named, show_files=True).run("stdio")
        return
    try:
        import fastapi  # noqa: F401 - stands for all of the extra
    except ModuleNotFoundError:
        raise MissingExtraError("MCP over HTTP", "server") from None
    from polyseek.server.mcp_http import run

    run(settings_of(named, host=host, port=port, keys=keys, allow_host=allow_host))
