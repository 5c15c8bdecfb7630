"""Collections in LanceDB tables: durable, versioned, crash-safe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from polyseek.core.config import Group
from polyseek.core.errors import (
    CollectionNotFoundError,
    DimensionError,
    IncompatibleCollectionError,
    StoreError,
)
from polyseek.core.filters import FieldType, Filter, check
from polyseek.core.hits import Candidates, Retrieval, Terms
from polyseek.core.sparse import SparseVector
from polyseek.core.types import (
    AssetCounts,
    AssetRecord,
    Embeddings,
    Floats,
    Manifest,
    Modality,
    SegmentBatch,
    Space,
)
from polyseek.store import (
    inverted,
    lance_browse,
    lance_index,
    lance_search,
    lance_text,
    lance_versions,
    layout,
)
from polyseek.store.batches import join_batches, own_dim, require_finite, space_dim, spread
from polyseek.store.lance_copies import Copies
from polyseek.store.lance_kept import KeptBeside
from polyseek.store.lance_rows import (
    batch_of,
    condition_on,
    conditions,
    content_hashes,
    delete_rows,
    tally,
)
from polyseek.store.lance_whole import WholeCollection
from polyseek.store.metadata import ClashLog, evolve, normalize_row, split
from polyseek.store.places import Place, committing, place_of
from polyseek.store.resident import Resident

FORMAT_VERSION = 1


class LanceStore(WholeCollection, KeptBeside):
    """See `polyseek.core.protocols.Store`.

    Args:
        place: Where its tables are.
        resident: Search copies in memory instead of asking Lance.
    """

    def __init__(self, place: Place, *, resident: bool) -> None:
        self.location, self.place = place.location, place
        self._database = place.connect()
        self._copies = Copies(self, resident=resident)
        self._tables: dict[str, Any] = {}
        self._clashes = ClashLog()
        self._counted: tuple[int, AssetCounts] | None = None
        self._recorded: dict[str, str | None] = {}
        self.frozen: str | None = None
        """Which old version this is; None for the collection itself."""
        self.manifest = _read_manifest(self.location, self._table(layout.ASSETS))

    @classmethod
    def create(cls, location: str, manifest: Manifest, *, resident: bool = False) -> LanceStore:
        """Make an empty collection.

        Raises:
            CollectionBusyError: Another process is making one here.
            StoreError: The location cannot be written, or holds a collection already.
        """
        place = place_of(location)
        try:
            with place.writing():
                schema = layout.assets_schema(manifest)
                place.connect().create_table(layout.ASSETS, schema=schema)
        except (OSError, RuntimeError, ValueError) as error:
            told = place.explain(error)
            raise StoreError(f"{location}: a collection cannot be made here: {told}") from error
        return cls(place_of(location), resident=resident)

    @classmethod
    def open(cls, location: str, *, resident: bool = False) -> LanceStore:
        """Open a collection.

        Raises:
            CollectionNotFoundError: There is none at this location.
            IncompatibleCollectionError: It has a newer format.
            StoreError: It cannot be read.
        """
        place = place_of(location)
        if not place.has_table(layout.ASSETS):
            raise CollectionNotFoundError(
                f"{location}: no collection here; make one with 'polyseek index FOLDER -c "
                f"{location}', or name another with -c"
            )
        try:
            return cls(place, resident=resident)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            told = place.explain(error)
            raise StoreError(f"{location}: the collection cannot be read: {told}") from error

    @property
    def version(self) -> int:
        """See `polyseek.core.protocols.StoreReader`."""
        return sum(self._version_of(table) for _, table in self._all_tables())

    def fields(self) -> Mapping[str, FieldType]:
        """See `polyseek.core.protocols.StoreReader`."""
        found: dict[str, FieldType] = {}
        for _, table in self._segment_tables():
            for name, kind in layout.fields_of(table.schema).items():
                # Tables widen one after the other; a writer may have died in between.
                found[name] = FieldType.NUMBER if found.get(name, kind) is not kind else kind
        return found

    def records(self) -> Iterable[AssetRecord]:
        """See `polyseek.core.protocols.StoreReader`."""
        with self._reading():
            rows = self._table(layout.ASSETS).to_arrow()
        return layout.records_from_arrow(rows)

    def counts(self) -> AssetCounts:
        """See `polyseek.core.protocols.StoreReader`."""
        table = self._table(layout.ASSETS)
        with self._reading():
            version = self._version_of(table)
            if self._counted is None or self._counted[0] != version:
                rows = table.search().select(["status", "modalities"]).to_arrow()
                self._counted = (version, tally(rows))
        return self._counted[1]

    def fetch(self, uris: Sequence[str]) -> Sequence[SegmentBatch]:
        """See `polyseek.core.protocols.StoreReader`."""
        batches = []
        for modality, table in self._segment_tables():
            with self._reading():
                parts = [
                    table.search().where(condition).limit(None).to_arrow()
                    for condition in conditions("asset_uri", uris)
                ]
            rows = pa.concat_tables(parts) if parts else None
            if rows:
                batches.append(batch_of(modality, rows))
        return batches

    def sample(self, modality: Modality, limit: int) -> SegmentBatch | None:
        """See `polyseek.core.protocols.StoreReader`."""
        table = self._table_of(modality)
        if table is None:
            return None
        with self._reading():
            rows = table.count_rows()
            if not rows:
                return None
            found = table.take_offsets(spread(rows, limit)).to_arrow()
            return batch_of(modality, found)

    def vectors(self, modality: Modality, ids: Sequence[str], space: Space) -> Floats:
        """See `polyseek.core.protocols.StoreReader`."""
        table = self._table_of(modality)
        if table is None or not ids:
            return np.full((len(ids), self._space_dim(modality, space)), np.nan, np.float32)
        with self._reading():
            copy = self._copies.of(table, modality, few=len(ids))
            if copy is not None:
                lasting = self._copies.resident and self.place.distant
                return copy.vectors(ids, space, whole=lasting)
            return lance_search.vectors(table, ids, space)

    def search(self, request: Retrieval) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        few = None if request.filter is None else request.limit
        return self._answer(request, lance_search.search, Resident.search, few=few)

    def search_text(self, terms: Terms, request: Retrieval) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        on_disk = partial(lance_text.search, terms=terms)
        in_memory = partial(Resident.search_text, terms=terms)
        with self._reading():
            table = self._table_of(request.modality)
            if table is not None:
                self._copies.fetch_words(table, request.modality)
        return self._answer(request, on_disk, in_memory, few=request.limit)

    def search_sparse(self, vector: SparseVector, request: Retrieval) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        on_disk = partial(lance_search.search_sparse, vector=vector)
        in_memory = partial(Resident.search_sparse, vector=vector)
        return self._answer(request, on_disk, in_memory, few=request.limit)

    def browse(
        self, modality: Modality, condition: Filter | None, *, limit: int, group: Group
    ) -> Candidates:
        """See `polyseek.core.protocols.StoreReader`."""
        with self._reading():
            checked = check(condition, self.fields()) if condition else None
            table = self._table_of(modality)
            if table is None:
                return Candidates(hits=(), tier="empty", rows=0)
            return lance_browse.browse(table, modality, checked, limit=limit, group=group)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `polyseek.core.protocols.StoreWriter`."""
        if self.frozen:
            raise StoreError(
                f"{self.location}: {self.frozen} cannot be written; leave --at out, or go back to "
                "it with 'polyseek rollback'"
            )
        with self.place.writing():
            try:
                with self._reading():
                    self.place.renew([table for _, table in self._all_tables()])
                    lance_versions.finish(self)
                    self._recorded = content_hashes(self._table(layout.ASSETS))
                self._renew()
                yield
            finally:
                self._recorded = {}

    @committing
    def _renew(self) -> None:
        """Give what an older polyseek wrote the words and the primary keys that it lacks."""
        for modality, table in self._all_tables():
            layout.ensure_key(table)
            if modality is not None and not lance_text.searchable(table):
                lance_text.refresh(table)

    @committing
    def upsert(
        self,
        records: Sequence[AssetRecord],
        batches: Sequence[SegmentBatch],
        *,
        keep: Collection[str] = (),
    ) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        uris = [record.uri for record in records]
        replaced = [uri for uri in uris if uri not in keep]
        joined = join_batches(batches)
        require_finite(self.location, joined)
        written = {batch.modality for batch in joined}
        hashes = {record.uri: record.content_hash for record in records}
        self._unsettle([u for u in uris if self._recorded.get(u) not in (None, hashes[u])])
        for batch in joined:
            self._write(batch, replaced)
        # A recorded asset may have rows of another modality, or of a run that was killed.
        known = [uri for uri in replaced if uri in self._recorded]
        for modality, table in self._segment_tables():
            if modality not in written:
                delete_rows(table, "asset_uri", known)
        assets = self._table(layout.ASSETS)
        rows = layout.records_to_arrow(records, assets.schema)
        merge = assets.merge_insert("uri").when_matched_update_all().when_not_matched_insert_all()
        merge.execute(rows)
        self._recorded.update(hashes)

    @committing
    def delete(self, uris: Sequence[str]) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        self._unsettle([uri for uri in uris if self._recorded.get(uri)])
        for _, table in self._segment_tables():
            delete_rows(table, "asset_uri", uris)
        delete_rows(self._table(layout.ASSETS), "uri", uris)
        for uri in uris:
            self._recorded.pop(uri, None)

    @committing
    def set_hub_bias(
        self, modality: Modality, query: Modality, bias: Callable[[Embeddings], Floats]
    ) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        table = self._table_of(modality)
        if table is None:
            return
        name = layout.HUB_COLUMN[query]
        if name not in table.schema.names:
            table.add_columns([pa.field(name, pa.float32())])
        parts = []
        vectors = layout.vectors_in(table.schema.names)
        for block in table.search().select(["id", *vectors]).to_batches():
            found = bias(layout.embeddings_of(block))
            parts.append(pa.table({"id": block["id"], name: pa.array(found, pa.float32())}))
        if parts:
            rows = layout.keyed(pa.concat_tables(parts))
            table.merge_insert("id").when_matched_update_all().execute(rows)

    @committing
    def optimize(self) -> None:
        """See `polyseek.core.protocols.StoreWriter`."""
        self.tidy(grace=lance_versions.GRACE)

    def tidy(self, *, grace: timedelta, compact: bool = False) -> None:
        """See `optimize`; versions that nobody needs are dropped once older than `grace`.

        A large table with a few small pieces is left as it is, but for its words, unless `compact`:
        rewriting it would cost its whole size, once more for every version that is kept.
        """
        needed = lance_versions.oldest(self)
        for modality, table in self._all_tables():
            if modality is not None:
                lance_text.refresh(table)
            if compact or lance_index.worn(table):
                age = lance_versions.spared(needed.get(table.name), grace)
                table.optimize(cleanup_older_than=age)
            elif modality is not None:
                lance_text.index_new(table)
            if modality is not None:
                lance_index.refresh(table)
        if self._exists(lance_versions.VERSIONS):
            self._table(lance_versions.VERSIONS).optimize(cleanup_older_than=grace)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        # LanceDB has no error class of its own.
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(
                f"{self.location}: the collection cannot be read: {self.place.explain(error)}; if "
                "files are missing or damaged, index the source into a new collection with -c"
            ) from error

    def _unsettle(self, uris: Sequence[str]) -> None:
        """Before their segments change: a record must not vouch for those of other content.

        Killed before it is written anew, it has no etag and no hash: the next run reads the asset.
        """
        assets = self._table(layout.ASSETS)
        for condition in conditions("uri", uris):
            assets.update(where=condition, values_sql={"etag": "''", "content_hash": "NULL"})

    def _write(self, batch: SegmentBatch, replaced: Sequence[str]) -> None:
        """Add segments, in place of all those of the assets that are replaced, in one commit."""
        normalized = [normalize_row(segment.metadata) for segment in batch.segments]
        fields = evolve(self.fields(), normalized)
        table = self._ready_table(
            batch.modality, fields, normalized, tower_dim=own_dim(self.manifest, batch)
        )
        own = {name: fields[name] for name in layout.fields_of(table.schema)}
        rows = [split(row, fields) for row in normalized]
        for _, clashing in rows:
            self._clashes.warn(clashing, fields)
        merge = table.merge_insert("id").when_matched_update_all().when_not_matched_insert_all()
        if replaced:
            merge = merge.when_not_matched_by_source_delete(condition_on("asset_uri", replaced))
        if any(s.sparse for s in batch.segments) and inverted.INDICES not in table.schema.names:
            table.add_columns(list(inverted.FIELDS))
        arrow = layout.segments_to_arrow(batch, rows, own)
        merge.execute(arrow.select(table.schema.names))

    def _ready_table(
        self,
        modality: Modality,
        fields: Mapping[str, FieldType],
        rows: Sequence[Mapping[str, Any]],
        *,
        tower_dim: int | None,
    ) -> Any:
        """The modality's table with a column of the right type for every field of these rows."""
        table = self._table_of(modality)
        if table is None or self._left_by_another(table, tower_dim):
            name = layout.segments_table(modality)
            how: dict[str, Any] = {"exist_ok": True} if table is None else {"mode": "overwrite"}
            schema = layout.segments_schema(self.manifest.dim, tower_dim)
            self._tables[name] = self._database.create_table(name, schema=schema, **how)
            table = self._tables[name]
        for _, other in self._segment_tables():
            self._widen(other, fields)
        present = layout.fields_of(table.schema)
        new = sorted({name for row in rows for name in row} - set(present))
        if new:
            table.add_columns([layout.arrow_field(name, fields[name]) for name in new])
        return table

    def _left_by_another(self, table: Any, tower_dim: int | None) -> bool:
        """Whether it is empty, and was made for a tower that is joined no more."""
        return layout.tower_dim(table.schema) != tower_dim and not table.count_rows()

    def _space_dim(self, modality: Modality, space: Space) -> int:
        if space is Space.TOWER and modality not in self.manifest.tower_dims:  # perhaps joined
            table = self._table_of(modality)
            own = None if table is None else layout.tower_dim(table.schema)
            if own is not None:
                return own
        return space_dim(self.manifest, modality, space)

    def _widen(self, table: Any, fields: Mapping[str, FieldType]) -> None:
        """Rewrite integer columns that have become numbers; one commit, so never half done."""
        kinds = layout.fields_of(table.schema)
        wider = [name for name, kind in kinds.items() if fields[name] is not kind]
        if not wider:
            return
        rows = table.to_arrow()
        for name in wider:
            column = layout.column_of(name)
            place = rows.schema.get_field_index(column)
            field = layout.arrow_field(name, fields[name])
            rows = rows.set_column(place, field, rows[column].cast(field.type))
        name = table.name
        self._tables[name] = self._database.create_table(name, rows, mode="overwrite")

    def _answer(
        self,
        request: Retrieval,
        on_disk: Callable[[Any, Retrieval, Filter | None], Candidates],
        in_memory: Callable[[Resident, Retrieval, Filter | None], Candidates],
        *,
        few: int | None,
    ) -> Candidates:
        self._check_vector(request)
        with self._reading():
            condition = check(request.filter, self.fields()) if request.filter else None
            table = self._table_of(request.modality)
            if table is None:
                return Candidates(hits=(), tier="empty", rows=0)
            copy = self._copies.of(table, request.modality, few=few)
            if copy is not None:
                return in_memory(copy, request, condition)
            return on_disk(table, request, condition)

    def _check_vector(self, request: Retrieval) -> None:
        expected = self._space_dim(request.modality, request.space)
        if request.vector.shape != (expected,):
            raise DimensionError(
                f"the query vector has shape {request.vector.shape}, the {request.space} space "
                f"of {request.modality} segments needs ({expected},)"
            )

    def _version_of(self, table: Any) -> int:
        return int(table.version) if self.frozen else self.place.version_of(table)

    def _table(self, name: str) -> Any:
        if name not in self._tables:
            self._tables[name] = self._database.open_table(name)
        return self._tables[name]

    def _drop(self, name: str) -> None:
        self._database.drop_table(name)
        self._tables.pop(name, None)
        self.place.dropped(name)

    def _table_of(self, modality: Modality) -> Any | None:
        name = layout.segments_table(modality)
        return self._table(name) if self._exists(name) else None

    def _exists(self, name: str) -> bool:
        return name in self._tables or (self.frozen is None and self.place.has_table(name))

    def _segment_tables(self) -> Iterator[tuple[Modality, Any]]:
        for modality in Modality:
            table = self._table_of(modality)
            if table is not None:
                yield modality, table

    def _all_tables(self) -> Iterator[tuple[Modality | None, Any]]:
        yield None, self._table(layout.ASSETS)
        for name in (layout.TUNING, layout.NOTES, layout.ATTACHMENTS):
            if self._exists(name):
                yield None, self._table(name)
        yield from self._segment_tables()


def _read_manifest(location: str, assets: Any) -> Manifest:
    manifest = layout.manifest_of(assets.schema)
    if manifest.format_version > FORMAT_VERSION:
        raise IncompatibleCollectionError(
            f"{location}: made by a newer polyseek (format {manifest.format_version}, this one "
            f"reads up to {FORMAT_VERSION}); upgrade polyseek"
        )
    return manifest
