"""Vectors from elsewhere into a collection, and everything out of it again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from polyseek.core.columns import SegmentColumns
from polyseek.core.config import ImportOptions, Settings, resolve_settings
from polyseek.core.errors import (
    ConfigError,
    DimensionError,
    EmptySourceError,
    IncompatibleCollectionError,
    SourceError,
    StoreError,
)
from polyseek.core.filters import check, parse
from polyseek.core.protocols import ColumnStore, Store, StoreReader, VersionedStore
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.types import Manifest
from polyseek.encode.external import NAME as EXTERNAL

if TYPE_CHECKING:
    from polyseek.api.collection import Collection
    from polyseek.ingest.vector_columns import Reading
    from polyseek.ingest.vector_files import VectorTable


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What an import did, in segments.

    Attributes:
        added: New ones.
        updated: Those that took the place of others.
        scaled: Vectors that were brought to unit length; the others had it.
        elapsed_s: Wall time in seconds, of which `tidy_s` were spent on indexes.
        tidy_s: Building indexes and tidying up.
    """

    added: int
    updated: int
    scaled: int
    elapsed_s: float
    tidy_s: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {name: round(value, 3) for name, value in asdict(self).items()}


def open_to_import(
    location: str | Path | None,
    path: str | Path,
    *,
    options: ImportOptions,
    query_encoder: str | None = None,
    settings: Settings | None = None,
) -> tuple[Collection, VectorTable]:
    """The collection that a file shall go to, made when there is none, and the file.

    A file that polyseek exported makes a collection with the encoder that it came from; any other
    one that only knows its vectors.

    Raises:
        SourceError: The file cannot be read.
        ConfigError: A column is missing or cannot be used.
        IncompatibleCollectionError: The collection's vectors come from an encoder.
    """
    from polyseek.api.opening import external_manifest, open_or_create
    from polyseek.ingest.vector_columns import Reading
    from polyseek.ingest.vector_files import open_vectors

    settings = settings or resolve_settings()
    table = open_vectors(Path(path).expanduser(), beside=options.rows)
    reading = Reading(table=table, options=options)
    if next(iter(reading), None) is None:
        raise EmptySourceError(f"{path}: has no rows")
    manifest = _manifest_in(table) or external_manifest(reading.dim, query_encoder)
    opened = open_or_create(location, manifest, settings=settings, resident=False)
    return opened, table


def add(
    store: Store,
    table: VectorTable,
    options: ImportOptions,
    *,
    location: str,
    progress: ProgressCallback | None = None,
) -> ImportReport:
    """Put a table of vectors into a collection, all of it or, where a row is wrong, nothing.

    Raises:
        ConfigError: A column, an id or a vector cannot be used.
        DimensionError: A vector has another length than the collection's.
        IncompatibleCollectionError: The collection's vectors come from an encoder, not these.
    """
    from polyseek.ingest.vector_columns import Reading

    if not isinstance(store, ColumnStore) or not isinstance(store, VersionedStore):
        raise StoreError(f"{location}: its store takes no columns")
    started = perf_counter()
    check_origin(location, store.manifest, table)
    reading = Reading(table=table, options=options, dim=store.manifest.dim)
    with store.writing():
        before = store.mark()
        try:
            updated = store.upsert_columns(_told(reading, progress))
        except BaseException:
            store.restore(before)
            raise
        store.record_assets()
        written = perf_counter()
        if progress:
            progress(Progress(stage="tidy", done=0, total=None))
        store.optimize()
        detail = {"file": table.label, "added": reading.rows - updated, "updated": updated}
        store.record_version("import", detail)
    return ImportReport(
        added=reading.rows - updated,
        updated=updated,
        scaled=reading.scaled,
        elapsed_s=perf_counter() - started,
        tidy_s=perf_counter() - written,
    )


def check_origin(location: str, manifest: Manifest, table: VectorTable) -> None:
    """Refuse to mix vectors of different encoders."""
    origin = _manifest_in(table)
    if manifest.encoder == EXTERNAL:
        if origin is not None and origin.dim != manifest.dim:
            raise DimensionError(
                f"{table.label}: has vectors of {origin.dim} numbers, those of {location} have "
                f"{manifest.dim}"
            )
        return
    made = f"{manifest.encoder}@{manifest.revision}"
    if origin is None:
        raise IncompatibleCollectionError(
            f"{location}: its vectors are made by encoder '{made}', nobody knows what made those "
            f"of {table.label}; import them into another collection with -c"
        )
    for name in ("encoder", "revision", "dim", "tower_dims", "checksums"):
        if getattr(origin, name) != getattr(manifest, name):
            raise IncompatibleCollectionError(
                f"{table.label}: exported from a collection of encoder "
                f"'{origin.encoder}@{origin.revision}', {location} was made with '{made}'; import "
                "it into another collection with -c"
            )


def table_of(
    data: Any,
    *,
    ids: Sequence[Any] | None = None,
    texts: Sequence[str | None] | None = None,
    metadata: Any = None,
) -> tuple[VectorTable, dict[str, str]]:
    """A table of what callers have in memory, and which of its columns they gave by name.

    Args:
        data: ``(n, dim)`` NumPy array, an Arrow table, record batch or reader, or a path.
        ids: For an array: n texts or numbers; the numbers of the rows when left out.
        texts: For an array: n texts.
        metadata: For an array: n rows, as an Arrow table or lists by name.
    """
    import numpy as np
    import pyarrow as pa

    from polyseek.ingest.vector_files import NUMBER, VECTOR, VectorTable, listed, open_vectors

    if isinstance(data, str | Path):
        return open_vectors(Path(data).expanduser()), {}
    given: dict[str, str] = {}
    if isinstance(data, np.ndarray):
        if data.ndim != 2 or data.dtype.kind not in "fiu":
            raise ConfigError(f"vectors are {data.dtype} {data.shape}; expected numbers (n, dim)")
        columns: dict[str, Any] = {}
        if metadata is not None:
            other = metadata if isinstance(metadata, pa.Table) else pa.table(dict(metadata))
            columns = dict(zip(other.column_names, other.columns, strict=True))
        columns[NUMBER] = pa.array(np.arange(len(data)) if ids is None else ids)
        columns[VECTOR] = listed(data)
        if texts is not None:
            columns["text"], given["text"] = pa.array(texts, pa.string()), "text"
        lengths = {name: len(column) for name, column in columns.items()}
        if set(lengths.values()) != {len(data)}:
            raise ConfigError(f"{len(data)} vectors need as many of everything; got {lengths}")
        data = pa.table(columns)
    if isinstance(data, pa.RecordBatch):
        data = pa.Table.from_batches([data])
    if not isinstance(data, pa.Table | pa.RecordBatchReader):
        raise ConfigError(
            f"vectors are a {type(data).__name__}; expected a NumPy array, an Arrow table or "
            "reader, or a path"
        )
    return VectorTable(
        label="the table", blocks=lambda: _blocks(data), metadata=data.schema.metadata or {},
        rows=len(data) if isinstance(data, pa.Table) else None,
    ), given  # fmt: skip


def export(
    store: StoreReader,
    to: str | Path,
    *,
    condition: str | None,
    location: str,
) -> int:
    """Write all segments that pass into a file; see `Collection.export`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = Path(to).expanduser()
    if path.suffix not in (".parquet", ".lance"):
        raise ConfigError(f"--to {to}: expected a name that ends in .parquet or .lance")
    if path.exists():
        raise ConfigError(f"--to {to}: is there already; name another, or remove it first")
    if not isinstance(store, ColumnStore):
        raise StoreError(f"{location}: its store gives no columns")
    passing = check(parse(condition), store.fields()) if condition else None
    reader = store.export(passing)
    rows = 0

    def counted() -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in reader:
            rows += len(batch)
            yield batch

    unfinished = path.with_name(path.name.replace(path.suffix, f".unfinished{path.suffix}"))
    try:
        if path.suffix == ".parquet":
            with pq.ParquetWriter(unfinished, reader.schema, compression="zstd") as writer:
                for batch in counted():
                    writer.write_batch(batch)
        else:
            _write_lance(unfinished, pa.RecordBatchReader.from_batches(reader.schema, counted()))
        unfinished.rename(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise ConfigError(f"--to {to}: cannot be written: {error}") from error
    finally:
        _remove(unfinished)
    return rows


def _write_lance(path: Path, reader: Any) -> None:
    import lancedb

    lancedb.connect(str(path.absolute().parent)).create_table(path.stem, reader, mode="overwrite")


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _blocks(data: Any) -> Iterator[Any]:
    import pyarrow as pa

    from polyseek.ingest.vector_files import BLOCK_ROWS

    batches = data.to_batches(BLOCK_ROWS) if isinstance(data, pa.Table) else data
    for batch in batches:
        yield pa.Table.from_batches([batch])


def _told(reading: Reading, progress: ProgressCallback | None) -> Iterator[SegmentColumns]:
    for columns in reading:
        yield columns
        if progress:
            done = reading.rows + len(columns)
            progress(Progress(stage="import", done=done, total=reading.table.rows))


def _manifest_in(table: VectorTable) -> Manifest | None:
    import pyarrow as pa

    from polyseek.ingest.vector_columns import EXPORTED
    from polyseek.store.layout import manifest_of

    if EXPORTED not in table.metadata:
        return None
    try:
        return manifest_of(pa.schema([], metadata=dict(table.metadata)))
    except (KeyError, ValueError, TypeError) as error:
        raise SourceError(f"{table.label}: its manifest cannot be read: {error}") from error
