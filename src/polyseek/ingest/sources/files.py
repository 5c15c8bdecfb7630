"""Local folders and files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from urllib.parse import unquote_to_bytes, urlsplit

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, SourceError, SourceNotFoundError
from polyseek.core.texts import well_formed
from polyseek.core.types import Asset, MetadataValue
from polyseek.ingest.sources.beside import PLAYED, SIDECAR, is_sidecar, read_sidecar, subtitles
from polyseek.ingest.sources.metadata import read_table
from polyseek.ingest.sources.selection import COLLECTION_SUFFIX, COLLECTION_TABLE, Selection


class FileSource:
    """A folder, recursively, or a single file.

    Hidden files and folders, collections, sidecars (``photo.jpg.json`` beside ``photo.jpg``) and
    subtitles of a recording (``clip.srt`` or ``clip.en.vtt`` beside ``clip.mp4``) are no assets.
    Symbolic links are followed; a folder is never entered twice on one branch.

    Args:
        root: The folder or file.
        options: `include`, `exclude` and `metadata` are used.

    Raises:
        SourceError: The metadata table cannot be read or joined.
    """

    def __init__(self, root: Path | str, options: IndexOptions | None = None) -> None:
        options = options or IndexOptions()
        self.root = Path(os.path.abspath(Path(root).expanduser()))  # noqa: PTH100 - keeps links
        self._selection = Selection(options)
        self._table = read_table(options.metadata) if options.metadata else {}

    def list(self) -> Iterator[Asset | AssetError]:
        """See `polyseek.core.protocols.Source`."""
        if not self.root.exists():
            raise SourceNotFoundError(f"{self.root}: no such file or folder")
        if not self.root.is_dir():
            names: Sequence[str] = ()
            if self.root.suffix.lower() in PLAYED:
                with suppress(OSError):
                    names = os.listdir(self.root.parent)  # noqa: PTH208 - names are all it takes
            texts = subtitles(names, "", self._selection).get(self.root.name, ())
            for found in self._asset(self.root, self.root.name, siblings=frozenset()):
                yield _with_subtitles(found, self.root, texts)
            return
        try:
            os.scandir(self.root).close()
        except OSError as error:
            raise SourceError(f"{self.root}: cannot be read: {error.strerror}") from error
        yield from self._walk(self.root, "", frozenset())

    def open(self, asset: Asset) -> BinaryIO:
        """See `polyseek.core.protocols.Source`."""
        try:
            return open_file(asset.uri)
        except OSError as error:
            raise AssetError(asset.uri, f"cannot be read: {error.strerror}") from error

    def covers(self, uri: str) -> bool:
        """See `polyseek.core.protocols.Source`."""
        own = self.root.as_uri()
        above = own.rstrip("/") + "/"
        if uri == own or not uri.startswith(above):
            return uri == own
        if uri.endswith("/"):  # a folder that could not be read
            return True
        return self._selection.covers(os.fsdecode(unquote_to_bytes(uri.removeprefix(above))))

    def joined(self) -> Iterator[tuple[str, bool]]:
        """See `polyseek.core.protocols.JoiningSource`."""
        return ((path, self._has(path)) for path in self._table)

    def _has(self, below: str) -> bool:
        path = PurePosixPath(below)
        if str(path) != below or path.is_absolute() or ".." in path.parts:
            return False  # no asset is called that
        if not self.root.is_dir():
            return below == self.root.name
        return os.path.lexists(self.root / below)

    def _walk(
        self, folder: Path, prefix: str, above: frozenset[tuple[int, int]]
    ) -> Iterator[Asset | AssetError]:
        try:
            status = folder.stat()
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            yield AssetError(folder.as_uri() + "/", f"folder cannot be read: {error.strerror}")
            return
        identity = (status.st_dev, status.st_ino)
        names = frozenset(entry.name for entry in entries)
        if identity in above or COLLECTION_TABLE in names:
            return
        texts = subtitles(names, prefix, self._selection)
        attached = {name for beside in texts.values() for name in beside}
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path, below = folder / entry.name, prefix + entry.name
            if _is_folder(entry):
                if not entry.name.endswith(COLLECTION_SUFFIX) and not self._selection.prunes(below):
                    yield from self._walk(path, below + "/", above | {identity})
            elif entry.name in attached:
                continue
            elif self._selection.wants(below) and not is_sidecar(entry.name, names):
                for asset in self._asset(path, below, siblings=names):
                    yield _with_subtitles(asset, path, texts.get(entry.name, ()))

    def _asset(
        self, path: Path, below: str, *, siblings: frozenset[str]
    ) -> Iterator[Asset | AssetError]:
        uri = path.as_uri()
        try:
            status = path.stat()
        except OSError as error:
            yield AssetError(uri, f"cannot be read: {error.strerror}")
            return
        tag = [str(status.st_size), str(status.st_mtime_ns)]
        metadata: dict[str, MetadataValue] = {}
        problem = None
        row = self._table.get(below)
        if row:
            metadata.update(row)
            tag.append(hashlib.blake2b(repr(sorted(row.items())).encode()).hexdigest()[:16])
        sidecar = path.with_name(path.name + SIDECAR)
        if sidecar.name in siblings or (not siblings and sidecar.is_file()):
            try:
                beside = sidecar.stat()
                metadata.update(read_sidecar(sidecar.read_bytes()))
            except (OSError, ValueError, RecursionError) as error:
                problem = well_formed(f"sidecar {sidecar.name} cannot be read: {error}")
                tag.append(problem)
            else:
                tag += [str(beside.st_size), str(beside.st_mtime_ns)]
        yield Asset(
            uri=uri,
            path=well_formed(below),
            size_bytes=status.st_size,
            modified=datetime.fromtimestamp(status.st_mtime, UTC),
            etag="-".join(tag),
            metadata=metadata,
            problem=problem,
        )


def open_file(uri: str) -> BinaryIO:
    """Open a ``file:`` uri for reading. Raises `OSError`."""
    return local_path(uri).open("rb")


def local_path(uri: str) -> Path:
    """The path of a ``file:`` uri, also when its bytes are no UTF-8."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _with_subtitles(
    found: Asset | AssetError, path: Path, names: Sequence[str]
) -> Asset | AssetError:
    """A recording with the subtitle files beside it; its etag changes when one of them does."""
    if not names or isinstance(found, AssetError):
        return found
    companions: list[Asset] = []
    problems = [found.problem] if found.problem else []
    for name in names:
        beside = path.with_name(name)
        try:
            status = beside.stat()
        except OSError as error:
            problems.append(well_formed(f"{name} cannot be read: {error.strerror}"))
            continue
        if not beside.is_dir():
            companion = Asset(
                uri=beside.as_uri(),
                path=str(PurePosixPath(found.path).with_name(well_formed(name))),
                size_bytes=status.st_size,
                modified=datetime.fromtimestamp(status.st_mtime, UTC),
                etag=f"{status.st_size}-{status.st_mtime_ns}",
            )
            companions.append(companion)
    etag = "-".join([found.etag, *(f"{c.uri.rsplit('/', 1)[-1]}-{c.etag}" for c in companions)])
    return replace(
        found, companions=tuple(companions), etag=etag, problem="; ".join(problems) or None
    )
