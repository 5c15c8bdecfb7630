"""Files of vectors, a block at a time: Parquet, NumPy, Lance, JSON lines."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from polyseek.core.errors import ConfigError, SourceError, SourceNotFoundError

BLOCK_ROWS = 65_536
BLOCK_BYTES = 64 * 1024 * 1024
"""Of a block of JSON lines; a row may be longer."""

NUMBER, VECTOR = "id", "vector"
"""Columns of a `.npy` file: the number of the row, and the row."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VectorTable:
    """Rows with vectors, wherever they come from.

    Attributes:
        label: How messages call it.
        blocks: Its rows, in order; called once for every pass.
        metadata: Of its schema.
        rows: How many there are; None where that is not known.
    """

    label: str
    blocks: Callable[[], Iterator[pa.Table]]
    metadata: Mapping[bytes, bytes]
    rows: int | None = None


def open_vectors(path: Path, *, beside: Path | None = None) -> VectorTable:
    """A file of vectors.

    Args:
        path: ``.parquet``, ``.npy``, ``.jsonl`` or a ``.lance`` folder.
        beside: For ``.npy``: a table whose rows belong to the vectors, in order.

    Raises:
        SourceNotFoundError: There is none.
        SourceError: It cannot be read.
        ConfigError: Its name ends in something else.
    """
    if not path.exists():
        raise SourceNotFoundError(f"{path}: no such file")
    readers: dict[str, Callable[[Path], VectorTable]] = {
        ".parquet": _parquet, ".npy": _npy, ".lance": _lance, ".jsonl": _jsonl, ".ndjson": _jsonl
    }  # fmt: skip
    read = readers.get(path.suffix.lower())
    if read is None:
        raise ConfigError(
            f"{path}: not a file of vectors; expected one that ends in {', '.join(readers)}"
        )
    if beside is not None and path.suffix.lower() != ".npy":
        raise ConfigError(f"--rows is for .npy files; {path} has columns of its own")
    try:
        found = read(path)
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    return found if beside is None else _joined(found, open_vectors(beside))


def _parquet(path: Path) -> VectorTable:
    import pyarrow.parquet as pq

    # Without buffering ahead, a row group of any size is read piece by piece.
    file = pq.ParquetFile(path, pre_buffer=False)

    def blocks() -> Iterator[pa.Table]:
        for batch in pq.ParquetFile(path, pre_buffer=False).iter_batches(BLOCK_ROWS):
            yield pa.Table.from_batches([batch])

    return VectorTable(
        label=str(path), blocks=_read(path, blocks), rows=file.metadata.num_rows,
        metadata=file.schema_arrow.metadata or {},
    )  # fmt: skip


def _lance(path: Path) -> VectorTable:
    import lancedb

    table = lancedb.connect(str(path.absolute().parent)).open_table(path.stem)

    def blocks() -> Iterator[pa.Table]:
        for batch in table.search().limit(None).to_batches(BLOCK_ROWS):
            yield pa.Table.from_batches([batch])

    return VectorTable(
        label=str(path), blocks=_read(path, blocks), rows=table.count_rows(),
        metadata=table.schema.metadata or {},
    )  # fmt: skip


def _npy(path: Path) -> VectorTable:
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise ValueError(f"expected a table of numbers (n, dim), got {array.dtype} {array.shape}")

    def blocks() -> Iterator[pa.Table]:
        for start in range(0, len(array), BLOCK_ROWS):
            part = np.asarray(array[start : start + BLOCK_ROWS])
            numbers = pa.array(np.arange(start, start + len(part)))
            yield pa.table({NUMBER: numbers, VECTOR: listed(part)})

    return VectorTable(label=str(path), blocks=_read(path, blocks), metadata={}, rows=len(array))


def _jsonl(path: Path) -> VectorTable:
    from pyarrow import json

    def blocks() -> Iterator[pa.Table]:
        first = 1
        with path.open("rb") as stream:
            while piece := stream.read(BLOCK_BYTES):
                piece += stream.readline()
                options = json.ReadOptions(block_size=len(piece) + 1)
                try:
                    yield json.read_json(BytesIO(piece), read_options=options)
                except pa.ArrowInvalid as error:
                    if not piece.strip():
                        continue
                    raise ValueError(f"after line {first - 1:,}: {error}") from error
                first += piece.count(b"\n")

    return VectorTable(label=str(path), blocks=_read(path, blocks), metadata={})


def _read(path: Path, blocks: Callable[[], Iterator[pa.Table]]) -> Callable[[], Iterator[pa.Table]]:
    """The blocks; whatever goes wrong while they are read is the file's fault."""

    def checked() -> Iterator[pa.Table]:
        try:
            yield from blocks()
        except (OSError, ValueError, RuntimeError, pa.ArrowException) as error:
            raise SourceError(f"{path}: cannot be read: {error}") from error

    return checked


def _joined(vectors: VectorTable, beside: VectorTable) -> VectorTable:
    """Vectors with the columns of a table that has a row for each."""

    def blocks() -> Iterator[pa.Table]:
        others = Rechunked(beside.blocks())
        for block in vectors.blocks():
            other = others.take(len(block))
            if len(other) < len(block):
                raise ConfigError(
                    f"--rows {beside.label}: has fewer rows than {vectors.label} has vectors "
                    f"({vectors.rows:,}); it needs one for each, in order"
                )
            kept = [name for name in other.column_names if name != VECTOR]
            numbers = [] if NUMBER in kept else [NUMBER]
            yield pa.table(
                {name: other[name] for name in kept}
                | {name: block[name] for name in [*numbers, VECTOR]}
            )
        if len(others.take(1)):
            raise ConfigError(
                f"--rows {beside.label}: has more rows than {vectors.label} has vectors "
                f"({vectors.rows:,}); it needs one for each, in order"
            )

    return VectorTable(label=vectors.label, blocks=blocks, metadata={}, rows=vectors.rows)


class Rechunked:
    """Blocks of any length, taken in pieces of a wanted one."""

    def __init__(self, blocks: Iterator[pa.Table]) -> None:
        self._blocks = blocks
        self._left: Sequence[pa.Table] = ()

    def take(self, rows: int) -> pa.Table:
        """The next rows; fewer at the end."""
        parts = list(self._left)
        while sum(map(len, parts)) < rows and (block := next(self._blocks, None)) is not None:
            parts.append(block)
        if not parts:
            return pa.table({})
        whole = pa.concat_tables(parts, promote_options="permissive")
        self._left = [whole.slice(rows)] if len(whole) > rows else []
        return whole.slice(0, rows)


def listed(rows: Any) -> pa.Array:
    """``(n, dim)`` numbers as a list column; float32 is not copied."""
    flat = np.ascontiguousarray(rows, dtype=np.float32).reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), rows.shape[1])
