"""Opening collections, and making them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from polyseek.api.collection import Collection
from polyseek.api.options import options_of
from polyseek.core import plugins
from polyseek.core.columns import VersionName
from polyseek.core.config import IndexOptions, Settings, resolve_settings
from polyseek.core.errors import (
    CollectionBusyError,
    CollectionNotFoundError,
    ConfigError,
    DimensionError,
    IncompatibleCollectionError,
    StoreError,
)
from polyseek.core.objects import scheme_of
from polyseek.core.protocols import Encoder, SparseEncoder, Store, SwitchingStore
from polyseek.core.types import (
    AssetStatus,
    EncoderInfo,
    Manifest,
)
from polyseek.encode import names
from polyseek.encode.external import NAME as EXTERNAL
from polyseek.encode.external import ExternalEncoder

EncoderLoader: TypeAlias = Callable[[str, Settings], Encoder]

FORMAT_VERSION = 1
DEFAULT_ENCODER = "mini"


def open(  # noqa: A001 - polyseek.open reads like gzip.open
    location: str | Path | None = None,
    *,
    encoder: str | None = None,
    create: bool = True,
    resident: bool = True,
    settings: Settings | None = None,
    query_encoder: str | None = None,
    sparse: str | None = None,
    at: VersionName | None = None,
    loader: EncoderLoader | None = None,
) -> Collection:
    """Open a collection, or create it when there is none.

    Args:
        location: Folder of the collection, or ``s3://bucket/path``; defaults to ``./.polyseek``
            (``POLYSEEK_COLLECTION``).
        encoder: Encoder of a new collection (default ``mini``): a name of `polyseek models`,
            ``hf:owner/repository[@revision]``, or a model's folder. For an existing one it must
            be the encoder the collection was made with.
        create: Whether to create a missing collection.
        resident: Search a copy in memory (for long-lived processes) instead of asking the store.
        settings: Defaults to `polyseek.toml` and the environment.
        query_encoder: For a collection of vectors from elsewhere: what reads queries; left out, the
            one it was made with.
        sparse: Sparse encoder of a new collection; for an existing one it must be its own.
        at: Open an old version, see `Collection.at`.
        loader: Gives the encoder of a name, for collections that share one.

    Raises:
        CollectionNotFoundError: There is none and `create` is False.
        IncompatibleCollectionError: It was made with another encoder or a newer format.
    """
    settings, loader = settings or resolve_settings(), loader or load_encoder
    where = _location(location, settings)
    backend = plugins.load("store", "lance")
    try:
        store = open_serving(backend, where, resident=resident)
    except CollectionNotFoundError:
        if not create:
            raise
        _create(backend, where, _new(encoder or DEFAULT_ENCODER, sparse, settings, loader))
        store = backend.open(where, resident=resident)
    name = _wanted(where, store.manifest.encoder, encoder)
    _demand(where, "sparse encoder", sparse, store.manifest.sparse and store.manifest.sparse[0])
    opened = Collection(
        where,
        store=store,
        encoder=encoder_of(
            where, store.manifest, settings, name=name, query_encoder=query_encoder, loader=loader
        ),
        settings=settings,
        sparse=_sparse_of(where, store.manifest, settings),
    )
    return opened if at is None else opened.at(at)


def _location(given: str | Path | None, settings: Settings) -> str:
    """A path or a bucket's URL as it is kept."""
    where = str(given or settings.collection)
    return where if scheme_of(where) else str(Path(where).expanduser())


def open_serving(backend: Any, where: str, *, resident: bool) -> Store:
    """The store of the generation that answers: the collection's own unless it was reindexed."""
    own: Store = backend.open(where, resident=resident)
    name = own.generations()[-1] if isinstance(own, SwitchingStore) else ""
    if not name:
        return own
    chosen: Store = backend.open(generation_at(where, name), resident=resident)
    return chosen


def generation_at(where: str, name: str) -> str:
    """Where another index of a collection lies."""
    return f"{where}/generations/{name}" if name else where


def _demand(where: str, role: str, asked: str | None, made: str | None) -> None:
    if asked not in (None, made):
        raise IncompatibleCollectionError(
            f"{where}: made with {role} '{made or 'none'}', not '{asked}'; leave the {role} out, "
            "or index into another collection with -c"
        )


def encoder_of(
    where: str,
    manifest: Manifest,
    settings: Settings,
    *,
    name: str | None = None,
    query_encoder: str | None = None,
    loader: EncoderLoader | None = None,
) -> Encoder:
    """The encoder that a collection was made with.

    Raises:
        IncompatibleCollectionError: This polyseek has another of that name.
        ConfigError: A query encoder is given, and the collection has a whole one.
    """
    loader = loader or load_encoder
    if manifest.encoder == EXTERNAL:
        reads = query_encoder or manifest.query_encoder
        return ExternalEncoder(manifest.dim, loader(reads, settings) if reads else None)
    if query_encoder is not None:
        raise ConfigError(
            f"{where}: made with encoder '{manifest.encoder}', which reads queries itself; leave "
            "--query-encoder out"
        )
    chosen = loader(name or manifest.encoder, settings)
    check_manifest(where, manifest, chosen.info)
    return chosen


def _sparse_of(where: str, manifest: Manifest, settings: Settings) -> SparseEncoder | None:
    if manifest.sparse is None:
        return None
    name, revision = manifest.sparse
    chosen = load_sparse_encoder(name, settings)
    if chosen.revision != revision:
        raise IncompatibleCollectionError(
            f"{where}: made with sparse encoder '{name}' of revision {revision}, this polyseek has "
            f"{chosen.revision}; index the source into a new collection with -c"
        )
    return chosen


def _new(encoder: str, sparse: str | None, settings: Settings, loader: EncoderLoader) -> Manifest:
    """The manifest of a new collection."""
    if encoder == EXTERNAL:
        raise ConfigError(
            "a collection of vectors from elsewhere is made by its first import: polyseek import "
            "FILE, or polyseek.open_external(location, dim=...)"
        )
    chosen = load_sparse_encoder(sparse, settings) if sparse else None
    made = manifest_of(loader(encoder, settings).info)
    return replace(made, sparse=(chosen.name, chosen.revision)) if chosen else made


@contextmanager
def open_to_index(
    location: str | Path | None,
    *sources: str | Path,
    encoder: str | None = None,
    sparse: str | None = None,
    **options: Any,
) -> Iterator[Collection]:
    """Open a collection, or create it when all is well and there is something to put into it.

    One that was created and has read nothing at the end, because the encoder's model files cannot
    be had for example, is removed again.

    Args:
        location: Folder of the collection.
        sources: What will be indexed.
        encoder: As in `open`.
        sparse: As in `open`.
        options: As in `Collection.add`.

    Raises:
        SourceError: A source is missing or unreadable, or a new collection would stay empty.
        ConfigError: An option is wrong, or what it asks for is not installed.
    """
    from polyseek.ingest.recognise import recognisers
    from polyseek.ingest.several import given, nothing_in

    chosen = given(sources, options_of(IndexOptions, options))
    try:
        opened = open(location, encoder=encoder, sparse=sparse, create=False, resident=False)
    except CollectionNotFoundError:
        if chosen.hold_nothing():
            raise nothing_in(sources) from None
        recognisers(chosen.options, ())
    else:
        yield opened
        return
    opened = open(location, encoder=encoder, sparse=sparse, resident=False)
    try:
        yield opened
    finally:
        with suppress(StoreError):
            _remove_empty(opened.store)


def _remove_empty(store: Store) -> None:
    """Remove a collection that has not read anything yet, nor begun with a long asset."""
    if isinstance(store, SwitchingStore) and _is_empty(store):
        with store.writing():
            if _is_empty(store):  # still: another process may have indexed into it meanwhile
                store.remove()


def _is_empty(store: Store) -> bool:
    return not any(
        record.segments or record.status is not AssetStatus.PENDING for record in store.records()
    )


def open_external(
    location: str | Path | None = None,
    *,
    dim: int,
    query_encoder: str | None = None,
    resident: bool = True,
    settings: Settings | None = None,
) -> Collection:
    """Open a collection of vectors that were made elsewhere, or create it when there is none.

    Args:
        location: As in `open`.
        dim: Length of its vectors.
        query_encoder: Encoder that makes such vectors, to read queries; without one, search with
            vectors, words and ids.
        resident: As in `open`.
        settings: As in `open`.

    Raises:
        IncompatibleCollectionError: There is a collection of another kind.
        DimensionError: There is one with vectors of another length, or the query encoder's have.
    """
    settings = settings or resolve_settings()
    manifest = external_manifest(dim, query_encoder)
    encoder_of("", manifest, settings)
    opened = open_or_create(location, manifest, settings=settings, resident=resident)
    made = opened.manifest
    if made.dim != dim:
        raise DimensionError(
            f"{opened.location}: its vectors have {made.dim} numbers, not {dim}; put others into "
            "another collection with -c"
        )
    _demand(opened.location, "encoder", EXTERNAL, made.encoder)
    return opened


def _wanted(where: str, recorded: str, given: str | None) -> str:
    """The name that opens a collection's encoder: its own, or where its folder is now."""
    if given is None or names.same(given, recorded):
        return recorded
    if names.is_path(given) and names.is_path(recorded):
        return given  # the same files elsewhere are the same encoder: their checksums decide
    raise IncompatibleCollectionError(
        f"{where}: made with encoder '{recorded}', not '{given}'; leave the encoder out, "
        "or index into another collection with -c"
    )


def open_or_create(
    location: str | Path | None, manifest: Manifest, *, settings: Settings, resident: bool
) -> Collection:
    """Open a collection; where there is none, make one with this manifest."""
    where = _location(location, settings)
    try:
        return open(where, create=False, resident=resident, settings=settings)
    except CollectionNotFoundError:
        encoder_of(where, manifest, settings)
        _create(plugins.load("store", "lance"), where, manifest)
    return open(where, create=False, resident=resident, settings=settings)


def external_manifest(dim: int, query_encoder: str | None) -> Manifest:
    """The manifest of a new collection of vectors from elsewhere."""
    made = manifest_of(ExternalEncoder(dim).info)
    return replace(made, query_encoder=query_encoder)


def _create(backend: Any, where: str, manifest: Manifest) -> None:
    """Make a collection, unless another process is faster."""
    try:
        backend.create(where, manifest)
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


def load_encoder(name: str, settings: Settings) -> Encoder:
    """The encoder of this name; see `polyseek.encode.names`."""
    return names.load(name, settings)


def load_sparse_encoder(name: str, settings: Settings) -> SparseEncoder:
    """The registered sparse encoder of this name."""
    load: Callable[[Settings], SparseEncoder] = plugins.load("sparse_encoder", name)
    return load(settings)
