"""`polyseek glossary`: what the words of a trade stand for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyseek.cli.options import CollectionOption
from polyseek.core.errors import ConfigError


def glossary(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="Lines 'term: meaning, meaning'; keeps it."),
    ] = None,
    *,
    collection: CollectionOption = None,
    remove: Annotated[bool, typer.Option("--remove", help="Forget the glossary.")] = False,
) -> None:
    """Show the glossary that text queries are read with, or keep another one."""
    from polyseek import api

    if file is not None and remove:
        raise ConfigError("FILE and --remove exclude each other; give one of them")
    opened = api.open(collection, create=False, resident=False)
    if file is None and not remove:
        typer.echo((opened.glossary or "no glossary yet").rstrip())
        return
    count = opened.keep_glossary(file)
    typer.echo(f"{opened.location}: " + (f"{count:,} terms" if count else "no glossary"))
