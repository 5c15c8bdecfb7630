"""The commands. Each one parses its arguments, calls `polyseek.api` and renders the answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from polyseek.cli import adapt, exits, keys, models, retrievers
from polyseek.cli.evaluation import evaluate
from polyseek.cli.fields import fields
from polyseek.cli.glossary import glossary as glossary_command
from polyseek.cli.mcp import mcp
from polyseek.cli.options import AtOption, CollectionOption, JsonOption, print_json, write_page
from polyseek.cli.reindex import reindex
from polyseek.cli.searching import search
from polyseek.cli.serve import serve
from polyseek.cli.vectors import export, import_
from polyseek.cli.versions import compact, rollback, versions

app = typer.Typer(
    name="polyseek",
    help="Search images, sounds, videos and texts with a query of any modality.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        from polyseek import __version__

        typer.echo(f"polyseek {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Search images, sounds, videos and texts with a query of any modality."""


@app.command()
def index(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Folders, files, or URLs like s3://bucket/prefix."
        ),
    ],
    *,
    collection: CollectionOption = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Encoder of a new collection (default: mini): a name of 'polyseek models', "
            "hf:owner/repository, or a model's folder.",
        ),
    ] = None,
    sparse: Annotated[
        str | None, typer.Option(metavar="NAME", help="Sparse encoder of a new collection.")
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only these paths (as in .gitignore); repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Not these paths (as in .gitignore); repeatable."),
    ] = None,
    metadata: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV, JSONL or Parquet with a 'path' column."),
    ] = None,
    keep_deleted: Annotated[
        bool, typer.Option("--keep-deleted", help="Keep assets that are gone from the source.")
    ] = False,
    ocr: Annotated[
        bool | None,
        typer.Option(
            "--ocr/--no-ocr",
            help="Read the words in pictures, scans and video frames (default: as last time).",
            show_default=False,
        ),
    ] = None,
    asr: Annotated[
        bool | None,
        typer.Option(
            "--asr/--no-asr",
            help="Write down what is said in recordings and videos (default: as last time).",
            show_default=False,
        ),
    ] = None,
    window: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Length of the windows that recordings are cut into (default: 10); shorter ones "
            "find short sounds. For files that are new or changed.",
        ),
    ] = None,
    hop: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", help="From one window to the next (default: half a window)."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Decode processes; 0: one per core.")] = 0,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and index again whenever a source changes.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Index folders, files and buckets; run it again to pick up what changed."""
    from polyseek import api
    from polyseek.cli import render, watching
    from polyseek.cli.progress import progress_bar

    options: dict[str, Any] = {
        "include": include or (),
        "exclude": exclude or (),
        "metadata": metadata,
        "keep_deleted": keep_deleted,
        "workers": workers,
        "ocr": ocr,
        "asr": asr,
        **windows(window, hop),
    }
    with api.open_to_index(
        collection, *sources, encoder=encoder, sparse=sparse, **options
    ) as opened:
        if watch:
            return watching.run(opened, sources, options, as_json=as_json)
        with progress_bar() as progress:
            done = opened.add(*sources, progress=progress, **options)
    if as_json:
        print_json(render.report_dict(done))
    else:
        render.report(done, location=opened.location)
    return exits.INTERRUPTED if done.interrupted else exits.OK


def windows(window: float | None, hop: float | None) -> dict[str, float]:
    """Options for the windows of recordings, as far as they are given."""
    found = {} if window is None else {"window_s": window, "hop_s": window / 2}
    return found if hop is None else {**found, "hop_s": hop}


app.command()(search)


@app.command()
def remove(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Folders, files or URLs.")],
    *,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Forget what was indexed at or below these paths; the files themselves stay."""
    from polyseek import api

    opened = api.open(collection, create=False, resident=False)
    count = opened.remove(*paths)
    if as_json:
        print_json({"removed": count})
    else:
        typer.echo(f"{opened.location}: {count:,} removed")


@app.command()
def status(
    *, collection: CollectionOption = None, at: AtOption = None, as_json: JsonOption = False
) -> None:
    """Show what a collection holds and which assets failed."""
    from polyseek import api
    from polyseek.cli import render

    found = api.open(collection, create=False, resident=False, at=at).status()
    if as_json:
        print_json(found.to_dict())
    else:
        render.status(found)


@app.command()
def tune(
    *,
    collection: CollectionOption = None,
    bank: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Your own typical queries, one per line, at least 100."),
    ] = None,
    pairs: Annotated[
        str | None,
        typer.Option(
            metavar="auto|field:NAME|FILE", help="Labelled queries to choose by, as for eval."
        ),
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The queries that ids in --pairs stand for.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit probabilities and hub corrections to a collection; labels help but are not needed."""
    from polyseek import api
    from polyseek.cli import render
    from polyseek.cli.progress import progress_bar

    opened = api.open(collection, create=False, resident=pairs is not None)
    with progress_bar() as progress:
        found = opened.tune(bank=bank, pairs=pairs, queries=queries, progress=progress)
    if as_json:
        print_json(json.loads(found.to_json()))
    else:
        render.tuning(found, location=opened.location)


@app.command()
def doctor(
    *,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a report with plots.")
    ] = None,
) -> int:
    """Check the encoder, the vectors and the index; exit code 0 healthy, 3 warnings, 4 failures."""
    from polyseek import api
    from polyseek.cli import diagnosis
    from polyseek.cli.progress import progress_bar

    opened = api.open(collection, create=False, resident=False)
    with progress_bar() as progress:
        found = opened.doctor(progress=progress)
    if html:
        from polyseek.evaluate.report import page

        write_page("--html", html, page(found))
    if as_json:
        print_json(found.to_dict())
    else:
        diagnosis.show(found)
        if html:
            typer.echo(f"report: {html}")
    return diagnosis.exit_code(found)


@app.command()
def demo(
    folder: Annotated[
        Path | None, typer.Argument(help="Your own folder; leave out for a small public corpus.")
    ] = None,
    *,
    to: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where to put the corpus and the collection.")
    ] = Path("polyseek-demo"),
) -> int:
    """Index a small real corpus and search it in every direction."""
    from polyseek.cli.demo import run

    return run(folder, to=to)


app.command("eval")(evaluate)
app.command()(adapt.adapt)
app.add_typer(adapt.app, name="adapters")
app.command()(glossary_command)
app.command()(fields)
app.add_typer(retrievers.app, name="retrievers")
app.command("import")(import_)
app.command()(export)
app.command()(versions)
app.command()(rollback)
app.command()(compact)
app.command()(reindex)
app.add_typer(models.app, name="models")
app.command()(serve)
app.add_typer(keys.app, name="keys")
app.command()(mcp)
