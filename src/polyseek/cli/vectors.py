"""`polyseek import` and `polyseek export`: vectors from elsewhere, and everything out again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from polyseek.cli.options import CollectionOption, JsonOption, print_json
from polyseek.core.config import ImportOptions
from polyseek.core.errors import ConfigError, QueryError


def import_(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Vectors: .parquet, .npy, .lance or .jsonl.")
    ],
    *,
    collection: CollectionOption = None,
    id_: Annotated[str, typer.Option("--id", metavar="COLUMN", help="Tells rows apart.")] = "id",
    vector: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN", help="Lists of numbers (default: vector, embedding, or the only one)."
        ),
    ] = None,
    sparse: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help='Sparse vectors: {"indices": [..], "weights": [..]}.'),
    ] = None,
    text: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The words of each row.")
    ] = None,
    modality: Annotated[
        str | None, typer.Option(help="What the rows are (default: text).", show_default=False)
    ] = None,
    metadata: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Becomes a field; repeatable (default: all others)."),
    ] = None,
    rows: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="For .npy: a table with one row for each vector."),
    ] = None,
    query_encoder: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Encoder that made the vectors, to read queries."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Put vectors that were made elsewhere into a collection; run it again to update rows."""
    from polyseek.api import vectors
    from polyseek.api.options import modalities_of
    from polyseek.cli.progress import progress_bar

    options = ImportOptions(
        id=id_,
        vector=vector,
        sparse=sparse,
        text=text,
        modality=modalities_of([modality])[0] if modality else None,
        metadata=metadata,
        rows=rows,
    )
    opened, table = vectors.open_to_import(
        collection, file, options=options, query_encoder=query_encoder
    )
    with progress_bar() as progress:
        done = opened.add_table(table, options, progress=progress)
    if as_json:
        print_json(done.to_dict())
        return
    parts = [f"{n:,} {word}" for n, word in ((done.added, "added"), (done.updated, "updated")) if n]
    scaled = f"; {done.scaled:,} vectors brought to unit length" if done.scaled else ""
    typer.echo(f"{opened.location}: {', '.join(parts)} ({done.elapsed_s:.1f} s){scaled}")


def export(
    *,
    to: Annotated[
        Path, typer.Option(metavar="FILE", help="A new file that ends in .parquet or .lance.")
    ],
    collection: CollectionOption = None,
    condition: Annotated[
        str | None, typer.Option("--filter", metavar="SQL", help="Only what passes.")
    ] = None,
    at: Annotated[
        str | None, typer.Option(metavar="VERSION|TIME", help="As the collection was then.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write ids, texts, fields and embeddings to a table that polyseek and others read."""
    from polyseek import api

    opened = api.open(collection, create=False, resident=False, at=at)
    count = opened.export(to, filter=condition)
    if as_json:
        print_json({"exported": count, "to": str(to)})
    else:
        typer.echo(f"{to}: {count:,} segments")


def read_vector(path: Path) -> Any:
    """The query vector in a ``.npy`` file.

    Raises:
        QueryError: It cannot be read as one.
    """
    import numpy as np

    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise QueryError(f"--vector {path}: cannot be read as a NumPy array: {error}") from error


def read_sparse(path: Path) -> dict[int, float]:
    """The weights by index in a JSON file: ``{"17": 0.4, "2041": 1.3}``.

    Raises:
        ConfigError: It cannot be read as such.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if "indices" in found and "weights" in found:
            found = dict(zip(found["indices"], found["weights"], strict=True))
        return {int(index): float(weight) for index, weight in found.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ConfigError(
            f'--sparse {path}: expected JSON such as {{"17": 0.4, "2041": 1.3}}: {error}'
        ) from error
