"""`polyseek keys`: the API keys of a server."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from polyseek.cli.options import JsonOption, print_json
from polyseek.server.keys import KeyFile, Scope, default_path

app = typer.Typer(help="Make, list and revoke the API keys of a server.", no_args_is_help=True)

FileOption = Annotated[
    Path | None, typer.Option("--keys", metavar="FILE", help="The file they are kept in.")
]


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="Whose key it is.")],
    *,
    scope: Annotated[Scope, typer.Option(help="What it allows.")] = Scope.READ,
    collections: Annotated[
        list[str] | None,
        typer.Option("--collection", "-c", metavar="NAME", help="Only these; repeatable."),
    ] = None,
    keys: FileOption = None,
) -> None:
    """Make a key and print it. It is shown this once: only its hash is kept."""
    typer.echo(_file(keys).add(name, scope=scope, collections=collections or ()))


@app.command("list")
def list_(
    *,
    keys: FileOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the keys: id, name, scope, collections, and when they were made."""
    rows = [asdict(key) for key in _file(keys).keys().values()]
    for row in rows:
        del row["sha256"]
    if as_json:
        print_json(rows)
        return
    for row in rows:
        where = ", ".join(row["collections"]) or "all collections"
        typer.echo(f"{row['id']}  {row['name']}  {row['scope']}  {where}  {row['created']}")
    if not rows:
        typer.echo("no keys yet; 'polyseek keys add NAME' makes one")


@app.command()
def revoke(
    id_: Annotated[str, typer.Argument(metavar="ID", help="As 'polyseek keys list' shows it.")],
    *,
    keys: FileOption = None,
) -> None:
    """Forget a key; running servers refuse it at once."""
    gone = _file(keys).revoke(id_)
    typer.echo(f"revoked {gone.id} ({gone.name})")


def _file(given: Path | None) -> KeyFile:
    return KeyFile(given or default_path())
