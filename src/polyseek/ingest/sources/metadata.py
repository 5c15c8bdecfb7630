"""Metadata that users keep beside their assets: tables joined on the path, and JSON sidecars."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from polyseek.core.errors import SourceError, SourceNotFoundError
from polyseek.core.types import Metadata, MetadataValue
from polyseek.ingest.sources.joined import JoinedTable

if TYPE_CHECKING:
    import pyarrow as pa

MAX_DEPTH = 100
BLOCK_BYTES, BLOCK_ROWS = 4 * 1024 * 1024, 4_096
"""Of a table: what is in memory at a time."""

JOIN_COLUMNS = ("path", "file_name", "filename")


def read_table(path: Path) -> Mapping[str, Metadata]:
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
        status = path.stat()
        return _read(path, status.st_size, status.st_mtime_ns)
    except (OSError, ValueError, RecursionError) as error:
        raise SourceError(f"--metadata {path}: cannot be read: {error}") from error


@lru_cache(maxsize=1)
def _read(path: Path, _size: int, _modified: int) -> JoinedTable:
    """Several sources share one table."""
    with path.open("rb") as file:
        return JoinedTable(_joined(path, rows_of(path.suffix, file)))


def _joined(path: Path, rows: Iterable[dict[str, Any]]) -> Iterator[tuple[str, Metadata]]:
    join: str | None = None
    for row in rows:
        join = join or next((name for name in JOIN_COLUMNS if name in row), None)
        if join is None:
            raise SourceError(
                f"--metadata {path}: needs a column named 'path'; it has {', '.join(row)}"
            )
        if row.get(join):
            fields = {key: value for key, value in row.items() if key != join}
            yield str(row[join]).removeprefix("./"), flatten_metadata(fields)


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


def rows_of(suffix: str, file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The rows of a table in one of the formats that file names tell, read block by block.

    Raises:
        ValueError: It is in another format, or broken.
    """
    suffix = suffix.lower()
    if suffix in (".csv", ".tsv"):
        yield from _rows_of_csv(file, delimiter="\t" if suffix == ".tsv" else ",")
    elif suffix in (".jsonl", ".ndjson"):
        for line in file:
            if line.strip():
                row = json.loads(line)
                if not isinstance(row, dict):
                    raise ValueError("expected an object in every line")
                yield row
    elif suffix in (".parquet", ".pq"):
        from pyarrow import parquet

        for batch in parquet.ParquetFile(file, pre_buffer=False).iter_batches(BLOCK_ROWS):
            yield from batch.to_pylist()
    else:
        raise ValueError("expected a .csv, .tsv, .jsonl or .parquet file")


def _rows_of_csv(file: BinaryIO, *, delimiter: str) -> Iterator[dict[str, Any]]:
    """Two passes: no type is known before the last row."""
    from pyarrow import csv

    types: dict[str, pa.DataType] = {}
    for block in _blocks(file, delimiter, types=None):
        written = BytesIO()
        csv.write_csv(block, written)
        parse = csv.ParseOptions(newlines_in_values=True)
        seen = csv.read_csv(BytesIO(written.getvalue()), parse_options=parse).schema
        for field in seen:
            known = types.get(field.name, field.type)
            types[field.name] = _common(known, field.type)
    for block in _blocks(file, delimiter, types=types):
        yield from block.to_pylist()


def _blocks(
    file: BinaryIO, delimiter: str, *, types: Mapping[str, pa.DataType] | None
) -> Iterator[pa.RecordBatch]:
    """A CSV from its beginning, in blocks; all columns are texts where no types are given."""
    import pyarrow as pa
    from pyarrow import csv

    file.seek(0)
    how: dict[str, Any] = {
        "parse_options": csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        "read_options": csv.ReadOptions(block_size=BLOCK_BYTES),
    }
    if types is None:
        names = csv.open_csv(file, **how).schema.names
        file.seek(0)
        types = dict.fromkeys(names, pa.string())
    yield from csv.open_csv(file, convert_options=csv.ConvertOptions(column_types=types), **how)


def _common(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The type that values of both have."""
    import pyarrow as pa

    both = {one, other}
    if one == other or pa.null() in both:
        return next(iter(both - {pa.null()}), one)
    if both == {pa.int64(), pa.float64()}:
        return pa.float64()
    if all(pa.types.is_date(t) or pa.types.is_timestamp(t) for t in both):
        return pa.timestamp("ns" if pa.timestamp("ns") in both else "s")
    return pa.string()
