"""`polyseek eval`: how good is it on this collection?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from polyseek.cli import exits
from polyseek.cli.options import CollectionOption, print_json
from polyseek.core.errors import ConfigError, StoreError

WORST = 3
SHORT = 60


def evaluate(
    *,
    collection: CollectionOption = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="auto|field:NAME|FILE",
            help="Queries with their answers: what the collection itself says of its assets "
            "(default), one metadata field, or a .csv, .tsv or .jsonl with columns 'query' and "
            "'path'.",
        ),
    ] = None,
    qrels: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TREC qrels, or a folder in BEIR's layout, instead."),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The queries that ids in --qrels stand for.")
    ] = None,
    slice_by: Annotated[
        str | None, typer.Option("--slice", metavar="FIELD", help="Also by values of a field.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=0, help="Queries per direction, drawn at random; 0 for all.")
    ] = 1_000,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="hybrid|dense|text",
            help="What is compared (default: hybrid; dense where queries stand in the answers).",
        ),
    ] = None,
    retriever: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="The stages of the searches; --compare shows what they win over another run.",
        ),
    ] = None,
    gate: Annotated[
        Path | None,
        typer.Option(metavar="RUN.json", help="Exit with 5 when a figure dropped significantly."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(metavar="RUN.json", help="Show what differs from this run.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the run as JSON, for programs and --gate.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a report with plots and thumbnails.")
    ] = None,
) -> int:
    """Measure quality on your own collection: recall, MRR, nDCG, mAP with intervals."""
    from polyseek import api
    from polyseek.cli.progress import progress_bar
    from polyseek.evaluate.compare import compare as difference
    from polyseek.evaluate.runs import read_run

    if pairs is not None and qrels is not None:
        raise ConfigError("--pairs and --qrels exclude each other; give one of them")
    if gate is not None and compare is not None:
        raise ConfigError("--gate and --compare exclude each other; give one of them")
    option, path = ("--gate", gate) if gate else ("--compare", compare)
    base = read_run(path, option) if path else None
    opened = api.open(collection, create=False)
    with progress_bar() as progress:
        run = opened.evaluate(
            qrels or pairs or "auto",
            queries=queries,
            slice_by=slice_by,
            limit=limit,
            mode=mode,
            retriever=retriever,
            progress=progress,
        )
    compared = difference(base, run) if base else None
    if html:
        _write(html, run, compared)
    _keep(opened, run)
    if as_json:
        extra = {"comparison": compared.to_dict()} if compared else {}
        print_json({**run.to_dict(), **extra}, indent=1)
    else:
        _show(run)
        if compared:
            _show_comparison(compared)
        if html:
            typer.echo(f"report: {html}")
    return exits.OK if gate is None or compared is None or compared.passed else exits.REGRESSION


def _keep(opened: Any, run: Any) -> None:
    """So that the server's page shows it; a collection that cannot be written is measured, too."""
    try:
        kept = opened.evaluations.keep(run)
    except StoreError as error:
        typer.echo(f"this evaluation was not kept: {error}", err=True)
    else:
        typer.echo(f"kept as evaluation {kept.number} (polyseek serve shows it)", err=True)


def _write(path: Path, run: Any, compared: Any) -> None:
    from polyseek.api.collection import clip
    from polyseek.evaluate.quality_page import page

    try:
        path.write_text(page(run, preview=clip, comparison=compared), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--html {path}: cannot be written: {error.strerror}") from error


def _show(run: Any) -> None:
    console = Console(highlight=False)
    spent = sum(run.elapsed_s.values())
    stages = "" if run.retriever == "default" else f"retriever {run.retriever}, "
    console.print(Text(f"{run.location}  (encoder {run.encoder}, {stages}{spent:.1f} s)"))
    console.print(_figures(run))
    for one in run.directions:
        _show_slices(console, one)
    for one in run.directions:
        _show_worst(console, one)
    for note in run.notes:
        console.print(Text(f"note: {note}"))
    console.print(
        "In percent but for ranks, with 95 % intervals by asset; ties count against the search.",
        style="dim",
    )


def _figures(run: Any) -> Table:
    """One column per direction: figures are long, directions few."""
    from polyseek.evaluate.outcomes import METRICS
    from polyseek.evaluate.quality_page import estimate
    from polyseek.evaluate.runs import MEDIAN

    table = _table("")
    for one in run.directions:
        table.add_column(one.name, justify="right", no_wrap=True)
    figures = [one.figures() for one in run.directions]
    for name in (*METRICS, MEDIAN):
        table.add_row(name, *(estimate(name, found[name]) for found in figures))
    table.add_row("finds something", *(f"{100 * one.answered:.1f}" for one in run.directions))
    table.add_section()
    for label, values in (
        ("queries", [f"{len(one.outcomes):,} about {one.groups:,}" for one in run.directions]),
        ("searched", [f"{one.searched:,}, {one.mode}" for one in run.directions]),
    ):
        table.add_row(label, *values, style="dim")
    return table


def _show_slices(console: Console, one: Any) -> None:
    from polyseek.evaluate.quality_page import estimate

    parts = one.slices()
    if not parts:
        return
    shown = ("R@1", "nDCG@10")
    table = _table(one.name, "queries", *shown)
    for part in parts:
        table.add_row(
            Text(f"{part.name}: {part.value}"),
            f"{part.questions:,}",
            *(estimate(name, part.figures[name]) for name in shown),
        )
    console.print(table)


def _show_worst(console: Console, one: Any) -> None:
    from polyseek.evaluate.outcomes import DEPTH
    from polyseek.evaluate.subject import name_of

    def name(text: str) -> str:
        line = " ".join((name_of(text) if "://" in text else text).split())
        return line if len(line) <= SHORT else line[: SHORT - 1] + "…"

    worst = one.worst(WORST)
    if worst:
        console.print(f"{one.name}, furthest down:", style="dim")
    for outcome in worst:
        place = f"not among {DEPTH}" if outcome.rank > DEPTH else f"at {outcome.rank:g}"
        first = name(outcome.found[0]) if outcome.found else "nothing"
        console.print(
            Text(f"  {name(outcome.label)}\n").append(
                f"    {name(outcome.expected)}: {place}; first is {first}", style="dim"
            )
        )


def _show_comparison(compared: Any) -> None:
    console = Console(highlight=False)
    table = _table("against the base", "before", "after", "p", "")
    for one in compared.differences:
        verdict = ("worse" if one.dropped else "better") if one.significant else ""
        table.add_row(
            f"{one.direction} {one.metric}",
            f"{100 * one.before:.1f}",
            f"{100 * one.after:.1f}",
            f"{one.p_value:.4f}",
            Text(verdict, style="red" if one.dropped else "green"),
        )
    console.print(table)
    for note in compared.notes:
        console.print(Text(f"note: {note}"))
    drops = ", ".join(f"{one.direction} {one.metric}" for one in compared.drops)
    reasons = [f"dropped: {drops}"] if drops else []
    reasons += [f"not measured: {', '.join(compared.missing)}"] if compared.missing else []
    verdict = "; ".join(reasons) or "no figure dropped by more than chance"
    console.print(Text(verdict, style="bold green" if compared.passed else "bold red"))


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table
