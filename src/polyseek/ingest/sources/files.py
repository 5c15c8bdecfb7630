"""Local folders and files."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import BinaryIO, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from pathspec import GitIgnoreSpec

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, ConfigError, SourceError, SourceNotFoundError
from polyseek.core.texts import well_formed
from polyseek.core.types import Asset, Metadata, MetadataValue
from polyseek.ingest.decoders.audio import AudioDecoder
from polyseek.ingest.decoders.subtitles import SubtitleDecoder
from polyseek.ingest.decoders.video import VideoDecoder
from polyseek.ingest.sources.metadata import flatten_metadata, read_table

SIDECAR = ".json"
COLLECTION_SUFFIX, COLLECTION_TABLE = ".polyseek", "assets.lance"
"""By its name, or by what it holds, a folder is a collection."""

_Names: TypeAlias = "defaultdict[str, list[str]]"
_PLAYED = AudioDecoder.suffixes | VideoDecoder.suffixes
_LANGUAGE = re.compile(
    r"\.[a-z]{2,3}([-_][a-z0-9]{2,8})*(\.(forced|sdh|cc|hi|default))?$", re.IGNORECASE
)


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
        self._include = _patterns("include", options.include)
        self._exclude = _patterns("exclude", options.exclude)
        self._table = read_table(options.metadata) if options.metadata else {}

    def list(self) -> Iterator[Asset | AssetError]:
        """See `polyseek.core.protocols.Source`."""
        if not self.root.exists():
            raise SourceNotFoundError(f"{self.root}: no such file or folder")
        if not self.root.is_dir():
            names: Sequence[str] = ()
            if self.root.suffix.lower() in _PLAYED:
                with suppress(OSError):
                    names = os.listdir(self.root.parent)  # noqa: PTH208 - names are all it takes
            subtitles = self._subtitles(names, "").get(self.root.name, ())
            for found in self._asset(self.root, self.root.name, siblings=frozenset()):
                yield _with_subtitles(found, self.root, subtitles)
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
        path = PurePosixPath(os.fsdecode(unquote_to_bytes(uri.removeprefix(above))))
        folders = list(path.parents)[:-1]
        passed_by = any(part.startswith(".") for part in path.parts) or any(
            folder.suffix == COLLECTION_SUFFIX or self._pruned(str(folder)) for folder in folders
        )
        return self._wanted(str(path)) and not passed_by

    def joined(self) -> Mapping[str, bool]:
        """Whether each row of the metadata table belongs to a file, by its path."""
        return {path: self._has(path) for path in self._table}

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
        subtitles = self._subtitles(names, prefix)
        attached = {name for beside in subtitles.values() for name in beside}
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path, below = folder / entry.name, prefix + entry.name
            if _is_folder(entry):
                if not entry.name.endswith(COLLECTION_SUFFIX) and not self._pruned(below):
                    yield from self._walk(path, below + "/", above | {identity})
            elif entry.name in attached:
                continue
            elif self._wanted(below) and not _is_sidecar(entry.name, names):
                for asset in self._asset(path, below, siblings=names):
                    yield _with_subtitles(asset, path, subtitles.get(entry.name, ()))

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
                metadata.update(_read_sidecar(sidecar))
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

    def _subtitles(self, names: Iterable[str], prefix: str) -> Mapping[str, Sequence[str]]:
        """The names of the subtitle files of each recording in a folder."""
        texts = [name for name in names if _ends_in(name, SubtitleDecoder.suffixes)]
        recordings: _Names = defaultdict(list)
        for name in names if texts else ():
            if _ends_in(name, _PLAYED) and self._wanted(prefix + name):
                recordings[Path(name).stem].append(name)
        beside: _Names = defaultdict(list)
        for name in sorted(texts):
            if self._exclude and self._exclude.match_file(prefix + name):
                continue
            stem = Path(name).stem
            whose = stem if stem in recordings else _LANGUAGE.sub("", stem)
            for recording in recordings.get(whose, []):
                beside[recording].append(name)
        return beside

    def _wanted(self, below: str) -> bool:
        if self._include and not self._include.match_file(below):
            return False
        return not (self._exclude and self._exclude.match_file(below))

    def _pruned(self, below: str) -> bool:
        return bool(self._exclude and self._exclude.match_file(below + "/"))


def open_file(uri: str) -> BinaryIO:
    """Open a ``file:`` uri for reading. Raises `OSError`."""
    return local_path(uri).open("rb")


def local_path(uri: str) -> Path:
    """The path of a ``file:`` uri, also when its bytes are no UTF-8."""
    return Path(os.fsdecode(unquote_to_bytes(urlsplit(uri).path)))


def _patterns(flag: str, lines: object) -> GitIgnoreSpec | None:
    patterns = [str(line) for line in lines] if isinstance(lines, (list, tuple)) else [str(lines)]
    if not any(patterns):
        return None
    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise ConfigError(f"--{flag} {patterns}: not a .gitignore pattern: {error}") from error


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_sidecar(name: str, siblings: frozenset[str]) -> bool:
    return name.endswith(SIDECAR) and name.removesuffix(SIDECAR) in siblings


def _ends_in(name: str, suffixes: frozenset[str]) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in suffixes


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


def _read_sidecar(path: Path) -> Metadata:
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"expected an object, got {type(content).__name__}")  # noqa: TRY004
    return flatten_metadata(content)
