"""Options: frozen values, resolved once at the edge. Defaults < TOML < environment < arguments."""

from __future__ import annotations

import math
import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from polyseek.core.errors import ConfigError
from polyseek.core.retriever import Retriever, SearchMode
from polyseek.core.types import Modality

CONFIG_FILE = "polyseek.toml"
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What holds for a whole process.

    Attributes:
        home: Where model files are cached (``POLYSEEK_HOME``).
        offline: Never reach the network (``POLYSEEK_OFFLINE=1``).
        collection: Default collection (``POLYSEEK_COLLECTION``).
        threads: Inference threads; 0 for all cores (``POLYSEEK_THREADS``).
        device: Where torch models run: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; ``auto`` for the
            best there is (``POLYSEEK_DEVICE``).
        allow_noncommercial: Allow models whose licence forbids commercial use
            (``POLYSEEK_ALLOW_NONCOMMERCIAL=1``).
    """

    home: Path = field(default_factory=lambda: user_cache_path("polyseek", appauthor=False))
    offline: bool = False
    collection: str = ".polyseek"
    threads: int = 0
    device: str = "auto"
    allow_noncommercial: bool = False

    @property
    def models(self) -> Path:
        """Folder of the cached model files."""
        return self.home / "models"


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexOptions:
    """How a source is ingested.

    Attributes:
        include: Only paths that match one of these .gitignore-style patterns; empty for all.
        exclude: Leave out paths that match one of these .gitignore-style patterns.
        metadata: CSV, JSONL or Parquet file with one row per asset, joined on its `path` column.
        keep_deleted: Keep assets that are no longer in the source.
        workers: Decode processes; 0 for one per core.
        timeout_s: Time that reading or decoding may take to the next piece of an asset.
        passage_chars: Longest passage a text is split into, in characters.
        window_s: Length of the windows a recording is cut into, in seconds.
        hop_s: Time from the start of one window to the start of the next, in seconds.
        ocr: Read the words in pictures, scanned pages and video frames; None for whatever the
            collection was indexed with before, which is no at first.
        asr: Write down what is said in recordings and videos; None as above.
        ocr_engine: Text recogniser to use with `ocr`.
        asr_engine: Speech recogniser to use with `asr`.

    Raises:
        ConfigError: A number is out of its range.
    """

    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    metadata: Path | None = None
    keep_deleted: bool = False
    workers: int = 0
    timeout_s: float = 60.0
    passage_chars: int = 600
    window_s: float = 10.0
    hop_s: float = 5.0
    ocr: bool | None = None
    asr: bool | None = None
    ocr_engine: str = "rapidocr"
    asr_engine: str = "whisper"

    def __post_init__(self) -> None:
        workers: Any = self.workers
        if not isinstance(workers, int) or workers < 0:
            raise ConfigError(f"workers is {workers!r}; expected 0 (one per core) or more")
        for name in ("timeout_s", "passage_chars", "window_s", "hop_s"):
            value: Any = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 < value < math.inf:
                raise ConfigError(f"{name} is {value!r}; expected a number above 0")
        if self.hop_s > self.window_s:
            raise ConfigError(
                f"hop_s must lie above 0 and up to window_s, got hop_s {self.hop_s:g} and "
                f"window_s {self.window_s:g}"
            )


class Group(StrEnum):
    """What one hit of a search is."""

    ASSET = "asset"
    """An asset, with its best segment."""

    SEGMENT = "segment"
    """A segment: an asset may have several hits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What the columns of a table of vectors are.

    Attributes:
        id: Column that tells rows apart; it becomes the hits' uri.
        vector: Column of lists of numbers; None for ``vector``, ``embedding`` or the only one.
        sparse: Column of ``{"indices": [...], "weights": [...]}``; None for none.
        text: Column of the words of each row; None for none.
        modality: What the rows are; None for ``text``, or what a polyseek export says.
        metadata: Columns that become fields; None for all others.
        rows: For a ``.npy`` file: a table whose rows belong to its vectors, in order.
    """

    id: str = "id"
    vector: str | None = None
    sparse: str | None = None
    text: str | None = None
    modality: Modality | None = None
    metadata: Sequence[str] | None = None
    rows: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """What a search returns.

    Attributes:
        limit: Number of hits.
        modalities: Which segments to search; empty for all the collection has.
        filter: SQL-like condition on metadata, e.g. ``year >= 2020 AND folder = 'trip'``.
        min_probability: Leave out hits that are less probable. By default a search whose best hit
            is not probable enough has found nothing, and any other leaves out what is far less
            probable than its best hit.
        show_all: Show the nearest hits, however improbable.
        mode: What is compared; words only take part in a search for a text.
        group: What one hit is.
        explain: Say why each hit was found, which takes longer.
        retriever: The stages; what it says of the above was the caller's default.
    """

    limit: int = 10
    modalities: Sequence[Modality] = ()
    filter: str | None = None
    min_probability: float | None = None
    show_all: bool = False
    mode: SearchMode = SearchMode.HYBRID
    group: Group = Group.ASSET
    explain: bool = False
    retriever: Retriever = field(default_factory=Retriever)


def resolve_settings(
    environment: Mapping[str, str] | None = None, *, config: Path | None = None
) -> Settings:
    """Settings from `polyseek.toml` in the working folder and ``POLYSEEK_*`` variables.

    Args:
        environment: Defaults to the process environment.
        config: The TOML file; defaults to ``polyseek.toml`` in the working folder, if there.

    Raises:
        ConfigError: A key is unknown or a value has the wrong type; names the file or variable.
    """
    environment = os.environ if environment is None else environment
    given: dict[str, Any] = {}
    for key, value in _read_toml(config or Path(CONFIG_FILE), required=config is not None).items():
        given[key] = _convert(key, value, where=str(config or CONFIG_FILE))
    for key in _TYPES:
        name = f"POLYSEEK_{key.upper()}"
        if name in environment:
            given[key] = _convert(key, environment[name], where=name)
    return replace(Settings(), **given)


_TYPES = {
    "home": Path,
    "offline": bool,
    "collection": str,
    "threads": int,
    "device": str,
    "allow_noncommercial": bool,
}
assert set(_TYPES) == {f.name for f in fields(Settings)}  # noqa: S101 - guards the table above


def _read_toml(path: Path, *, required: bool) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if required:
            raise ConfigError(f"{path}: no such configuration file") from None
        return {}
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error


def _convert(key: str, value: object, *, where: str) -> object:
    if key not in _TYPES:
        raise ConfigError(f"{where}: unknown setting '{key}'; known: {', '.join(sorted(_TYPES))}")
    kind, text = _TYPES[key], str(value).strip()
    if kind is bool and text.lower() in _TRUE | _FALSE:
        return text.lower() in _TRUE
    if kind is int and text.isdecimal():
        return int(text)
    if kind is Path and text:
        return Path(text).expanduser()
    if kind is str and text:
        return text
    raise ConfigError(f"{where}: '{value}' is no {kind.__name__} for setting '{key}'")
