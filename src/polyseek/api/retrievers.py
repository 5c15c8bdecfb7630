"""Retrievers by name: shipped, saved in a collection, or in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path

from polyseek.core import plugins
from polyseek.core.errors import ConfigError
from polyseek.core.protocols import Store
from polyseek.core.retriever import Retriever, check_ranges, parse_retriever

__all__ = ["SavedRetrievers", "check_ranges", "resolve", "shipped"]

DEFAULT = "default"
_NOTE = "retriever/"
_NAME = re.compile(r"[\w][\w.-]{0,63}")


@dataclass(frozen=True, slots=True)
class SavedRetrievers:
    """The retrievers that are kept with a collection; ``default`` takes the shipped one's place."""

    store: Store

    def list(self) -> dict[str, str]:
        """Their TOML by name, with the shipped default where it is in use."""
        return {DEFAULT: shipped(), **_saved(self.store.notes)}

    def save(self, file: str | Path, name: str | None = None) -> str:
        """Keep a file's retriever, and its name: the file's unless given.

        Raises:
            ConfigError: The file cannot be read, or is no retriever; the name cannot be one.
            CollectionBusyError: Another process is writing to the collection.
        """
        path = Path(file)
        chosen = path.stem if name is None else name
        if not _NAME.fullmatch(chosen):
            raise ConfigError(
                f"'{chosen}' cannot be a retriever's name; use letters, digits, '.', '_' and '-'"
            )
        text = _text_of(path)
        _checked(parse_retriever(text, name=str(path)))
        with self.store.writing():
            self.store.save_note(_NOTE + chosen, text)
        return chosen

    def remove(self, name: str) -> None:
        """Forget a saved retriever.

        Raises:
            ConfigError: None of that name is saved.
        """
        saved = _saved(self.store.notes)
        if name not in saved:
            known = ", ".join(sorted(saved)) or "none"
            raise ConfigError(f"no retriever '{name}' is saved in this collection; saved: {known}")
        with self.store.writing():
            self.store.save_note(_NOTE + name, None)


@cache
def shipped() -> str:
    """The TOML of the retriever that is used when nothing else is said."""
    return (files("polyseek.search") / "data" / "default.toml").read_text(encoding="utf-8")


def resolve(named: str | Path | Retriever | None, notes: Mapping[str, str]) -> Retriever:
    """The retriever that a caller means: one that is saved, else a file.

    Args:
        named: A name or a path; None for the collection's default.
        notes: Of the collection.

    Raises:
        ConfigError: There is none of that name, or it is none.
    """
    if isinstance(named, Retriever):
        return _checked(named)
    saved = {DEFAULT: shipped(), **_saved(notes)}
    name = DEFAULT if named is None else str(named)
    if name in saved:
        return _checked(_parsed(saved[name], name))
    if Path(name).suffix == ".toml" or Path(name).is_file():
        return _checked(parse_retriever(_text_of(Path(name)), name=name))
    raise ConfigError(
        f"no retriever '{name}'; saved: {', '.join(sorted(saved))}; or give the path of a .toml"
    )


@lru_cache(maxsize=16)
def _parsed(text: str, name: str) -> Retriever:
    """A saved retriever, read once and not at every search."""
    return parse_retriever(text, name=name)


def _saved(notes: Mapping[str, str]) -> dict[str, str]:
    return {
        name.removeprefix(_NOTE): text for name, text in notes.items() if name.startswith(_NOTE)
    }


def _checked(found: Retriever) -> Retriever:
    """Raises `UnknownPluginError` where it names a reranker that is not installed."""
    for name in found.rerank.by:
        plugins.load("reranker", name)
    return found


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such retriever file") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as a retriever: {error}") from error
