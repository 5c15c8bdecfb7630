"""`polyseek adapt` and `polyseek adapters`: learn from pairs, and keep what was learned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyseek.cli import exits
from polyseek.cli.options import CollectionOption, JsonOption, print_json

if TYPE_CHECKING:
    from rich.table import Table

NameArgument = Annotated[str, typer.Argument(help="Version, as 'polyseek adapters' lists it.")]

app = typer.Typer(
    help="List the adapters of a collection; use, turn off or remove them.",
    invoke_without_command=True,
)


def adapt(
    *,
    pairs: Annotated[
        str,
        typer.Option(
            metavar="FILE",
            help="Queries and the assets that answer them (CSV, JSONL, TREC, BEIR), or auto.",
        ),
    ],
    queries: Annotated[
        str | None, typer.Option(metavar="FILE", help="Queries that ids in --pairs stand for.")
    ] = None,
    collection: CollectionOption = None,
    tower: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Join a function from a file to a vector: module:function, ./file.py:function.",
        ),
    ] = None,
    modality: Annotated[
        str | None, typer.Option(metavar="NAME", help="What the tower embeds: depth, thermal, ...")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Install it even if held-out pairs do not improve.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, install nothing.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Learn from your own pairs; exit code 6 when nothing became better and so nothing changed."""
    from polyseek import api
    from polyseek.cli.progress import progress_bar

    opened = api.open(collection, create=False, resident=False)
    with progress_bar() as progress:
        report = opened.adapt(
            pairs, queries=queries, force=force, install=not dry_run, tower=tower,
            modality=modality, progress=progress,
        )  # fmt: skip
    found = report.to_dict()
    if as_json:
        print_json(found)
    else:
        _show_report(found, location=opened.location, dry_run=dry_run)
    better = any(direction["better"] for direction in found["directions"])
    return exits.OK if better or report.name else exits.NOT_BETTER


@app.callback()
def adapters(
    context: typer.Context, *, collection: CollectionOption = None, as_json: JsonOption = False
) -> None:
    """List the versions: what they were fitted on, how good they are, and which ones serve."""
    if context.invoked_subcommand:
        return
    from polyseek import api

    opened = api.open(collection, create=False, resident=False)
    uses, joined = opened.adapters.in_use, set(opened.adapters.joined.values())
    rows = [
        {
            "name": adapter.name,
            **each,
            "in_use": next(
                (
                    use.strength
                    for (query, target), use in uses.items()
                    if (query, target, use.adapter) == (each["query"], each["target"], adapter.name)
                ),
                float(adapter.name in joined),
            ),
        }
        for adapter in opened.adapters
        for each in adapter.report["directions"]
    ]
    if as_json:
        print_json(rows)
        return
    from rich.console import Console

    Console(highlight=False).print(_versions(rows) if rows else "no adapters yet")


@app.command()
def use(
    name: NameArgument,
    *,
    strength: Annotated[
        float | None,
        typer.Option(metavar="S", help="0 (as if not adapted) to 1 (default: what was best)."),
    ] = None,
    collection: CollectionOption = None,
) -> None:
    """Let a version serve from now on, and tune the collection to it."""
    from polyseek import api
    from polyseek.cli.progress import progress_bar

    opened = api.open(collection, create=False, resident=False)
    with progress_bar() as progress:
        opened.adapters.use(name, strength=strength, progress=progress)
    typer.echo(f"{opened.location}: {name} serves, and the collection is tuned to it")


@app.command()
def off(*, collection: CollectionOption = None) -> None:
    """Let no adapter serve; all versions stay."""
    from polyseek import api
    from polyseek.cli.progress import progress_bar

    opened = api.open(collection, create=False, resident=False)
    with progress_bar() as progress:
        opened.adapters.off(progress=progress)
    typer.echo(f"{opened.location}: no adapter serves")


@app.command()
def remove(name: NameArgument, *, collection: CollectionOption = None) -> None:
    """Forget a version."""
    from polyseek import api
    from polyseek.cli.progress import progress_bar

    opened = api.open(collection, create=False, resident=False)
    with progress_bar() as progress:
        opened.adapters.remove(name, progress=progress)
    typer.echo(f"{opened.location}: {name} removed")


def _show_report(found: Mapping[str, Any], *, location: str, dry_run: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for direction in found["directions"]:
        console.print(Text(_headline(direction), style="bold"))
        console.print(_figures(direction))
        console.print(Text(_outcome(direction, dry_run=dry_run), style=_style(direction)))
    for note in found["notes"]:
        console.print(Text(note, style="dim"))
    if found["adapter"]:
        console.print(f"{location}: {found['adapter']} serves, and the collection is tuned to it")
    else:
        console.print(f"{location}: nothing installed")
    if found["adapter"] and found["directions"][0]["baseline"] == "chance":
        console.print("now 'polyseek index' reads its files, and a file of it can be a query")


def _headline(direction: Mapping[str, Any]) -> str:
    return (
        f"{direction['query']} -> {direction['target']}: {direction['queries']:,} queries in "
        f"{direction['groups']:,} groups, each held out once, among {direction['items']:,} items"
    )


def _figures(direction: Mapping[str, Any]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 2))
    names = list(direction["before"])
    for name in ("", *names):
        table.add_column(name, no_wrap=True)
    before = "by chance" if direction["baseline"] == "chance" else "before"
    for label, key in ((before, "before"), (direction["rung"], "after")):
        table.add_row(label, *(_interval(direction[key][name]) for name in names))
    return table


def _interval(values: Iterable[float]) -> str:
    mean, low, high = (100 * value for value in values)
    return f"{mean:.1f} ({low:.0f}-{high:.0f})"


def _outcome(direction: Mapping[str, Any], *, dry_run: bool) -> str:
    low, high = direction["gain_mrr"]
    text = f"MRR {100 * low:+.1f} to {100 * high:+.1f}: "
    kept = direction["generic_results_kept"]
    rest = "" if kept is None else f"; of what generic queries find, {kept:.0%} stays"
    if direction["installed"]:
        if direction["baseline"] == "chance":
            return f"{text}joined{'' if direction['better'] else ' by force'}"
        forced = "" if direction["better"] else " by force"
        return f"{text}installed{forced} at strength {direction['strength']:g}{rest}"
    if direction["better"]:
        return f"{text}better{'' if dry_run else ', not installed'}{rest}"
    return f"{text}not better beyond chance, so it stays as it is"


def _style(direction: Mapping[str, Any]) -> str:
    return "green" if direction["better"] else "yellow"


def _versions(rows: Iterable[Mapping[str, Any]]) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("name", "direction", "fitted by", "queries", "R@1 before", "R@1 after",
                 "R@10 before", "R@10 after", "in use"):  # fmt: skip
        words = name in ("name", "direction")  # what is typed again must not be cut
        table.add_column(name, justify="left" if words else "right", no_wrap=words)
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['query']} -> {row['target']}",
            row["rung"],
            f"{row['queries']:,}",
            *(f"{100 * row[when][at][0]:.1f}" for at in ("R@1", "R@10") for when in _WHEN),
            f"at {row['in_use']:g}" if row["in_use"] else "no",
        )
    return table


_WHEN = ("before", "after")
