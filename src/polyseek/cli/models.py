"""`polyseek models`: the catalogue of encoders, their files, exports, and advice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from polyseek.cli.options import JsonOption, print_json

app = typer.Typer(help="List encoders, fetch, export and join them.", invoke_without_command=True)

NAME = "A name of 'polyseek models', hf:owner/repository[@revision], or a model's folder."


@app.callback()
def show(context: typer.Context, *, as_json: JsonOption = False) -> None:
    """List the encoders: what they embed, their size and licence, and whether they are here."""
    if context.invoked_subcommand:
        return
    from polyseek.encode import catalogue

    rows = [_row(entry) for entry in catalogue.ENTRIES.values()]
    if as_json:
        print_json(rows)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("name", "modalities", "dim", "size", "licence", "here"):
        if column in ("dim", "size"):
            table.add_column(column, justify="right", no_wrap=True, min_width=len("1,712 MB"))
        else:
            table.add_column(column, no_wrap=column == "name", min_width=len(column))
    for row in rows:
        table.add_row(
            row["name"],
            " ".join(row["modalities"]),
            str(row["dim"]),
            f"{row['size_bytes'] / 1e6:,.0f} MB" if row["size_bytes"] else "",
            row["licence"] + (" (not for commerce)" if row["noncommercial"] else ""),
            "yes" if row["cached"] else "no" if row["readable"] else "not read yet",
        )
    console = Console(highlight=False)
    console.print(table)
    for row in rows:
        told = [row["summary"], row["languages"], row["published"], row["advice"]]
        line = ". ".join(each for each in told if each)
        console.print(f"\n{row['name']}: {line}", style="dim", soft_wrap=True)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(help=NAME)],
    *,
    check: Annotated[
        bool, typer.Option("--check", help="Verify the checksums of files already there.")
    ] = False,
) -> None:
    """Fetch an encoder's model files, so that everything after works offline."""
    from polyseek.cli.progress import progress_bar
    from polyseek.core.artifacts import ensure_all, location, verify
    from polyseek.core.config import resolve_settings
    from polyseek.encode import catalogue, names

    settings, entry = resolve_settings(), catalogue.ENTRIES.get(name)
    with progress_bar() as progress:
        if entry is None or not entry.artifacts:
            _, files = names.find(name, settings, progress=progress, verify=check)
            paths = [files.path(each) for each in files.checksums]
        else:
            for artifact in entry.artifacts if check else ():
                if not verify(artifact, settings):
                    location(artifact, settings).unlink(missing_ok=True)
            paths = ensure_all(entry.artifacts, settings, progress=progress)
    for path in paths:
        typer.echo(str(path))


@app.command()
def path(name: Annotated[str, typer.Argument(help=NAME)]) -> None:
    """Print where an encoder's model files are, or will be, one per line."""
    from dataclasses import replace

    from polyseek.core.artifacts import location
    from polyseek.core.config import resolve_settings
    from polyseek.encode import catalogue, names

    settings, entry = resolve_settings(), catalogue.ENTRIES.get(name)
    if entry is None or not entry.artifacts:
        _, files = names.find(name, replace(settings, offline=True))
        for each in files.checksums:
            typer.echo(str(files.path(each)))
        return
    for artifact in entry.artifacts:
        typer.echo(str(location(artifact, settings)))


@app.command()
def export(
    name: Annotated[str, typer.Argument(help=NAME)],
    *,
    to: Annotated[Path, typer.Option(metavar="DIR", help="A new or empty folder.")],
    precision: Annotated[str, typer.Option(metavar="P", help="fp32, fp16 or int8.")] = "fp32",
    as_json: JsonOption = False,
) -> None:
    """Write a PyTorch model as an ONNX folder, which runs without PyTorch."""
    from polyseek.api.exporting import export_model
    from polyseek.cli.progress import progress_bar
    from polyseek.core.artifacts import reporting

    with progress_bar() as progress, reporting(progress):
        report = export_model(name, to, precision=precision)
    if as_json:
        print_json(report.to_dict())
        return
    typer.echo(f"{report.folder}: {report.size_bytes / 1e6:,.1f} MB, {precision}")
    for modality, cosine in report.least_cosine.items():
        same = report.same_first.get(modality)
        found = f", {same:.1%} of the probe texts find the same first" if same is not None else ""
        typer.echo(f"  {modality}: cosine of at least {cosine:.5f} with the original{found}")
    here = report.folder if report.folder.is_absolute() else f"./{report.folder}"
    typer.echo(f"use it: polyseek index FOLDER --encoder {here}")


@app.command()
def join(
    name: Annotated[str, typer.Argument(help="The encoder whose embeddings are mapped.")],
    into: Annotated[str, typer.Argument(help="The encoder whose space stays as it is.")],
    *,
    to: Annotated[Path, typer.Option(metavar="FILE.npz", help="Where the map is written.")],
    as_json: JsonOption = False,
) -> None:
    """Fit the map that joins two encoders through the texts that both read."""
    from polyseek.api.joining import join_encoders
    from polyseek.cli.progress import progress_bar
    from polyseek.core.artifacts import reporting

    with progress_bar() as progress, reporting(progress):
        report = join_encoders(name, into, to)
    if as_json:
        print_json(report.to_dict())
        return
    typer.echo(
        f"{report.file}: fitted on {report.texts:,} texts; of those left out {report.found:.0%} "
        f"find themselves, mean cosine {report.cosine:.3f}"
    )


@app.command()
def advise(
    names: Annotated[
        list[str] | None, typer.Argument(help="What to try besides the encoders that are here.")
    ] = None,
    *,
    sample: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Some of your own pictures, sounds and texts."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure the encoders that are on this machine, and recommend one."""
    from polyseek.api.advising import advise as measure
    from polyseek.cli.progress import progress_bar

    with progress_bar() as progress:
        found = measure(names or (), sample=sample, progress=progress)
    if as_json:
        print_json(found.to_dict())
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("name")
    for column in ("quality", "pictures/s", "texts/s", "sounds/s", "start", "memory"):
        table.add_column(column, justify="right")
    table.add_column("licence")
    for each in found.measured:
        rates = [each.per_s.get(m) for m in ("image", "text", "audio")]
        table.add_row(
            each.name,
            "" if each.quality is None else f"{each.quality:.2f}",
            *("" if rate is None else f"{rate:,.1f}" for rate in rates),
            f"{each.start_s:.1f} s",
            f"{each.memory_bytes / 1e6:,.0f} MB",
            each.licence,
        )
    console = Console(highlight=False)
    console.print(table)
    for line in found.notes:
        console.print(line, style="dim", soft_wrap=True)


def _row(entry: Any) -> dict[str, Any]:
    from polyseek.core import hub
    from polyseek.core.artifacts import cached
    from polyseek.core.config import resolve_settings
    from polyseek.encode.catalogue import READABLE

    settings = resolve_settings()
    here = (
        all(cached(artifact, settings) for artifact in entry.artifacts)
        if entry.artifacts
        else hub.pulled(entry.source, settings)
    )
    return {
        "name": entry.name,
        "summary": entry.summary,
        "modalities": [str(modality) for modality in entry.modalities],
        "dim": entry.dim,
        "size_bytes": entry.size_bytes,
        "licence": entry.licence,
        "noncommercial": entry.noncommercial,
        "languages": entry.languages,
        "published": entry.published,
        "advice": entry.advice,
        "source": entry.source,
        "readable": entry.family in READABLE,
        "cached": here,
    }
