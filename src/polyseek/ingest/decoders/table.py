"""Tables of texts: every row of a CSV, TSV or JSONL file is a segment."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, Modality, Span, SpanUnit
from polyseek.ingest.decoders.text import read_text
from polyseek.ingest.sources.metadata import flatten_metadata

TEXT_COLUMNS = ("text", "caption", "description", "content", "body", "passage", "title")
MAX_ROW_CHARS = 100_000
"""A longer row is no caption or passage but, most often, a quotation mark that is never closed."""
csv.field_size_limit(16 * 1024 * 1024)


class TableDecoder:
    """``.csv``, ``.tsv`` (first row: names) and ``.jsonl``; row numbers count data rows from 1.

    The segment's text is the first of the columns `TEXT_COLUMNS` that the row fills, else all its
    values; the other columns become metadata.
    """

    suffixes = frozenset({".csv", ".tsv", ".jsonl", ".ndjson"})

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        content = read_text(asset, stream)
        suffix = asset.path.lower().rsplit(".", 1)[-1]
        rows = (
            _json_rows(asset, content)
            if suffix in ("jsonl", "ndjson")
            else _csv_rows(asset, content, "\t" if suffix == "tsv" else ",")
        )
        found = False
        for number, row in rows:
            text, rest = _split(row)
            if not text:
                continue
            if len(text) > MAX_ROW_CHARS:
                raise DecodeError(
                    asset.uri,
                    f"row {number}: {len(text):,} characters of text, the limit is "
                    f"{MAX_ROW_CHARS:,}; is a quotation mark not closed?",
                )
            try:
                metadata = flatten_metadata(rest)
            except (ValueError, RecursionError) as error:
                raise DecodeError(asset.uri, f"row {number}: {error}") from error
            found = True
            yield Media(
                modality=Modality.TEXT,
                signal=text,
                span=Span(unit=SpanUnit.ROW, start=number, end=number + 1),
                metadata=metadata,
            )
        if not found:
            raise DecodeError(asset.uri, "has no row with text")


def _split(row: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    lower = {key.lower(): key for key in row}
    for name in TEXT_COLUMNS:
        key = lower.get(name)
        if key is not None and isinstance(row[key], str) and row[key].strip():
            return row[key], {k: v for k, v in row.items() if k != key}
    values = (str(v).strip() for v in row.values() if isinstance(v, (str, int, float)))
    return ", ".join(v for v in values if v), dict(row)


def _csv_rows(asset: Asset, content: str, delimiter: str) -> Iterator[tuple[int, dict[str, Any]]]:
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter)
    try:
        names = [name.strip() or f"column_{i}" for i, name in enumerate(next(reader, []), 1)]
        for number, cells in enumerate(reader, 1):
            # Cells beyond the header still hold text that somebody may look for.
            extra = [f"column_{i}" for i in range(len(names) + 1, len(cells) + 1)]
            yield number, dict(zip(names + extra, cells, strict=False))
    except csv.Error as error:
        raise DecodeError(asset.uri, f"line {reader.line_num}: {error}") from error


def _json_rows(asset: Asset, content: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
            row = value if isinstance(value, dict) else {"text": str(value)}
        except (ValueError, RecursionError) as error:
            raise DecodeError(asset.uri, f"line {number} is no JSON: {error}") from error
        yield number, row
