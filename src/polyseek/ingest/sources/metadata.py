"""Metadata that users keep beside their assets: tables joined on the path, and JSON sidecars."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, BinaryIO

from polyseek.core.errors import SourceError, SourceNotFoundError
from polyseek.core.types import Metadata, MetadataValue

MAX_DEPTH = 100
JOIN_COLUMNS = ("path", "file_name", "filename")


def read_table(path: Path) -> dict[str, Metadata]:
    """Rows of a CSV, JSONL or Parquet file by the asset path they belong to.

    The path column is `path` (or `file_name`, `filename`), relative to the source's root with
    ``/`` separators. CSV columns get the type all their values have.

    Raises:
        SourceError: The file is missing, unreadable, or has no path column.
    """
    path = path.expanduser()
    if not path.is_file():
        raise SourceNotFoundError(f"--metadata {path}: no such file")
    try:
        with path.open("rb") as file:
            return _joined(path, rows_of(path.suffix, file))
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"--metadata {path}: cannot be read: {error}") from error


def _joined(path: Path, rows: list[dict[str, Any]]) -> dict[str, Metadata]:
    if not rows:
        return {}
    join = next((name for name in JOIN_COLUMNS if name in rows[0]), None)
    if join is None:
        raise SourceError(
            f"--metadata {path}: needs a column named 'path'; it has {', '.join(rows[0])}"
        )
    return {
        str(row[join]).removeprefix("./"): flatten_metadata(
            {key: value for key, value in row.items() if key != join}
        )
        for row in rows
        if row.get(join)
    }


def flatten_metadata(
    content: Mapping[str, Any], prefix: str = "", *, depth: int = 1
) -> dict[str, MetadataValue]:
    """Typed fields from JSON-like content: nested keys joined by dots, nulls left out.

    Lists become lists of texts; a list that holds objects becomes the text of each.

    Raises:
        ValueError: It is nested deeper than anybody means to.
    """
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    fields: dict[str, MetadataValue] = {}
    for key, value in content.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            fields.update(flatten_metadata(value, f"{name}.", depth=depth + 1))
        elif isinstance(value, (list, tuple)):
            fields[name] = [str(item) for item in value if item is not None]
        elif isinstance(value, datetime):
            fields[name] = value if value.tzinfo else value.replace(tzinfo=UTC)
        elif isinstance(value, date):
            fields[name] = datetime(value.year, value.month, value.day, tzinfo=UTC)
        elif isinstance(value, (bool, int, float, str)):
            if value == value and value != "":  # noqa: PLR0124 - NaN is no value
                fields[name] = value
        elif value is not None:
            fields[name] = str(value)
    return fields


def rows_of(suffix: str, file: BinaryIO) -> list[dict[str, Any]]:
    """The rows of a table in one of the formats that file names tell.

    Raises:
        ValueError: It is in another format, or broken.
    """
    suffix = suffix.lower()
    if suffix in (".csv", ".tsv"):
        from pyarrow import csv

        parse = csv.ParseOptions(
            delimiter="\t" if suffix == ".tsv" else ",", newlines_in_values=True
        )
        rows: list[dict[str, Any]] = csv.read_csv(file, parse_options=parse).to_pylist()
    elif suffix in (".jsonl", ".ndjson"):
        import json

        rows = [json.loads(line) for line in file.read().splitlines() if line.strip()]
        if not all(isinstance(row, dict) for row in rows):
            raise ValueError("expected an object in every line")
    elif suffix in (".parquet", ".pq"):
        from pyarrow import parquet

        rows = parquet.read_table(file).to_pylist()
    else:
        raise ValueError("expected a .csv, .tsv, .jsonl or .parquet file")
    return rows
