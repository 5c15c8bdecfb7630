"""What several commands share: their options, and how they write JSON and pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from polyseek.core.errors import ConfigError

CollectionOption = Annotated[
    str | None,
    typer.Option(
        "--collection",
        "-c",
        metavar="WHERE",
        help="The collection, a folder or s3://bucket/path (default: .polyseek, or "
        "POLYSEEK_COLLECTION).",
    ),
]
AtOption = Annotated[
    str | None, typer.Option(metavar="VERSION|TIME", help="As the collection was then.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def print_json(value: Any, *, indent: int = 2) -> None:
    """A JSON-ready value on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=indent, default=str))


def write_page(option: str, path: Path, content: str) -> None:
    """Write what an option asked for. Raises `ConfigError` where that cannot be."""
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be written: {error.strerror}") from error
