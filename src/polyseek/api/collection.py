"""Collections: what is in them and what can be done with them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyseek.api import vectors, versions
from polyseek.api.adapting import AdapterVersions, Shelf
from polyseek.api.composing import ComposedQuery, read_file
from polyseek.api.fields import Field, describe
from polyseek.api.options import modalities_of, mode_of, options_of
from polyseek.api.reindex import what_was_indexed
from polyseek.api.retrievers import SavedRetrievers
from polyseek.api.searching import Searcher
from polyseek.api.tuner import Tuner
from polyseek.api.vectors import ImportReport
from polyseek.api.watching import watch
from polyseek.core import plugins
from polyseek.core.artifacts import reporting
from polyseek.core.columns import Version, VersionName
from polyseek.core.config import ImportOptions, IndexOptions, Settings
from polyseek.core.errors import IncompatibleCollectionError, SourceNotFoundError
from polyseek.core.filters import FieldType
from polyseek.core.hits import Clip, Hit
from polyseek.core.protocols import Encoder, SparseEncoder, Store
from polyseek.core.reports import Failure, IngestReport, ProgressCallback
from polyseek.core.retriever import Retriever
from polyseek.core.tuning import Defaults, Tuning
from polyseek.core.types import (
    AssetStatus,
    Manifest,
    Modality,
    Prepare,
    by_modality,
    exactly,
)
from polyseek.encode.external import NAME as EXTERNAL
from polyseek.evaluate.diagnosis import Diagnosis
from polyseek.evaluate.runs import Run
from polyseek.learn.fusion import Fitted
from polyseek.search.results import Results

if TYPE_CHECKING:
    from polyseek.api.adapt import AdaptReport
    from polyseek.ingest.reuse import Reuse
    from polyseek.ingest.several import Given
    from polyseek.ingest.vector_files import VectorTable


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What a collection holds.

    Attributes:
        location: Where it is stored.
        encoder: Name and revision of its encoder.
        assets: Number of assets by status.
        modalities: Number of searchable assets by modality; a video with sound counts as both.
        failures: Assets that are not fully searchable, with the reason.
    """

    location: str
    encoder: str
    assets: Mapping[AssetStatus, int]
    modalities: Mapping[Modality, int]
    failures: Sequence[Failure]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "location": self.location,
            "encoder": self.encoder,
            "assets": {str(status): self.assets.get(status, 0) for status in AssetStatus},
            "modalities": {str(modality): n for modality, n in self.modalities.items()},
            "failures": [
                {"uri": f.uri, "status": str(f.status), "reason": f.reason} for f in self.failures
            ],
        }


class Collection:
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
        self._store = store
        self._encoder = encoder
        self._settings = settings
        self._sparse = sparse
        make = plugins.find("default", encoder.info.name)
        self._defaults: Defaults | None = make() if make else None
        self._shelf = Shelf(store)
        self._tuner = Tuner(
            store=store, encoder=encoder, defaults=self._defaults, adapters=self._shelf.active
        )
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
        report = self.ingest(chosen, progress=progress)
        if not report.interrupted and self._tuner.outgrown():
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
            self.location, store=store.at(found), encoder=self._encoder, settings=self._settings,
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
                vector, or more like the examples.
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
            more: ``collapse`` lists near-duplicates with the better hit, ``diverse`` (0 to 0.9)
                prefers hits that differ from those above, ``moments`` is the number of further
                places shown in an asset (3), ``explain`` says why each hit was found, ``strength``
                is that of the adapters, 0 (off) to 1; at any but the one that the collection is
                tuned to, what is adapted has no probabilities; ``glossary`` is a file (see
                `keep_glossary`) for this search.

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

    def learn_fusion(
        self, pairs: str | Path, *, progress: ProgressCallback | None = None
    ) -> Fitted:
        """Learn the reranker ``fusion`` from pairs of queries and assets; refused when not better.

        Args:
            pairs: A table of queries and assets, TREC qrels or a folder in BEIR's layout.
            progress: Called with every query.

        Raises:
            ConfigError: The pairs cannot be read, or too few of them can be used.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.api.fusing import learn

        return learn(pairs, self._store, self._searcher.candidates, progress=progress)

    @property
    def retrievers(self) -> SavedRetrievers:
        """Retrievers saved in the collection: `list`, `save` and `remove`."""
        return SavedRetrievers(self._store)

    def tune(
        self,
        *,
        bank: str | Path | None = None,
        pairs: str | Path | None = None,
        queries: str | Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> Tuning:
        """Fit hub corrections and calibrations to this collection; no labels are needed.

        Args:
            bank: A text file with one query per line, like those people ask here; the shipped one
                of 3,000 generic English queries when left out. Never take the queries that quality
                is measured with.
            pairs: Labelled queries, as for `evaluate`: what they know better is chosen by them,
                and kept only where it is no worse than what ships on those that were held out.
            queries: As for `evaluate`.
            progress: Called with every pair of modalities.

        Raises:
            ConfigError: The bank cannot be read or is too small, or the pairs cannot be read.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.learn.bank import read_bank

        texts = read_bank(bank) if bank is not None else ()
        return self.tune_with(texts, pairs=pairs, queries=queries, progress=progress)

    def tune_with(
        self,
        bank: Sequence[str],
        *,
        pairs: str | Path | None = None,
        queries: str | Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> Tuning:
        """As `tune`, with the queries of this bank; the usual one where it is empty."""
        found = self._tuner.tune(bank, progress, pairs=pairs, queries=queries)
        versions.record(self._store, "tune", {"pairs": len(found.calibrations)})
        return found

    def adapt(
        self,
        pairs: str | Path = "auto",
        *,
        queries: str | Path | None = None,
        force: bool = False,
        install: bool = True,
        progress: ProgressCallback | None = None,
    ) -> AdaptReport:
        """Learn from pairs of queries and assets; install what held-out pairs show to be better.

        Only texts are encoded: media are known by their stored embeddings.

        Args:
            pairs: As for `evaluate`.
            queries: A file with the queries that ids in `pairs` stand for.
            force: Install what is no better, too.
            install: False only measures.
            progress: Called with every step.

        Raises:
            ConfigError: The pairs cannot be read, are too few, or their assets are not indexed.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.api.adapt import Adapting

        run = Adapting(
            store=self._store, encoder=self._encoder, defaults=self._defaults, shelf=self._shelf,
            tuner=self._tuner, progress=progress,
        )  # fmt: skip
        return run.run(pairs, queries=queries, force=force, install=install)

    @property
    def glossary(self) -> str | None:
        """The lines of the collection's glossary; None without one."""
        return self._store.notes.get("glossary")

    def keep_glossary(self, file: str | Path | None) -> int:
        """Read text queries with a glossary from now on, or without one.

        Args:
            file: A UTF-8 text with a line ``term: expansion, expansion`` for each term; None
                forgets the glossary.

        Returns:
            The number of its terms.

        Raises:
            ConfigError: It cannot be read, or a line is none of these.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.core.glossary import GLOSSARY, read_glossary

        found = None if file is None else read_glossary(file)
        with self._store.writing():
            self._store.save_note(GLOSSARY, found.text() if found else None)
        return len(found.terms) if found else 0

    @property
    def adapters(self) -> AdapterVersions:
        """The versions that `adapt` has made: list, use and remove them."""
        return AdapterVersions(self._store, self._shelf, self._tuner)

    def evaluate(
        self,
        pairs: str | Path = "auto",
        *,
        queries: str | Path | None = None,
        slice_by: str | None = None,
        limit: int = 1_000,
        mode: str | None = None,
        progress: ProgressCallback | None = None,
    ) -> Run:
        """Measure how well the collection answers queries whose answers are known.

        Args:
            pairs: ``"auto"`` for what the collection itself says of its assets, ``"field:NAME"``
                for one of its metadata fields, or a file or folder with labels.
            queries: A file with the queries that ids in `pairs` stand for.
            slice_by: A field by whose values quality is shown as well.
            limit: Questions per direction; 0 for all.
            mode: As for `search`; by default ``"hybrid"``, but ``"dense"`` where the queries stand
                in what answers them.
            progress: Called with every step.

        Raises:
            ConfigError: The pairs cannot be read, or nothing in the collection answers them.
        """
        from polyseek.api.evaluation import evaluate

        with reporting(progress):
            return evaluate(
                self._store,
                location=self.location,
                encoder=self._encoder,
                defaults=self._defaults,
                adapters=self._shelf.active(),
                pairs=pairs,
                queries=queries,
                slice_by=slice_by,
                limit=limit,
                mode=None if mode is None else mode_of(mode),
                progress=progress,
            )

    def doctor(self, *, progress: ProgressCallback | None = None) -> Diagnosis:
        """Check the encoder, the stored vectors and what a search makes of them; changes nothing.

        Args:
            progress: Called with every check, also while model files are fetched.

        Returns:
            Checks with a verdict, figures and advice each; `verdict` is the worst of them.
        """
        from polyseek.evaluate.doctor import diagnose
        from polyseek.search.calibrate import Calibrator

        adapters = self._shelf.active()
        scale = Calibrator(defaults=self._defaults, tuning=self._store.tuning, adapters=adapters)
        reads = Modality.TEXT in self._encoder.info.towers
        with reporting(progress):
            return diagnose(
                self._store,
                location=self.location,
                encoder=self._encoder,
                scale=scale,
                bank=self._tuner.bank(brief=True) if reads else None,
                adapters=adapters,
                read=read_file,
                progress=progress,
            )

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
