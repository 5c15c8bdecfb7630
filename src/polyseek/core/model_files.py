"""A model's files on this machine: a folder, and the SHA-256 of every file that counts."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyseek.core.errors import ConfigError, ModelLoadError

if TYPE_CHECKING:
    from polyseek.core.config import Settings

_MEMO = "checksums.json"
_NONCOMMERCIAL = re.compile(r"(^|[-_ ])nc([-_ ]|$)|non-?commercial|apple-amlr", re.IGNORECASE)
_CARD_LICENCE = re.compile(r"^license(?:_name)?:\s*(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class ModelFiles:
    """A model's files.

    Attributes:
        name: As a collection's manifest records it; opens the same files again.
        folder: Where they are.
        revision: Changes whenever a file does.
        checksums: SHA-256 by file name, relative to the folder.
        licence: As the model's card names it; empty where it does not.
    """

    name: str
    folder: Path
    revision: str
    checksums: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""

    def path(self, name: str) -> Path:
        """Where a file is.

        Raises:
            ModelLoadError: It is missing.
        """
        path = self.folder / name
        if not path.is_file():
            raise ModelLoadError(f"{self.name}: has no file '{name}' (looked in {self.folder})")
        return path

    def json(self, name: str) -> dict[str, Any]:
        """A JSON file's object; empty where there is no such file.

        Raises:
            ModelLoadError: It cannot be read as JSON.
        """
        return read_json(self.folder / name)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object; empty where there is no such file.

    Raises:
        ModelLoadError: It cannot be read as a JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(found, dict):
        raise ModelLoadError(f"{path}: expected a JSON object, found a {type(found).__name__}")
    return found


def local_files(name: str, folder: Path, names: Iterable[str], settings: Settings) -> ModelFiles:
    """A folder's model files; a file that has not changed since is not read again.

    Raises:
        ModelLoadError: A file is missing or cannot be read.
    """
    memo_path = settings.models / _MEMO
    memo = _read_memo(memo_path)
    found: dict[str, str] = {}
    for each in sorted(names):
        path = folder / each
        try:
            state = path.stat()
            key = f"{path}|{state.st_size}|{state.st_mtime_ns}"
            found[each] = memo.get(key) or sha256_of(path)
        except OSError as error:
            raise ModelLoadError(f"{path}: cannot be read ({error.strerror})") from error
        memo[key] = found[each]
    _write_memo(memo_path, memo)
    return ModelFiles(
        name=name,
        folder=folder,
        revision=revision_of(found),
        checksums=found,
        licence=card_licence(folder / "README.md"),
    )


def revision_of(checksums: Mapping[str, str]) -> str:
    """A short name for exactly these files."""
    text = "\n".join(f"{name} {checksum}" for name, checksum in sorted(checksums.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def sha256_of(path: Path) -> str:
    """Hex digest of a file. Raises `OSError`."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def card_licence(path: Path) -> str:
    """The licence that a model card's front matter names; empty where it names none."""
    try:
        head = path.read_text(encoding="utf-8", errors="replace")[:4000]
    except OSError:
        return ""
    parts = head.split("---", 2)
    return " ".join(_CARD_LICENCE.findall(parts[1])) if len(parts) == 3 else ""


def is_noncommercial(licence: str) -> bool:
    """Whether a licence's name says that commercial use is not allowed."""
    return _NONCOMMERCIAL.search(licence) is not None


def check_licence(name: str, licence: str, settings: Settings, *, noncommercial: bool) -> None:
    """Refuse a model that must not be used here, before anything is done with it.

    Raises:
        ConfigError: Its licence forbids commercial use, and the settings do not allow that.
    """
    if noncommercial and not settings.allow_noncommercial:
        raise ConfigError(
            f"{name}: its licence ({licence or 'not named'}) forbids commercial use; if yours is "
            "none, set allow_noncommercial = true in polyseek.toml "
            "(POLYSEEK_ALLOW_NONCOMMERCIAL=1), or choose another with 'polyseek models'"
        )


def _read_memo(path: Path) -> dict[str, str]:
    try:
        memo = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # only a memo: what is not known is computed
        return {}
    return memo if isinstance(memo, dict) else {}


def _write_memo(path: Path, memo: Mapping[str, str]) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".memo-")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(memo, file)
        Path(temporary).replace(path)
