"""Encoders that are a function: a file in, a vector out.

A name is that of an entry point of the group ``polyseek.towers``, ``module:function`` of something
that can be imported, or ``./file.py:function``. The function has an attribute ``files``: what a
collection names is run on files, so it must not be able to name just anything, as ``pickle:load``;
nor a file by where the user happens to be, so one is loaded by its absolute path only.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import numpy as np

from polyseek.core import plugins
from polyseek.core.errors import AssetError, ConfigError, DecodeError, EncoderError
from polyseek.core.joined import JoinedTower, Standard
from polyseek.core.protocols import FileTower
from polyseek.core.types import (
    Asset,
    Embeddings,
    EncoderInfo,
    Floats,
    Media,
    Modality,
    Prepared,
    Role,
    Signal,
    Tower,
)

ROLE = "tower"
_SUFFIX = ".py"
_FORMS = (
    "expected a name of the entry-point group polyseek.towers, module:function, or "
    "./file.py:function"
)


def absolute(name: str) -> str:
    """The name by which a tower is found from any working folder."""
    place, function = _split(name)
    if not place.endswith(_SUFFIX):
        return name
    return f"{Path(place).expanduser().absolute()}:{function}"


@cache
def load(name: str) -> FileTower:
    """The function of that name.

    Raises:
        UnknownPluginError: No entry point has it.
        ConfigError: It cannot be imported, or does not say which files it reads.
    """
    found = _imported(name)
    if not callable(found):
        raise ConfigError(f"tower '{name}' is a {type(found).__name__}; expected a function")
    if not getattr(found, "files", None):
        raise ConfigError(
            f"tower '{name}' does not say which files it reads: give it an attribute, such as "
            "embed.files = ('*.tiff', 'flir/*.jpg')"
        )
    return cast("FileTower", found)


def _imported(name: str) -> Any:
    place, function = _split(name)
    if not function:
        return plugins.load(ROLE, name)
    try:
        module = (
            _of_file(Path(place)) if place.endswith(_SUFFIX) else importlib.import_module(place)
        )
        return getattr(module, function)
    except Exception as error:  # a module raises what it meets
        told = f"{type(error).__name__}: {error}"
        raise ConfigError(
            f"tower '{name}' cannot be imported: {told}; {_FORMS}. A collection whose files it "
            "reads needs it to index them and to search with them"
        ) from error


@cache
def revision(name: str) -> str:
    """What changes whenever its vectors do: its own word for it, else the hash of its file."""
    own = getattr(load(name), "revision", None)
    if own is not None:
        return str(own)
    place, _ = _split(name)
    if not place.endswith(_SUFFIX):
        return ""
    return hashlib.sha256(Path(place).read_bytes()).hexdigest()[:12]


def patterns(name: str) -> Sequence[str]:
    """Of the names of its files."""
    given = load(name).files
    return (given,) if isinstance(given, str) else tuple(map(str, given))


@dataclass(slots=True, kw_only=True)
class TowerReader:
    """See `polyseek.core.protocols.FileReader`. Finds the function when it reads its first file.

    Attributes:
        modality: What its signals are.
        tower: Name of the function.
        patterns: Of the files: ``*.tiff`` is any file name's ending, ``flir/*.jpg`` that of a
            path.
        revision: The function's; None for any.
        dim: Length of its vectors; 0 for any.
        suffixes: None: patterns decide.
    """

    modality: Modality
    tower: str
    patterns: Sequence[str]
    revision: str | None = None
    dim: int = 0
    suffixes: frozenset[str] = frozenset()

    def reads(self, path: str) -> bool:
        """Whether a pattern fits the end of a path, in any case."""
        lower = PurePosixPath(path.lower())
        return any(lower.match(pattern.lower()) for pattern in self.patterns)

    def ready(self) -> None:
        """See `polyseek.core.protocols.FileReader`."""
        now = revision(self.tower)
        if self.revision not in (None, now):
            raise ConfigError(
                f"tower '{self.tower}' has revision '{now}', and {self.modality} was joined with "
                f"'{self.revision}': their vectors do not mix. Bring that one back, or forget its "
                "files with 'polyseek adapters remove' and join them anew"
            )

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """Its vector, as the one signal of the file."""
        self.ready()
        yield Media(modality=self.modality, signal=self._vector(asset.uri, stream))

    def _vector(self, uri: str, stream: BinaryIO) -> Floats:
        tower, name = load(self.tower), _brief(self.tower)
        try:
            found: Any = tower(stream)
        except Exception as error:  # whatever it raises costs one file
            told = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise AssetError(uri, f"{name} failed: {told}") from error
        try:
            vector = np.asarray(found, np.float32)
        except (TypeError, ValueError) as error:
            raise DecodeError(uri, f"{name} gives no numbers: {error}") from error
        wanted = (self.dim,) if self.dim else vector.shape
        if vector.ndim != 1 or not vector.size or vector.shape != wanted:
            expected = f"({self.dim or 'any number of'},)"
            raise DecodeError(uri, f"{name} gives shape {vector.shape}; expected {expected}")
        if not np.isfinite(vector).all():
            raise DecodeError(uri, f"{name} gives values that are not finite numbers")
        return vector


def as_vector(signal: Signal) -> Prepared:
    """The preprocessing of vectors: none."""
    if not isinstance(signal, np.ndarray):
        raise EncoderError(f"expected the vector of a file, got {type(signal).__name__}")
    return signal


class FileEncoder:
    """See `polyseek.core.protocols.Encoder`. One tower; its own space is the only one it knows.

    Args:
        joined: The tower, as an adapter records it.
    """

    def __init__(self, joined: JoinedTower) -> None:
        self._standard: Standard = joined.standard
        dim = len(joined.standard.mean)
        reader = TowerReader(
            modality=joined.modality,
            tower=joined.tower,
            patterns=joined.patterns,
            revision=joined.revision,
            dim=dim,
        )
        tower = Tower(dim=dim, prepare=as_vector, batch_size=256, reader=reader)
        self.info = EncoderInfo(
            name=joined.tower, revision=joined.revision, dim=dim, towers={joined.modality: tower}
        )

    def encode(
        self,
        modality: Modality,  # noqa: ARG002 - it has one
        batch: Sequence[Prepared],
        *,
        role: Role,  # noqa: ARG002 - both sides alike
    ) -> Embeddings:
        """Bring vectors to the tower's own space."""
        vectors = [np.asarray(each, np.float32) for each in batch]
        rows = self._standard(np.stack(vectors)) if vectors else np.empty((0, self.info.dim))
        rows = rows.astype(np.float32)
        return Embeddings(shared=rows, tower=rows)


def _split(name: str) -> tuple[str, str]:
    """Module or file, and function; an empty function for an entry point."""
    place, _, function = name.rpartition(":")
    return place, function if place else ""


def _brief(name: str) -> str:
    """The name without folders: what is told of an asset may be told to others."""
    place, function = _split(name)
    return f"{Path(place).name}:{function}" if place.endswith(_SUFFIX) else name


def _of_file(where: Path) -> Any:
    """The module that a file holds, imported once in a process."""
    if not where.is_absolute():
        raise ValueError(f"{where}: is relative to a folder that nobody knows any more")
    known = f"polyseek_tower_{hashlib.sha256(str(where).encode()).hexdigest()[:12]}"
    if known in sys.modules:
        return sys.modules[known]
    spec = importlib.util.spec_from_file_location(known, where)
    if spec is None or spec.loader is None or not where.is_file():
        raise FileNotFoundError(f"{where}: no such file")
    module = sys.modules[known] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[known]
        raise
    return module
