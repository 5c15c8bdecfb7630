"""`polyseek retrievers`: the stages of a search, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from polyseek.cli.options import CollectionOption, JsonOption, print_json

app = typer.Typer(
    help="List, save and remove retrievers: the stages of a search, in a small TOML file.",
    no_args_is_help=True,
)


@app.command("list")
def list_(
    *,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the retrievers of a collection."""
    from polyseek import api

    found = api.open(collection, create=False, resident=False).retrievers.list()
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(sorted(found)))


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="Its name.")] = "default",
    *,
    collection: CollectionOption = None,
) -> None:
    """Print a retriever's TOML: a file to start from."""
    from polyseek import api
    from polyseek.core.errors import ConfigError

    found = api.open(collection, create=False, resident=False).retrievers.list()
    if name not in found:
        raise ConfigError(f"no retriever '{name}'; saved: {', '.join(sorted(found))}")
    typer.echo(found[name], nl=False)


@app.command()
def save(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The TOML file.")],
    *,
    name: Annotated[
        str | None, typer.Option(help="Its name (default: the file's; 'default' is used always).")
    ] = None,
    collection: CollectionOption = None,
) -> None:
    """Keep a retriever with the collection."""
    from polyseek import api

    saved = api.open(collection, create=False, resident=False).retrievers.save(file, name)
    typer.echo(f"saved; search with --retriever {saved}")


@app.command()
def remove(name: str, *, collection: CollectionOption = None) -> None:
    """Forget a saved retriever."""
    from polyseek import api

    api.open(collection, create=False, resident=False).retrievers.remove(name)
    typer.echo(f"{name}: removed")


@app.command()
def learn(
    pairs: Annotated[
        Path,
        typer.Argument(metavar="PAIRS", help="Queries and the assets that answer them (CSV, ...)."),
    ],
    *,
    collection: CollectionOption = None,
) -> None:
    """Learn the reranker 'fusion' from your pairs; kept only if it is better on held-out ones."""
    from polyseek import api
    from polyseek.cli.progress import progress_bar

    opened = api.open(collection, create=False)
    with progress_bar() as progress:
        fitted = opened.learn_fusion(pairs, progress=progress)
    typer.echo(f"{opened.location}: {fitted.note}")
    if fitted.model is not None:
        typer.echo('use it with a retriever that has: [rerank] by = ["fusion"]')
