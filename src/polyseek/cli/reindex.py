"""`polyseek reindex`: another encoder, built beside the old index, compared, then switched to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from polyseek.cli import exits
from polyseek.cli.options import CollectionOption, JsonOption, print_json
from polyseek.core.errors import ConfigError

if TYPE_CHECKING:
    from polyseek.api.reindex import ReindexReport

_SHOWN_LOST = 10


def reindex(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE]...", help="What it is made of, if that is not noted."),
    ] = None,
    *,
    encoder: Annotated[str | None, typer.Option(metavar="NAME", help="The new encoder.")] = None,
    collection: CollectionOption = None,
    pairs: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV or JSONL of query and path: compares quality, too."),
    ] = None,
    switch: Annotated[
        bool, typer.Option("--switch", help="Let the new index answer from now on.")
    ] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Let the old index answer again.")] = False,
    drop: Annotated[
        bool, typer.Option("--drop", help="Remove the indexes that do not answer, for good.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Build an index with another encoder while the old one answers, and compare the two."""
    from polyseek import api
    from polyseek.api import reindex as road
    from polyseek.cli.progress import progress_bar

    if sum([encoder is not None, undo, drop]) != 1 or (switch and encoder is None):
        raise ConfigError("give one of --encoder NAME (with or without --switch), --undo, --drop")
    opened = api.open(collection, create=False, resident=False)
    if undo or drop:
        done = road.undo(opened.location) if undo else road.drop(opened.location)
        names = [done] if isinstance(done, str) else done
        if as_json:
            print_json({"serving" if undo else "dropped": names})
        else:
            shown = ", ".join(name or "the first index" for name in names) or "nothing"
            typer.echo(f"{opened.location}: {shown} {'answers again' if undo else 'dropped'}")
        return exits.OK
    assert encoder is not None  # noqa: S101 - one of the three is given
    with progress_bar() as progress:
        report, shadow = road.build(
            opened, encoder, sources=sources or (), pairs=pairs, progress=progress
        )
    if switch and not report.ingest.interrupted:
        road.switch(opened.location, road.generation_name(shadow.manifest))
    if as_json:
        print_json(report.to_dict())
    else:
        _show(report, location=opened.location, switched=switch)
    return exits.INTERRUPTED if report.ingest.interrupted else exits.OK


def _show(report: ReindexReport, *, location: str, switched: bool) -> None:
    console = Console(highlight=False, soft_wrap=True)
    new = report.ingest.added + report.ingest.updated + report.ingest.moved
    console.print(
        f"{location}: {report.assets:,} assets with {report.encoder}, {new:,} of them now "
        f"({report.ingest.elapsed_s:.1f} s)"
    )
    if report.ingest.interrupted:
        console.print("Stopped early. Run the same command again to go on from here.")
        return
    if report.lost:
        console.print(f"{len(report.lost):,} assets only the old index can search:")
        for failure in report.lost[:_SHOWN_LOST]:
            console.print(Text(f"  {failure.uri}: {failure.reason}"))
    if report.changed:
        console.print(
            f"{report.changed:,} assets have changed since; 'polyseek index' after the switch "
            "reads them"
        )
    _compared(console, report)
    if switched:
        console.print("The new index answers now; 'polyseek reindex --undo' goes back.")
    else:
        console.print("The old index still answers; the same command with --switch changes that.")


def _compared(console: Console, report: ReindexReport) -> None:
    found = report.comparison
    if found is None or not found.queries:
        return
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found.overlap.items())
    console.print(
        f"{found.queries:,} queries asked of both: of ten hits they share {shares}; the same "
        f"first hit {found.same_first:.0%}"
    )
    if found.quality:
        table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
        for column in (f"{found.quality[0].queries:,} pairs", "R@1", "R@10", "MRR"):
            table.add_column(column)
        for name, one in zip(("old", "new"), found.quality, strict=True):
            figures = one.recall_at_1, one.recall_at_10, one.mrr
            table.add_row(name, *(f"{figure:.3f}" for figure in figures))
        console.print(table)
    if found.movers:
        console.print("What changes most:")
    for mover in found.movers:
        console.print(Text(f"  {mover.query}  ({mover.overlap:.0%} in common)"))
        console.print(Text(f"    old: {', '.join(mover.before) or 'nothing'}", style="dim"))
        console.print(Text(f"    new: {', '.join(mover.after) or 'nothing'}", style="dim"))
