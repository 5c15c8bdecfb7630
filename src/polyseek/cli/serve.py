"""`polyseek serve`: the API and the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from polyseek.core.errors import ConfigError, MissingExtraError


def serve(
    *,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="[NAME=]FOLDER",
            help="A collection, by the name it gets in URLs; repeatable (default: .polyseek).",
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Address to bind to.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to bind to.")] = 8000,
) -> None:
    """Serve collections over HTTP: an API, and a page to search with."""
    try:
        import fastapi  # noqa: F401 - stands for all of the extra
    except ModuleNotFoundError:
        raise MissingExtraError("the server", "server") from None
    from polyseek.server.run import run
    from polyseek.server.settings import ServerSettings

    run(ServerSettings(collections=_named(collections or []), host=host, port=port))


def _named(given: list[str]) -> dict[str, str]:
    from polyseek.core.config import resolve_settings

    named: dict[str, str] = {}
    for one in given or [resolve_settings().collection]:
        name, _, folder = one.rpartition("=")
        name = name or _name_of(Path(folder))
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ConfigError(f"-c {one}: '{name}' is no name for a URL; write -c NAME={folder}")
        if name in named:
            raise ConfigError(f"-c {one}: '{name}' is there twice; write -c NAME={folder}")
        named[name] = str(Path(folder).expanduser().absolute())
    return named


def _name_of(folder: Path) -> str:
    """``photos`` for photos.polyseek, ``default`` for .polyseek."""
    return folder.absolute().name.removesuffix(".polyseek") or "default"
