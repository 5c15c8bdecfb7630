"""Rows of Lance tables as values, and conditions that pick them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from polyseek.core.types import AssetCounts, AssetStatus, Modality, Segment, SegmentBatch
from polyseek.store import layout
from polyseek.store.filter_sql import quote
from polyseek.store.hits import read_metadata

_VALUES_PER_CONDITION = 1000


def tally(rows: pa.Table) -> AssetCounts:
    """Number of assets by status and modalities, of these two columns."""
    pairs = zip(rows["status"].to_pylist(), map(tuple, rows["modalities"].to_pylist()), strict=True)
    return {
        (AssetStatus(status), tuple(map(Modality, modalities))): n
        for (status, modalities), n in Counter(pairs).items()
    }


def batch_of(modality: Modality, rows: pa.Table) -> SegmentBatch:
    """Rows of a segments table as segments with their embeddings."""
    columns = {
        name: rows[name].to_pylist()
        for name in ("asset_uri", "span_unit", "span_start", "span_end", "text")
    }
    sparse = layout.sparse_of(rows)
    segments = [
        Segment(
            asset_uri=columns["asset_uri"][i],
            modality=modality,
            span=layout.span_of(
                columns["span_unit"][i], columns["span_start"][i], columns["span_end"][i]
            ),
            text=columns["text"][i],
            metadata=read_metadata(rows, i),
            sparse=sparse[i],
        )
        for i in range(len(rows))
    ]
    return SegmentBatch(
        modality=modality,
        segments=segments,
        embeddings=layout.embeddings_of(rows),
        hub_bias=layout.hub_biases_of(rows),
    )


def content_hashes(assets: Any) -> dict[str, str | None]:
    """The content hash of every asset in the table of records."""
    rows = assets.search().select(["uri", "content_hash"]).to_arrow()
    return dict(zip(rows["uri"].to_pylist(), rows["content_hash"].to_pylist(), strict=True))


def condition_on(column: str, values: Sequence[str]) -> str:
    """What rows with one of these values meet."""
    return f"{column} IN ({', '.join(map(quote, values))})"


def conditions(column: str, values: Sequence[str]) -> Iterator[str]:
    """The same for any number of values, in conditions that Lance can take."""
    for start in range(0, len(values), _VALUES_PER_CONDITION):
        yield condition_on(column, values[start : start + _VALUES_PER_CONDITION])


def delete_rows(table: Any, column: str, values: Sequence[str]) -> None:
    """Delete the rows with one of these values."""
    for condition in conditions(column, values):
        # A delete is a new version even when no row matches.
        if table.count_rows(condition):
            table.delete(condition)
