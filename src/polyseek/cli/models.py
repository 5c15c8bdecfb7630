"""`polyseek models`: the catalogue of encoders and their model files."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

app = typer.Typer(help="List encoders, fetch their model files.", invoke_without_command=True)


@app.callback()
def show(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the encoders: what they embed, their size and licence, and whether they are cached."""
    if context.invoked_subcommand:
        return
    from polyseek.encode import catalogue

    rows = [_row(entry) for entry in catalogue.ENTRIES.values()]
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "modalities", "dim", "size", "licence", "languages", "cached"):
        table.add_column(column, justify="right" if column in ("dim", "size") else "left")
    for row in rows:
        table.add_row(
            row["name"],
            ", ".join(row["modalities"]),
            str(row["dim"]),
            f"{row['size_bytes'] / 1e6:.0f} MB",
            row["licence"],
            row["languages"],
            "yes" if row["cached"] else "no",
        )
    console = Console(highlight=False)
    console.print(table)
    for row in rows:
        console.print(f"\n{row['name']}: {row['summary']}", style="dim", soft_wrap=True)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help="Encoder to fetch.")],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Verify the checksums of files already there.")
    ] = False,
) -> None:
    """Fetch an encoder's model files, so that everything after works offline."""
    from polyseek.cli.progress import progress_bar
    from polyseek.core.artifacts import ensure_all, location, verify
    from polyseek.core.config import resolve_settings
    from polyseek.encode import catalogue

    settings, entry = resolve_settings(), catalogue.get(name)
    if check:
        for artifact in entry.artifacts:
            if not verify(artifact, settings):
                location(artifact, settings).unlink(missing_ok=True)
    with progress_bar() as progress:
        paths = ensure_all(entry.artifacts, settings, progress=progress)
    for path in paths:
        typer.echo(str(path))


@app.command()
def path(name: Annotated[str, typer.Argument(help="Encoder.")]) -> None:
    """Print where an encoder's model files are, or will be, one per line."""
    from polyseek.core.artifacts import location
    from polyseek.core.config import resolve_settings
    from polyseek.encode import catalogue

    settings = resolve_settings()
    for artifact in catalogue.get(name).artifacts:
        typer.echo(str(location(artifact, settings)))


def _row(entry: Any) -> dict[str, Any]:
    from polyseek.core.artifacts import cached
    from polyseek.core.config import resolve_settings

    settings = resolve_settings()
    return {
        "name": entry.name,
        "summary": entry.summary,
        "modalities": [str(modality) for modality in entry.modalities],
        "dim": entry.dim,
        "size_bytes": entry.size_bytes,
        "licence": entry.licence,
        "languages": entry.languages,
        "cached": all(cached(artifact, settings) for artifact in entry.artifacts),
    }
