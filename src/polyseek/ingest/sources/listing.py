"""From a flat listing of objects to assets with what belongs to them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import PurePosixPath
from typing import BinaryIO

from polyseek.core.errors import AssetError
from polyseek.core.texts import well_formed
from polyseek.core.types import Asset, Metadata
from polyseek.ingest.sources.beside import SIDECAR, is_sidecar, read_sidecar, subtitles
from polyseek.ingest.sources.remote import tag_of
from polyseek.ingest.sources.selection import COLLECTION_TABLE, Selection


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An object as a server lists it.

    Attributes:
        path: Below the source's root.
        uri: Of the asset it may become.
        size_bytes: Its length.
        modified: When it was last changed.
        etag: What the server calls this content; None when it does not.
        content_hash: The same wherever the content lies; None when that is not known.
    """

    path: str
    uri: str
    size_bytes: int
    modified: datetime
    etag: str | None
    content_hash: str | None = None


def assets_of(
    entries: Iterable[Entry], selection: Selection, table: Mapping[str, Metadata]
) -> Iterator[Asset]:
    """The assets among these objects, by path; sidecars and subtitles go with theirs.

    Args:
        entries: All objects below a root.
        selection: What is indexed.
        table: Metadata by path.
    """
    folders: defaultdict[str, dict[str, Entry]] = defaultdict(dict)
    for entry in entries:
        folder, _, name = entry.path.rpartition("/")
        if name:
            folders[folder][name] = entry
    collections = tuple({f.partition(COLLECTION_TABLE)[0] for f in folders if _in_table(f)})
    above = {folder[:i] for folder in folders for i in range(len(folder)) if folder[i] == "/"}
    for folder in sorted(folders):
        for marker in [n for n, e in folders[folder].items() if _is_folder(e, folders, above)]:
            del folders[folder][marker]
        prefix = f"{folder}/" if folder else ""
        if not prefix.startswith(collections or "\0"):
            yield from _in_folder(folders[folder], prefix, selection, table)


def with_sidecar(asset: Asset, open_: Callable[[Asset], BinaryIO]) -> Asset:
    """The asset with the metadata in its sidecar, which until now is the first companion."""
    found = [c for c in asset.companions if c.path == asset.path + SIDECAR]
    if not found:
        return asset
    try:
        with open_(found[0]) as stream:
            metadata, problem = read_sidecar(stream.read()), asset.problem
    except (AssetError, ValueError, RecursionError) as error:
        told = error.reason if isinstance(error, AssetError) else str(error)
        name = PurePosixPath(found[0].path).name
        metadata, problem = {}, well_formed(f"sidecar {name} cannot be read: {told}")
    rest = tuple(c for c in asset.companions if c is not found[0])
    return replace(asset, metadata={**asset.metadata, **metadata}, companions=rest, problem=problem)


def _is_folder(entry: Entry, *folders: Container[str]) -> bool:
    """Whether it is the empty object that some tools make for a folder."""
    return not entry.size_bytes and any(entry.path in each for each in folders)


def _in_table(folder: str) -> bool:
    return COLLECTION_TABLE in folder.split("/")


def _in_folder(
    entries: Mapping[str, Entry], prefix: str, selection: Selection, table: Mapping[str, Metadata]
) -> Iterator[Asset]:
    texts = subtitles(entries, prefix, selection)
    attached = {name for beside in texts.values() for name in beside}
    for name, entry in sorted(entries.items()):
        if name in attached or is_sidecar(name, entries.keys()) or not selection.covers(entry.path):
            continue
        beside = [entries[n] for n in (name + SIDECAR, *texts.get(name, ())) if n in entries]
        yield _asset(entry, beside, table.get(entry.path, {}))


def _asset(entry: Entry, beside: Sequence[Entry], row: Metadata) -> Asset:
    companions = tuple(_plain(each) for each in beside)
    others = [f"{PurePosixPath(c.path).name}-{c.etag}" for c in companions]
    if row:
        others.append(hashlib.blake2b(repr(sorted(row.items())).encode()).hexdigest()[:16])
    asset = _plain(entry)
    return replace(
        asset, etag=asset.etag + "-".join(others), metadata=dict(row), companions=companions
    )


def _plain(entry: Entry) -> Asset:
    known = () if entry.etag else (str(entry.size_bytes), entry.modified.isoformat())
    tag = tag_of(entry.etag, *known)
    # A tag that is not one of the content tells at least that this object has not changed.
    own = hashlib.blake2b(f"{entry.uri}\n{tag}".encode(), digest_size=16).hexdigest()
    return Asset(
        uri=entry.uri,
        path=well_formed(entry.path),
        size_bytes=entry.size_bytes,
        modified=entry.modified,
        etag=tag,
        content_hash=entry.content_hash or own,
    )
