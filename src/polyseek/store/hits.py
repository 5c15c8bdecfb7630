"""Arrow rows -> hits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from polyseek.core.hits import Hit, HubCorrection
from polyseek.core.types import Floats, MetadataValue, Modality
from polyseek.store.layout import HUB_COLUMN, field_of, from_storage, span_of
from polyseek.store.metadata import load_clashing

_SHOWN = ["id", "asset_uri", "span_unit", "span_start", "span_end", "text"]


class RowMetadata(Mapping[str, MetadataValue]):
    """One row's metadata, read from Arrow when it is first looked at.

    A search returns a hundred candidates per modality and shows ten: reading them all would cost
    more than a scan of 10,000 vectors. Pickles and copies as a plain dict.
    """

    __slots__ = ("_row", "_table", "_values")

    def __init__(self, table: pa.Table, row: int) -> None:
        self._table: pa.Table | None = table
        self._row = row
        self._values: dict[str, MetadataValue] = {}

    def _read(self) -> dict[str, MetadataValue]:
        table = self._table
        if table is not None:
            self._values, self._table = read_metadata(table, self._row), None
        return self._values

    def __getitem__(self, name: str) -> MetadataValue:
        return self._read()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def __repr__(self) -> str:
        return repr(self._read())

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, MetadataValue]]]:
        return dict, (self._read(),)


def read_metadata(table: pa.Table, row: int) -> dict[str, MetadataValue]:
    """The metadata of one row of a segments table; nulls are left out."""
    found: dict[str, MetadataValue] = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        field = field_of(name)
        value = column[row].as_py() if field is not None else None
        if field is not None and value is not None:
            found[field] = from_storage(value)
    return found | load_clashing(table["clashing"][row].as_py())


def hits_from_arrow(
    table: pa.Table,
    scores: Sequence[float],
    modality: Modality,
    *,
    rows: Sequence[int] | None = None,
    hub: HubCorrection | None = None,
    matched: Sequence[tuple[float, float]] | None = None,
    products: Sequence[float] | None = None,
) -> list[Hit]:
    """Hits in the order of the rows, with ranks from 1.

    Args:
        table: Rows with the store's and the metadata columns, without vectors.
        scores: n cosines.
        modality: Of the segments.
        rows: n row numbers; None for all rows in order.
        hub: The correction in use, if any: its bias is shown with the hit.
        matched: n pairs of `text_score` and `text_share`, where words were looked for.
        products: n values of `sparse_score`, where a sparse vector was looked for.
    """
    # Metadata stays where it is until somebody looks at it.
    bias = HUB_COLUMN[hub.query] if hub else None
    names = [*_SHOWN, bias] if bias in table.column_names else _SHOWN
    shown = (
        table.select(names)
        if rows is None
        else table.select(names).take(pa.array(rows, pa.int64()))
    )
    columns = [shown[name].to_pylist() for name in _SHOWN]
    biases = shown[bias].to_pylist() if bias in names else [None] * len(shown)
    by_words: Sequence[tuple[float | None, float | None]] = matched or [(None, None)] * len(shown)
    sparse_scores: Sequence[float | None] = products or [None] * len(shown)
    numbers = range(len(shown)) if rows is None else rows
    return [
        Hit(
            id=id_,
            uri=uri,
            modality=modality,
            score=score,
            hub_bias=hub_bias,
            rank=rank,
            span=span_of(unit, start, end) if unit else None,
            text=text,
            text_score=by_word[0],
            text_share=by_word[1],
            sparse_score=sparse,
            metadata=RowMetadata(table, row),
        )
        for rank, (
            id_,
            uri,
            unit,
            start,
            end,
            text,
            hub_bias,
            by_word,
            sparse,
            score,
            row,
        ) in enumerate(
            zip(*columns, biases, by_words, sparse_scores, scores, numbers, strict=True), 1
        )
    ]


def best_first(
    rows: NDArray[np.int64], scores: Floats, tiebreak: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Positions that order `rows` by falling score, equal scores by `tiebreak[row]`."""
    return np.lexsort((tiebreak[rows], -scores))
