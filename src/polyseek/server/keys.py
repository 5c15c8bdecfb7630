"""API keys: made here, kept as hashes in a file that only its owner can read.

A key is 256 random bits, so a plain SHA-256 of it cannot be reversed; nothing slow is needed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from platformdirs import user_config_path

from polyseek.core.errors import ConfigError

PREFIX = "psk"
_NOBODY = hashlib.sha256(b"").hexdigest()


class Scope(StrEnum):
    """What a key allows; each includes the ones before it."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"

    def includes(self, other: Scope) -> bool:
        """Whether it allows what the other does."""
        order = list(Scope)
        return order.index(self) >= order.index(other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key, without the key itself.

    Attributes:
        id: Public part of it.
        name: Whose it is.
        sha256: Of the whole key, in hex.
        scope: What it allows.
        collections: Which it holds for; empty for all.
        created: When, ISO 8601.
    """

    id: str
    name: str
    sha256: str
    scope: Scope
    collections: Sequence[str] = ()
    created: str = ""


class KeyFile:
    """The keys in a file, read again whenever it changes: a revoked key is out at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: tuple[tuple[int, int], dict[str, Key]] | None = None

    def keys(self) -> dict[str, Key]:
        """By id; none when there is no file.

        Raises:
            ConfigError: The file cannot be read.
        """
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise self._unreadable(error) from error
        state = status.st_mtime_ns, status.st_ino
        if self._read is None or self._read[0] != state:
            self._read = state, self._parse()
        return self._read[1]

    def check(self, text: str) -> Key | None:
        """The key that a client sent, or None; takes as long for a wrong one as for a right one."""
        _, _, rest = text.partition("_")
        known = self.keys().get(rest.partition("_")[0])
        sent = hashlib.sha256(text.encode()).hexdigest()
        right = hmac.compare_digest(sent, known.sha256 if known else _NOBODY)
        return known if right else None

    def add(self, name: str, *, scope: Scope, collections: Sequence[str] = ()) -> str:
        """Make a key. It is told once: only its hash is kept.

        Raises:
            ConfigError: The file cannot be read or written.
        """
        id_ = secrets.token_hex(4)
        text = f"{PREFIX}_{id_}_{secrets.token_urlsafe(32)}"
        key = Key(
            id=id_,
            name=name,
            sha256=hashlib.sha256(text.encode()).hexdigest(),
            scope=scope,
            collections=tuple(collections),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._write({**self.keys(), id_: key})
        return text

    def revoke(self, id_: str) -> Key:
        """Forget a key.

        Raises:
            ConfigError: There is none of this id.
        """
        keys = dict(self.keys())
        if id_ not in keys:
            known = ", ".join(sorted(keys)) or "none"
            raise ConfigError(f"{self.path}: no key '{id_}'; known: {known}")
        gone = keys.pop(id_)
        self._write(keys)
        return gone

    def _parse(self) -> dict[str, Key]:
        try:
            rows = json.loads(self.path.read_bytes())["keys"]
            keys = [Key(**{**row, "scope": Scope(row["scope"])}) for row in rows]
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise self._unreadable(error) from error
        return {key.id: key for key in keys}

    def _write(self, keys: dict[str, Key]) -> None:
        content: dict[str, Any] = {"keys": [asdict(key) for key in keys.values()]}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".keys-")  # mode 0600
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(content, file, indent=2)
            Path(name).replace(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _unreadable(self, error: Exception) -> ConfigError:
        return ConfigError(f"{self.path}: cannot be read as a file of keys: {error}")


def default_path() -> Path:
    """Where keys are kept unless somebody says otherwise."""
    return user_config_path("polyseek", appauthor=False) / "keys.json"
