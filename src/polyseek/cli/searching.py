"""`polyseek search`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from polyseek.cli.options import AtOption, CollectionOption, JsonOption, print_json, write_page
from polyseek.cli.vectors import read_sparse, read_vector
from polyseek.core.errors import ConfigError


def search(
    terms: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TERM [+ TERM] [- TERM]...",
            help="A text, or a path or URL of a media file (text:... for text), or id:... for what "
            "is like an asset; several are joined by + and -, and weighted like 2:dog. Without "
            "any, what passes --filter or --modality is listed by path.",
            show_default=False,
        ),
    ] = None,
    *,
    collection: CollectionOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", "-k", min=1, help="Number of hits (default: 10).")
    ] = None,
    modality: Annotated[
        str | None, typer.Option(metavar="LIST", help="What to search, e.g. image,text.")
    ] = None,
    condition: Annotated[
        str | None,
        typer.Option("--filter", metavar="SQL", help="""Condition, e.g. "year >= 2020"."""),
    ] = None,
    min_probability: Annotated[
        float | None,
        typer.Option(
            metavar="P", min=0, max=1, help="Leave out hits that are less probable than this."
        ),
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help="Show the nearest hits, however improbable.")
    ] = False,
    hybrid: Annotated[
        bool, typer.Option("--hybrid", help="Compare embeddings and words (default).")
    ] = False,
    dense: Annotated[bool, typer.Option("--dense", help="Compare embeddings alone.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Compare words alone.")] = False,
    any_of: Annotated[
        bool, typer.Option("--any", help="Any of the terms is enough, not all of them.")
    ] = False,
    vector: Annotated[
        Path | None, typer.Option(metavar="NPY", help="A vector in the collection's space.")
    ] = None,
    sparse: Annotated[
        Path | None, typer.Option(metavar="JSON", help="A sparse vector: weights by index.")
    ] = None,
    query_encoder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Reads queries where vectors were made elsewhere."),
    ] = None,
    at: AtOption = None,
    like: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|PATH", help="More like this earlier hit; repeatable."),
    ] = None,
    unlike: Annotated[
        list[str] | None,
        typer.Option(metavar="ID|PATH", help="Less like this earlier hit; repeatable."),
    ] = None,
    collapse: Annotated[
        bool, typer.Option("--collapse", help="List near-duplicates with the better hit.")
    ] = False,
    diverse: Annotated[
        float | None,
        typer.Option(
            metavar="W", min=0, max=0.9, help="Prefer hits that differ from those above (try 0.5)."
        ),
    ] = None,
    moments: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="Further places shown in an asset (default: 3)."),
    ] = None,
    retriever: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="Stages to search with (polyseek retrievers)."),
    ] = None,
    as_json: JsonOption = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print only paths, for pipes.")] = False,
    grid: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a contact sheet (HTML with thumbnails)."),
    ] = None,
    glossary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What words stand for: 'term: meaning, meaning' lines."),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(metavar="S", help="Of the adapters, 0 (off) to 1, for this search."),
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Show how it was searched and why each hit is there.")
    ] = False,
) -> None:
    """Search with a text, a picture, a sound, a video or a document."""
    from polyseek import api
    from polyseek.cli import render
    from polyseek.cli.progress import progress_bar
    from polyseek.core.artifacts import reporting

    opened = api.open(collection, create=False, resident=False, query_encoder=query_encoder, at=at)
    with progress_bar() as progress, reporting(progress):
        results = opened.search(
            api.composing.read_terms(terms, any_of=any_of) if terms else None,
            vector=read_vector(vector) if vector else None,
            sparse=read_sparse(sparse) if sparse else None,
            limit=limit,
            modalities=[name.strip() for name in modality.split(",")] if modality else (),
            filter=condition,
            min_probability=min_probability,
            show_all=show_all or None,
            mode=_mode(hybrid=hybrid, dense=dense, text=text),
            like=like or (),
            unlike=unlike or (),
            retriever=retriever,
            collapse=collapse or None,
            diverse=diverse,
            moments=moments,
            explain=explain,
            where=explain and grid is not None,
            strength=strength,
            glossary=glossary,
        )
    if grid:
        _write_grid(grid, results)
    if as_json:
        print_json(results.to_dict(explain=explain))
    elif paths:
        render.paths(results)
    else:
        render.results(results, explain=explain)
        if grid:
            typer.echo(f"contact sheet: {grid}")


def _mode(**flags: bool) -> str | None:
    chosen = [name for name, given in flags.items() if given]
    if len(chosen) > 1:
        raise ConfigError(f"--{' and --'.join(chosen)} exclude each other; give one of them")
    return chosen[0] if chosen else None


def _write_grid(path: Path, results: Any) -> None:
    from polyseek.search.sheet import page

    write_page("--grid", path, page(results))
