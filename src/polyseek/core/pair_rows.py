"""The rows of files with labelled queries."""

from __future__ import annotations

import csv
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from polyseek.core.errors import ConfigError
from polyseek.core.texts import read_utf8

Row: TypeAlias = "Mapping[str, Any]"

MAX_FIELD_CHARS = 10_000_000


def rows_of(path: Path, columns: Collection[str]) -> Iterator[tuple[int, Row]]:
    """Rows of a file with their numbers, from 1, the header counted.

    Args:
        path: A table with a header (``.csv``, ``.tsv``), JSON objects (``.jsonl``), TREC qrels, or
            lines of an id, a tab and a text.
        columns: Names that make the first line of a ``.tsv`` file a header.

    Raises:
        ConfigError: It cannot be read as any of these; names file and line.
    """
    text = read_utf8(path)
    suffix = path.suffix.lower()
    if suffix in (".jsonl", ".ndjson"):
        yield from _json_rows(path, text)
    elif suffix == ".csv" or (suffix == ".tsv" and _has_header(text, columns)):
        yield from _table_rows(path, text, "," if suffix == ".csv" else "\t")
    else:
        yield from _plain_rows(path, text)


def _has_header(text: str, columns: Collection[str]) -> bool:
    names = {name.strip().lower() for name in text.partition("\n")[0].split("\t")}
    return not names.isdisjoint(columns)


def _json_rows(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ConfigError(f"{path}: line {number} is no JSON: {error}") from error
        if not isinstance(row, dict):
            raise ConfigError(f"{path}: line {number}: expected a JSON object with a query")
        yield number, row


def _table_rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, Row]]:
    csv.field_size_limit(MAX_FIELD_CHARS)
    try:
        lines = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
        names = [name.strip().lower() for name in next(lines, [])]
        for number, cells in enumerate(lines, 2):
            if any(cells):
                yield number, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise ConfigError(f"{path}: cannot be read as a table: {error}") from error


def _plain_rows(path: Path, text: str) -> Iterator[tuple[int, Row]]:
    """Lines of an id, a tab and a text, or TREC qrels."""
    for number, line in enumerate(text.splitlines(), 1):
        name, tab, query = line.partition("\t")
        parts = line.split()
        if len(parts) == 4 and is_number(parts[3]):
            yield number, {"query_id": parts[0], "asset": parts[2], "relevance": parts[3]}
        elif tab and name.strip() and query.strip():
            yield number, {"query_id": name.strip(), "query": query.strip()}
        elif parts:
            raise ConfigError(
                f"{path}: line {number}: expected 'query-id 0 asset relevance' (TREC qrels) or "
                f"'query-id<TAB>text', got {line[:80]!r}; tables end in .csv, .tsv or .jsonl"
            )


def is_number(text: str) -> bool:
    """Whether it is one; NaN is none."""
    try:
        return float(text) == float(text)
    except ValueError:
        return False
