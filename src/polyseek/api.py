"""Collections: the public face that wires the rooms together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from polyseek.core import plugins
from polyseek.core.artifacts import reporting
from polyseek.core.config import IndexOptions, SearchOptions, Settings, resolve_settings
from polyseek.core.errors import (
    AssetError,
    CollectionBusyError,
    CollectionNotFoundError,
    ConfigError,
    IncompatibleCollectionError,
    QueryError,
    SourceNotFoundError,
    StoreError,
)
from polyseek.core.filters import FieldType
from polyseek.core.protocols import Encoder, Store
from polyseek.core.tuning import Defaults, Tuning
from polyseek.core.types import (
    AssetStatus,
    Clip,
    Embeddings,
    EncoderInfo,
    Failure,
    Floats,
    Hit,
    IngestReport,
    Manifest,
    Modality,
    ProgressCallback,
    Query,
    by_modality,
)
from polyseek.evaluate.diagnosis import Diagnosis
from polyseek.search.results import Results

FORMAT_VERSION = 1
DEFAULT_ENCODER = "mini"
OUTGROWN = 1.5
"""A tuned collection that has grown by this factor is tuned again when it is added to."""


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
        self, location: str, *, store: Store, encoder: Encoder, settings: Settings
    ) -> None:
        self.location = location
        self._store = store
        self._encoder = encoder
        self._settings = settings
        make = plugins.find("default", encoder.info.name)
        self._defaults: Defaults | None = make() if make else None

    def __repr__(self) -> str:
        return f"Collection({self.location!r}, encoder={self._encoder.info.name!r})"

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
        """Index folders or files; unchanged assets are skipped, deleted ones removed.

        What `include` and `exclude` leave out stays as it is.

        Args:
            sources: Folders or files.
            progress: Called with every step, also while model files are fetched.
            options: Fields of `IndexOptions`: ``include``, ``exclude``, ``metadata``,
                ``keep_deleted``, ``workers``, ``timeout_s``, ``passage_chars``, ``window_s``,
                ``hop_s``, ``ocr``, ``asr``, ``ocr_engine``, ``asr_engine``.

        Raises:
            SourceError: A source is missing or unreadable, or none holds anything to index.
            ConfigError: An option is unknown or out of range, no row of the metadata table
                belongs to a file, or (`MissingExtraError`) what it asks for is not installed.
        """
        from polyseek.ingest.several import given, ingest_all

        chosen = given(sources, _options(IndexOptions, options))
        report = ingest_all(
            chosen,
            encoder=self._encoder,
            store=self._store,
            hub_biases=self._hub_biases,
            progress=progress,
            settings=self._settings,
        )
        if not report.interrupted and self._outgrown():
            self._tune(self._store.tuning.bank if self._store.tuning else (), progress)
        return report

    def remove(self, *paths: str | Path) -> int:
        """Forget the assets at or below these paths (or uris), and how many they were.

        The files themselves stay; indexing their folder brings them back.

        Raises:
            SourceNotFoundError: The collection has nothing at or below one of the paths.
        """
        from polyseek.ingest.several import uri_of

        with self._store.writing():
            known = [record.uri for record in self._store.records()]
            gone: set[str] = set()
            for path in paths:
                uri = uri_of(path).rstrip("/")
                found = [u for u in known if u == uri or u.startswith(uri + "/")]
                if not found:
                    raise SourceNotFoundError(
                        f"{path}: the collection has nothing at or below it; "
                        "'polyseek status --json' counts what it has"
                    )
                gone.update(found)
            self._store.delete(sorted(gone))
            self._store.optimize()
        return len(gone)

    def search(
        self,
        query: str | Path | Any,
        *,
        limit: int = 10,
        modalities: Sequence[str] = (),
        filter: str | None = None,  # noqa: A002 - the name users of search tools expect
        min_probability: float | None = None,
        show_all: bool = False,
    ) -> Results:
        """Rank everything in the collection for a query of any modality.

        Args:
            query: A text, a path or URL of a media file, or a PIL image. A string is a path when
                it names an existing file, contains a slash or ends like a media file;
                ``text:...`` forces text.
            limit: Number of hits.
            modalities: Which segments to search; empty for all.
            filter: SQL-like condition on metadata, e.g. ``"year >= 2020"``.
            min_probability: Leave out hits that are less probable than this.
            show_all: Show the nearest hits even when nothing matches.

        Returns:
            Hits, best first, with their `probability` of relevance; `score` is the plain cosine.
            When nothing in the collection is probable enough, no hits and `no_match`.

        Raises:
            QueryError: The query cannot be read or the options are wrong.
        """
        from polyseek.core.filters import check, parse
        from polyseek.ingest.term import read_query
        from polyseek.search.pipeline import search

        only = _modalities(modalities)
        if filter is not None:
            check(parse(filter), self.fields())
        return search(
            read_query(query, offline=self._settings.offline),
            encoder=self._encoder,
            store=self._store,
            options=SearchOptions(
                limit=limit,
                modalities=only,
                filter=filter,
                min_probability=min_probability,
                show_all=show_all,
            ),
            defaults=self._defaults,
            preview=clip,
        )

    def tune(
        self,
        *,
        bank: str | Path | None = None,
        progress: ProgressCallback | None = None,
    ) -> Tuning:
        """Fit hub corrections and calibrations to this collection; nothing is labelled or sent.

        Args:
            bank: A text file with one query per line, like those people ask here; the shipped one
                of 3,000 generic English queries when left out. Never take the queries that quality
                is measured with.
            progress: Called with every pair of modalities.

        Raises:
            ConfigError: The bank cannot be read or is too small.
            CollectionBusyError: Another process is writing to the collection.
        """
        from polyseek.learn.bank import read_bank

        return self._tune(read_bank(bank) if bank is not None else (), progress)

    def doctor(self, *, progress: ProgressCallback | None = None) -> Diagnosis:
        """Check the encoder, the stored vectors and what a search makes of them; changes nothing.

        Args:
            progress: Called with every check, also while model files are fetched.

        Returns:
            Checks with a verdict, figures and advice each; `verdict` is the worst of them.
        """
        from polyseek.evaluate.doctor import diagnose
        from polyseek.search.calibrate import Calibrator

        tuning = self._store.tuning
        reads = Modality.TEXT in self._encoder.info.towers
        with reporting(progress):
            return diagnose(
                self._store,
                location=self.location,
                encoder=self._encoder,
                scale=Calibrator(defaults=self._defaults, tuning=tuning),
                bank=self._query_bank(tuning.bank if tuning else (), brief=True) if reads else None,
                read=_read,
                progress=progress,
            )

    def fields(self) -> Mapping[str, FieldType]:
        """Metadata fields that filters may name, with their types."""
        return self._store.fields()

    def status(self) -> Status:
        """Counts by status and modality, and every failure with its reason."""
        assets: dict[AssetStatus, int] = {}
        counts = dict(sorted(self._store.counts().items()))
        for (status, _), count in counts.items():
            assets[status] = assets.get(status, 0) + count
        manifest = self._store.manifest
        return Status(
            location=self.location,
            encoder=f"{manifest.encoder}@{manifest.revision}",
            assets=assets,
            modalities=by_modality(counts),
            failures=list(self._failures()),
        )

    def _tune(self, texts: Sequence[str], progress: ProgressCallback | None) -> Tuning:
        from polyseek.learn.tune import tune

        with reporting(progress), self._store.writing():
            queries = self._query_bank(texts)
            tuning = tune(
                self._store, bank=queries, texts=texts, defaults=self._defaults, progress=progress
            )
            self._store.optimize()
        self.__dict__.pop("_bank", None)  # the next segments are compared with this one
        return tuning

    def _outgrown(self) -> bool:
        """Whether the collection was tuned when it was much smaller."""
        tuning = self._store.tuning
        if tuning is None:
            return False
        now, then = by_modality(self._store.counts()), tuning.fitted_assets
        return any(count > OUTGROWN * then.get(modality, 0) for modality, count in now.items())

    def _query_bank(self, texts: Sequence[str], *, brief: bool = False) -> Embeddings:
        """The user's own bank, else the one that ships with the encoder, else the generic one.

        What has to be embedded for it is a sample if `brief`.
        """
        from polyseek.learn.bank import embed_bank, generic_queries, sample_of

        if not texts and self._defaults:
            return self._defaults.bank
        chosen = texts or generic_queries()
        return embed_bank(sample_of(chosen) if brief else chosen, self._encoder)

    @cached_property
    def _bank(self) -> Embeddings | None:
        """The bank that new segments get their hub bias from; None while there is none."""
        tuning = self._store.tuning
        if tuning is None and self._defaults is None:
            return None
        return self._query_bank(tuning.bank if tuning else ())

    def _hub_biases(self, modality: Modality, rows: Embeddings) -> Mapping[Modality, Floats]:
        from polyseek.learn.hub import hub_bias

        if self._bank is None:
            return {}
        same = modality is Modality.TEXT
        bank = self._bank.tower if same else self._bank.shared
        return {Modality.TEXT: hub_bias(rows.tower if same else rows.shared, bank)}

    def _failures(self) -> Iterator[Failure]:
        for record in self._store.records():
            if record.reason:
                yield Failure(uri=record.uri, status=record.status, reason=record.reason)


def open(  # noqa: A001 - polyseek.open reads like gzip.open
    location: str | Path | None = None,
    *,
    encoder: str | None = None,
    create: bool = True,
    resident: bool = True,
    settings: Settings | None = None,
) -> Collection:
    """Open a collection, or create it when there is none.

    Args:
        location: Folder of the collection; defaults to ``./.polyseek`` (``POLYSEEK_COLLECTION``).
        encoder: Encoder of a new collection (default ``mini``); for an existing one it must be
            the encoder the collection was made with.
        create: Whether to create a missing collection.
        resident: Search a copy in memory (for long-lived processes) instead of asking the store.
        settings: Defaults to `polyseek.toml` and the environment.

    Raises:
        CollectionNotFoundError: There is none and `create` is False.
        IncompatibleCollectionError: It was made with another encoder or a newer format.
    """
    settings = settings or resolve_settings()
    where = str(Path(location or settings.collection).expanduser())
    backend = plugins.load("store", "lance")
    try:
        store: Store = backend.open(where, resident=resident)
    except CollectionNotFoundError:
        if not create:
            raise
        _create(backend, where, encoder or DEFAULT_ENCODER, settings)
        store = backend.open(where, resident=resident)
    name = store.manifest.encoder
    if encoder not in (None, name):
        raise IncompatibleCollectionError(
            f"{where}: made with encoder '{name}', not '{encoder}'; leave the encoder out, "
            "or index into another collection with -c"
        )
    chosen = _load_encoder(name, settings)
    check_manifest(where, store.manifest, chosen.info)
    return Collection(where, store=store, encoder=chosen, settings=settings)


def open_to_index(
    location: str | Path | None,
    *sources: str | Path,
    encoder: str | None = None,
    **options: Any,
) -> Collection:
    """Open a collection, or create it when all is well and there is something to put into it.

    Args:
        location: Folder of the collection.
        sources: What will be indexed.
        encoder: As in `open`.
        options: As in `Collection.add`.

    Raises:
        SourceError: A source is missing or unreadable, or a new collection would stay empty.
        ConfigError: An option is wrong, or what it asks for is not installed.
    """
    from polyseek.ingest.recognise import recognisers
    from polyseek.ingest.several import given, nothing_in

    chosen = given(sources, _options(IndexOptions, options))
    try:
        return open(location, encoder=encoder, create=False, resident=False)
    except CollectionNotFoundError:
        if chosen.hold_nothing():
            raise nothing_in(sources) from None
        recognisers(chosen.options, ())
    return open(location, encoder=encoder, resident=False)


def _create(backend: Any, where: str, encoder: str, settings: Settings) -> None:
    """Make a collection, unless another process is faster."""
    info = _load_encoder(encoder, settings).info
    try:
        backend.create(where, manifest_of(info))
    except CollectionBusyError:
        raise
    except StoreError:
        with suppress(CollectionNotFoundError):
            backend.open(where)
            return
        raise


def manifest_of(info: EncoderInfo) -> Manifest:
    """The manifest of a new collection for this encoder."""
    return Manifest(
        format_version=FORMAT_VERSION,
        encoder=info.name,
        revision=info.revision,
        dim=info.dim,
        tower_dims={modality: tower.dim for modality, tower in info.towers.items()},
        checksums=dict(info.checksums),
    )


def check_manifest(where: str, manifest: Manifest, info: EncoderInfo) -> None:
    """Refuse to mix embeddings of two encoders.

    Raises:
        IncompatibleCollectionError: Anything that decides the embeddings differs.
    """
    expected = manifest_of(info)
    for name in ("revision", "dim", "tower_dims", "checksums"):
        made, now = getattr(manifest, name), getattr(expected, name)
        if made == now:
            continue
        if name == "checksums":
            files = sorted(f for f in {**made, **now} if made.get(f) != now.get(f))
            difference = f"with other files ({', '.join(files)}) than this polyseek has"
        else:
            difference = f"of {name} {made}, this polyseek has {now}"
        raise IncompatibleCollectionError(
            f"{where}: made with encoder '{info.name}' {difference}; index the source into a new "
            "collection with -c"
        )


def _read(uri: str) -> Query | None:
    """What a local file holds, as a query; None when it cannot be read any more."""
    from polyseek.ingest.sources.files import local_path
    from polyseek.ingest.term import read_query

    if not uri.startswith("file:"):
        return None
    try:
        return read_query(local_path(uri))
    except (QueryError, AssetError):
        return None


def clip(hit: Hit) -> Clip | None:
    """A small copy of a hit to look at or listen to, or None."""
    from polyseek.ingest.preview import preview

    return preview(hit)


def _load_encoder(name: str, settings: Settings) -> Encoder:
    load: Callable[[Settings], Encoder] = plugins.load("encoder", name)
    return load(settings)


def _options(kind: type[Any], given: Mapping[str, Any]) -> Any:
    try:
        return kind(**given)
    except TypeError as error:
        known = ", ".join(kind.__dataclass_fields__)
        raise ConfigError(f"unknown option: {error}; known: {known}") from None


def _modalities(names: Sequence[str]) -> tuple[Modality, ...]:
    found = []
    for name in [names] if isinstance(names, str) else names:
        with suppress(ValueError):
            found.append(Modality(name))
            continue
        raise ConfigError(f"unknown modality '{name}'; known: {', '.join(Modality)}")
    return tuple(found)
