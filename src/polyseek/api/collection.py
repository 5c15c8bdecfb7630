"""Collections: what is in them and what can be done with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyseek.api import vectors, versions
from polyseek.api.adapting import Shelf
from polyseek.api.assets import Assets
from polyseek.api.composing import ComposedQuery
from polyseek.api.fields import Field, describe
from polyseek.api.learning import Learning
from polyseek.api.options import modalities_of, options_of
from polyseek.api.reindex import what_was_indexed
from polyseek.api.searching import Searcher
from polyseek.api.status import Status, unfinished
from polyseek.api.towers import collection_encoder
from polyseek.api.tuner import Tuner
from polyseek.api.vectors import ImportReport
from polyseek.api.watching import watch
from polyseek.core.columns import Version, VersionName
from polyseek.core.config import ImportOptions, IndexOptions, Settings
from polyseek.core.defaults import defaults_of, shipped_adapters
from polyseek.core.errors import IncompatibleCollectionError, SourceNotFoundError
from polyseek.core.filters import FieldType
from polyseek.core.hits import Clip, Hit
from polyseek.core.protocols import Encoder, SparseEncoder, Store
from polyseek.core.reports import Failure, IngestReport, ProgressCallback
from polyseek.core.retriever import Retriever
from polyseek.core.types import (
    AssetStatus,
    EncoderInfo,
    Manifest,
    Modality,
    Prepare,
    by_modality,
    exactly,
)
from polyseek.encode.external import NAME as EXTERNAL
from polyseek.search.results import Results

if TYPE_CHECKING:
    from polyseek.ingest.reuse import Reuse
    from polyseek.ingest.several import Given
    from polyseek.ingest.vector_files import VectorTable


class Collection(Learning):
    """A named, searchable set of assets with one encoder. Made by `open`."""

    def __init__(
        self,
        location: str,
        *,
        store: Store,
        encoder: Encoder,
        settings: Settings,
        sparse: SparseEncoder | None = None,
    ) -> None:
        self.location = location
        self.assets = Assets(store)
        self._store = store
        self._settings = settings
        self._sparse = sparse
        self._defaults = defaults_of(encoder.info.name)
        self._shelf = Shelf(store, shipped_adapters(self._defaults))
        self._encoder = encoder = collection_encoder(encoder, self._shelf.active)
        self._tuner = Tuner(
            store=store, encoder=encoder, defaults=self._defaults, adapters=self._shelf.active,
            sparse=sparse,
        )  # fmt: skip
        self._searcher = Searcher(
            store=store, encoder=encoder, settings=settings, defaults=self._defaults,
            adapters=self._shelf.at, sparse=sparse, preview=clip,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"Collection({self.location!r}, encoder={self._encoder.info.name!r})"

    @property
    def store(self) -> Store:
        """Its rows."""
        return self._store

    @property
    def settings(self) -> Settings:
        """What it was opened with."""
        return self._settings

    @property
    def reads(self) -> frozenset[Modality]:
        """Modalities of queries that its encoder reads."""
        return frozenset(self._encoder.info.towers)

    @property
    def text_tower(self) -> Prepare | None:
        """The text tower's preprocessing; None where the encoder reads no text."""
        tower = self._encoder.info.towers.get(Modality.TEXT)
        return tower.prepare if tower else None

    @property
    def manifest(self) -> Manifest:
        """What the collection was made with."""
        return self._store.manifest

    def __len__(self) -> int:
        """Number of searchable assets."""
        searchable = (AssetStatus.INDEXED, AssetStatus.PARTIAL)
        return sum(n for (status, _), n in self._store.counts().items() if status in searchable)

    def add(
        self,
        *sources: str | Path,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> IngestReport:
        """Index folders, files or buckets; unchanged assets are skipped, deleted ones removed.

        What `include` and `exclude` leave out stays as it is.

        Args:
            sources: Folders, files, or URLs such as ``s3://bucket/prefix``.
            progress: Called with every step, also while model files are fetched.
            options: Fields of `IndexOptions`: ``include``, ``exclude``, ``metadata``,
                ``keep_deleted``, ``workers``, ``timeout_s``, ``passage_chars``, ``window_s``,
                ``hop_s``, ``ocr``, ``asr``, ``ocr_engine``, ``asr_engine``.

        Raises:
            SourceError: A source is missing or unreadable, or none holds anything to index.
            ConfigError: An option is unknown or out of range, no row of the metadata table
                belongs to a file, or (`MissingExtraError`) what it asks for is not installed.
        """
        from polyseek.ingest.several import given

        if self.manifest.encoder == EXTERNAL:
            raise IncompatibleCollectionError(
                f"{self.location}: its vectors were made elsewhere, so files cannot be indexed "
                "into it; add vectors (polyseek import), or index into another one with -c"
            )
        chosen = given(sources, options_of(IndexOptions, options))
        moved = self._shelf.finish()
        report = self.ingest(chosen, progress=progress)
        if not report.interrupted and (moved or self._tuner.outdated()):
            self._tuner.tune_again(progress)
        versions.record(self._store, "index", what_was_indexed(sources, options, report))
        return report

    def ingest(
        self, chosen: Given, *, progress: ProgressCallback | None, reuse: Reuse | None = None
    ) -> IngestReport:
        """Take the one ingest road; see `polyseek.ingest.pipeline.ingest`."""
        from polyseek.ingest.several import ingest_all

        return ingest_all(
            chosen, encoder=self._encoder, store=self._store, hub_biases=self._tuner.hub_biases,
            progress=progress, settings=self._settings, sparse=self._sparse, reuse=reuse,
        )  # fmt: skip

    def watch(
        self,
        *sources: str | Path,
        stop: threading.Event | None = None,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Iterator[IngestReport]:
        """`add` now and again whenever a source changes; buckets are looked at every 30 seconds.

        Args:
            sources: As in `add`.
            stop: Ends it when set.
            progress: As in `add`.
            options: As in `add`.

        Yields:
            The report of every run, also of those that found nothing to do.
        """
        return watch(self, sources, stop=stop, progress=progress, options=options)

    def remove(self, *paths: str | Path) -> int:
        """Forget the assets at or below these paths (or uris), and how many they were.

        The files themselves stay; indexing their folder brings them back.

        Raises:
            SourceNotFoundError: The collection has nothing at or below one of the paths.
        """
        from polyseek.ingest.sources.locate import uri_of

        with self._store.writing():
            known = [record.uri for record in self._store.records()]
            gone: set[str] = set()
            for path in paths:
                found = _at_or_below(uri_of(path), known) or _at_or_below(str(path), known)
                if not found:
                    raise SourceNotFoundError(
                        f"{path}: the collection has nothing at or below it; "
                        "'polyseek status --json' counts what it has"
                    )
                gone.update(found)
            self._store.delete(sorted(gone))
            self._store.optimize()
        done = {"paths": list(map(str, paths)), "assets": len(gone)}
        versions.record(self._store, "remove", done)
        return len(gone)

    def add_vectors(
        self,
        data: Any,
        *,
        ids: Sequence[Any] | None = None,
        texts: Sequence[str | None] | None = None,
        metadata: Any = None,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> ImportReport:
        """Put vectors that were made elsewhere into the collection, all of them or none.

        >>> polyseek.open_external("items.polyseek", dim=384).add_vectors(array, ids=names)

        Args:
            data: ``(n, dim)`` NumPy array, an Arrow table or record batch reader with a column of
                vectors, or a path of a ``.parquet``, ``.npy``, ``.lance`` or ``.jsonl`` file.
                Vectors are brought to unit length; float32 ones that have it are not copied.
            ids: For an array: n ids, by default the numbers of the rows.
            texts: For an array: the words of each row.
            metadata: For an array: n rows of fields, as an Arrow table or lists by name.
            progress: Called with every step.
            options: Fields of `ImportOptions`: the columns ``id``, ``vector``, ``sparse``,
                ``text``, ``metadata`` of a table, and the ``modality`` of the rows.

        Raises:
            ConfigError: A column, an id or a vector cannot be used; nothing was added.
            DimensionError: A vector has another length than the collection's.
            IncompatibleCollectionError: The collection's vectors are made by an encoder.
        """
        table, given = vectors.table_of(data, ids=ids, texts=texts, metadata=metadata)
        if options.get("modality"):
            (options["modality"],) = modalities_of([options["modality"]])
        chosen = options_of(ImportOptions, {**given, **options})
        return self.add_table(table, chosen, progress=progress)

    def add_table(
        self,
        table: VectorTable,
        options: ImportOptions,
        *,
        progress: ProgressCallback | None = None,
    ) -> ImportReport:
        """As `add_vectors`, for a table that is open already."""
        return vectors.add(self._store, table, options, location=self.location, progress=progress)

    def export(self, to: str | Path, *, filter: str | None = None) -> int:  # noqa: A002
        """Write all segments with embeddings, texts and fields into a file; how many they were.

        `add_vectors` and ``polyseek import`` read it back without loss.

        Args:
            to: A new ``.parquet`` or ``.lance`` path.
            filter: Only segments that pass, as in `search`.
        """
        return vectors.export(self._store, to, condition=filter, location=self.location)

    def versions(self) -> Sequence[Version]:
        """The states that are kept, oldest first; every run that changes something makes one."""
        return versions.versioned(self._store, self.location).versions()

    def at(self, version: VersionName) -> Collection:
        """The collection as it was: to search, to look at and to export; it cannot be written.

        Args:
            version: A number, or a time: the last version at or before it.
        """
        store = versions.versioned(self._store, self.location)
        found = versions.find(store.versions(), version, location=self.location)
        return Collection(
            self.location, store=store.at(found), encoder=self._encoder.plain,
            settings=self._settings,
            sparse=self._sparse,
        )  # fmt: skip

    def rollback(self, version: VersionName) -> Version:
        """Make an old version current again; that is a new version, so nothing is lost."""
        return versions.rollback(self._store, version, location=self.location)

    def compact(self, *, keep: int = 1) -> Sequence[Version]:
        """Forget all but the last versions and reclaim their space; those that are left."""
        return versions.compact(self._store, keep, location=self.location)

    def search(  # noqa: PLR0913 - a keyword for each thing that a user may ask
        self,
        query: str | Path | ComposedQuery | Any | None = None,
        *,
        vector: Any = None,
        sparse: Any = None,
        limit: int | None = None,
        modalities: Sequence[str] = (),
        filter: str | None = None,  # noqa: A002 - the name users of search tools expect
        min_probability: float | None = None,
        show_all: bool | None = None,
        mode: str | None = None,
        like: Sequence[str | Path] = (),
        unlike: Sequence[str | Path] = (),
        retriever: str | Path | Retriever | None = None,
        **more: Any,
    ) -> Results:
        """Rank everything in the collection for a query of any modality.

        Args:
            query: A text, a path or URL of a media file, or a PIL image. A string is a path when
                it names an existing file, contains a slash or ends like a media file;
                ``text:...`` forces text, and ``id:...`` is what is like an asset of the
                collection. `polyseek.query` makes one of several terms. None for nothing but a
                vector, or more like the examples; with a filter or modalities alone, all that
                passes is listed, by path.
            vector: ``(dim,)`` numbers in the shared space; with a text, its words count too.
            sparse: A sparse vector that is looked for too: `SparseVector`, or weights by index.
            limit: Number of hits (10).
            modalities: Which segments to search; empty for all.
            filter: SQL-like condition on metadata, e.g. ``"year >= 2020"``.
            min_probability: Leave out hits that are less probable than this.
            show_all: Show the nearest hits even when nothing matches.
            mode: ``"hybrid"`` compares embeddings and, for a text, words; ``"dense"`` or ``"text"``
                one of them alone. A text may have ``"phrases"``, ``-exclusions`` and ``fuzzy~``
                words.
            like: Earlier hits that are right: ids of segments, or paths or uris of assets.
            unlike: Earlier hits that are not.
            retriever: The stages of the search: the name of a saved one, or a file.
            more: ``group`` is what one hit is: an ``"asset"``, or every ``"segment"`` by itself.
                ``collapse`` lists near-duplicates with the better hit, ``diverse`` (0 to 0.9)
                prefers hits that differ from those above, ``moments`` is the number of further
                places shown in an asset (3), ``explain`` says why each hit was found, and with
                ``where`` where in pictures, ``partial`` is called with the results so far whenever
                another modality was searched, ``strength`` is that of the adapters, 0 (off) to 1;
                at any but the one that the collection is tuned to, what is adapted has no
                probabilities; ``glossary`` is a file (see `keep_glossary`) for this search.

        Returns:
            Hits, best first, with their `probability` of relevance; `score` is the plain cosine.
            When nothing in the collection is probable enough, no hits and `no_match`.

        Raises:
            QueryError: The query cannot be read or the options are wrong.
            ConfigError: There is no such retriever, or an option is unknown or out of range.
        """
        return self._searcher.search(
            query,
            vector=vector,
            sparse=sparse,
            limit=limit,
            modalities=modalities,
            filter=filter,
            min_probability=min_probability,
            show_all=show_all,
            mode=mode,
            like=like,
            unlike=unlike,
            retriever=retriever,
            **more,
        )

    def modalities(self) -> Mapping[Modality, int]:
        """Number of searchable assets by modality; a video with sound counts as both."""
        return by_modality(self._store.counts())

    @property
    def encoder(self) -> EncoderInfo:
        """What its encoder can do and which exact one it is."""
        return self._encoder.info

    def fields(self) -> Mapping[str, FieldType]:
        """Metadata fields that filters may name, with their types."""
        return self._store.fields()

    def describe_fields(self) -> list[Field]:
        """Metadata fields with their types, number of segments and example values."""
        return describe(self._store)

    def status(self) -> Status:
        """Counts by status and modality, and every failure with its reason."""
        assets: dict[AssetStatus, int] = {}
        counts = dict(sorted(self._store.counts().items()))
        for (status, _), count in counts.items():
            assets[status] = assets.get(status, 0) + count
        manifest = self._store.manifest
        return Status(
            location=self.location,
            encoder=exactly(manifest.encoder, manifest.revision),
            assets=assets,
            modalities=by_modality(counts),
            failures=list(self._failures()),
            joined=self._shelf.joins(),
            notes=unfinished(self._shelf.unplaced()),
        )

    def _failures(self) -> Iterator[Failure]:
        if not {status for status, _ in self._store.counts()} - {AssetStatus.INDEXED}:
            return  # of a million assets, each would be looked at
        for record in self._store.records():
            if record.reason:
                yield Failure(uri=record.uri, status=record.status, reason=record.reason)


def _at_or_below(uri: str, known: Sequence[str]) -> list[str]:
    uri = uri.rstrip("/")
    return [u for u in known if u == uri or u.startswith(uri + "/")]


def clip(hit: Hit) -> Clip | None:
    """A small copy of a hit to look at or listen to, or None."""
    from polyseek.ingest.preview import preview

    return preview(hit)
