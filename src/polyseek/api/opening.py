"""Opening collections, and making them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from polyseek.api.collection import Collection
from polyseek.api.options import options_of
from polyseek.core import plugins
from polyseek.core.config import IndexOptions, Settings, resolve_settings
from polyseek.core.errors import (
    CollectionBusyError,
    CollectionNotFoundError,
    IncompatibleCollectionError,
    StoreError,
)
from polyseek.core.objects import scheme_of
from polyseek.core.protocols import Encoder, Store
from polyseek.core.types import (
    EncoderInfo,
    Manifest,
)
from polyseek.encode import names

FORMAT_VERSION = 1
DEFAULT_ENCODER = "mini"


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
        location: Folder of the collection, or ``s3://bucket/path``; defaults to ``./.polyseek``
            (``POLYSEEK_COLLECTION``).
        encoder: Encoder of a new collection (default ``mini``): a name of `polyseek models`,
            ``hf:owner/repository[@revision]``, or a model's folder. For an existing one it must
            be the encoder the collection was made with.
        create: Whether to create a missing collection.
        resident: Search a copy in memory (for long-lived processes) instead of asking the store.
        settings: Defaults to `polyseek.toml` and the environment.

    Raises:
        CollectionNotFoundError: There is none and `create` is False.
        IncompatibleCollectionError: It was made with another encoder or a newer format.
    """
    settings = settings or resolve_settings()
    where = str(location or settings.collection)
    where = where if scheme_of(where) else str(Path(where).expanduser())
    backend = plugins.load("store", "lance")
    try:
        store: Store = backend.open(where, resident=resident)
    except CollectionNotFoundError:
        if not create:
            raise
        chosen = load_encoder(encoder or DEFAULT_ENCODER, settings)
        _create(backend, where, chosen.info)
        store = backend.open(where, resident=resident)
    else:
        chosen = load_encoder(_wanted(where, store.manifest.encoder, encoder), settings)
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

    chosen = given(sources, options_of(IndexOptions, options))
    try:
        return open(location, encoder=encoder, create=False, resident=False)
    except CollectionNotFoundError:
        if chosen.hold_nothing():
            raise nothing_in(sources) from None
        recognisers(chosen.options, ())
    return open(location, encoder=encoder, resident=False)


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


def _create(backend: Any, where: str, info: EncoderInfo) -> None:
    """Make a collection, unless another process is faster."""
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


def load_encoder(name: str, settings: Settings) -> Encoder:
    """The encoder of this name; see `polyseek.encode.names`."""
    return names.load(name, settings)
