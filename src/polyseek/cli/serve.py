"""`polyseek serve`: the API and the page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyseek.core.errors import ConfigError, MissingExtraError
from polyseek.core.objects import scheme_of

if TYPE_CHECKING:
    from polyseek.server.settings import ServerSettings


def serve(
    *,
    collections: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            "-c",
            metavar="[NAME=]FOLDER",
            help="A collection, or s3://BUCKET/PATH, by the name it gets in URLs; repeatable "
            "(default: .polyseek).",
        ),
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to bind to; one that others reach needs API keys.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to bind to; 0: a free one.")
    ] = 8000,
    keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Ask for API keys, also on this machine (polyseek keys)."
        ),
    ] = None,
    index_root: Annotated[
        list[Path] | None,
        typer.Option(metavar="FOLDER", help="Index jobs may read below it; repeatable."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Answer to this host name, too; repeatable."),
    ] = None,
    allow_urls: Annotated[
        bool, typer.Option("--allow-urls", help="Let queries name public URLs.")
    ] = False,
    max_upload: Annotated[int, typer.Option(metavar="MB", min=1, help="Largest request.")] = 64,
    body_timeout: Annotated[
        float, typer.Option(metavar="S", min=0.1, help="Seconds in which a request must come.")
    ] = 30.0,
    rate: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Requests per minute and client; 0: any number (default: 0 for this machine "
            "alone, else 3000).",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, help="Processes; each loads the encoder.")
    ] = 1,
) -> None:
    """Serve collections over HTTP: an API, and a page to search with."""
    try:
        import fastapi  # noqa: F401 - stands for all of the extra
    except ModuleNotFoundError:
        raise MissingExtraError("the server", "server") from None
    from polyseek.server.run import run
    from polyseek.server.settings import MIB

    settings = settings_of(
        named_collections(collections or []),
        host=host,
        port=port,
        keys=keys,
        allow_host=allow_host,
        rate=rate,
        roots=_folders(index_root or []),
        allow_urls=allow_urls,
        max_body_bytes=max_upload * MIB,
        body_timeout_s=body_timeout,
    )
    run(settings, workers=workers)


def settings_of(
    named: dict[str, str],
    *,
    host: str,
    port: int,
    keys: Path | None,
    allow_host: list[str] | None,
    rate: int | None = None,
    **more: Any,
) -> ServerSettings:
    """What a server is started with: others than this machine need keys, and have a rate."""
    from polyseek.server.keys import default_path
    from polyseek.server.settings import ServerSettings, is_loopback

    alone = is_loopback(host)
    return ServerSettings(
        collections=named,
        host=host,
        port=port,
        keys=keys or (None if alone else default_path()),
        hosts=allow_host or (),
        requests_per_minute=rate if rate is not None else 0 if alone else 3000,
        **more,
    )


def named_collections(given: list[str]) -> dict[str, str]:
    """Locations by name; a folder names itself, and the settings' collection is the default.

    Raises:
        ConfigError: A name does not fit into a URL, or is there twice.
    """
    from polyseek.core.config import resolve_settings

    named: dict[str, str] = {}
    for one in given or [resolve_settings().collection]:
        name, where = _split(one)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            raise ConfigError(f"-c {one}: '{name}' is no name for a URL; write -c NAME={where}")
        if name in named:
            raise ConfigError(f"-c {one}: '{name}' is there twice; write -c NAME={where}")
        named[name] = where if scheme_of(where) else str(Path(where).expanduser().absolute())
    return named


def _split(given: str) -> tuple[str, str]:
    """The name and the place of a collection; a URL may have a ``=`` of its own."""
    name, sign, where = given.partition("=")
    if not sign or scheme_of(given):
        return _name_of(given), given
    return name, where


def _name_of(where: str) -> str:
    """``photos`` for photos.polyseek, ``default`` for .polyseek; of a bucket alone, its name."""
    last = where.rstrip("/").rpartition("/")[2] if scheme_of(where) else Path(where).absolute().name
    return last.removesuffix(".polyseek") or "default"


def _folders(given: list[Path]) -> list[Path]:
    for folder in given:
        if not folder.expanduser().is_dir():
            raise ConfigError(f"--index-root {folder}: no such folder")
    return [folder.expanduser().absolute() for folder in given]
