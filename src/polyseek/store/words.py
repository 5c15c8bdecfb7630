"""Which texts of a segment can be searched by their words."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from polyseek.core.hits import Terms
from polyseek.core.texts import texts_in
from polyseek.core.types import MetadataValue
from polyseek.core.words import edits_of, within, words, words_of_name


def words_of(uri: str, text: str | None, metadata: Mapping[str, MetadataValue]) -> list[str]:
    """All words of a segment: its text, its fields of texts, its file's and folders' names.

    Args:
        uri: Of its asset.
        text: The words in it.
        metadata: Its fields.
    """
    found = words(text) if text else []
    for field in texts_in(metadata):
        found += words(field)
    folder = metadata.get("folder")
    stem = unquote(uri.rstrip("/").rpartition("/")[2]).rpartition(".")
    for name in (folder if isinstance(folder, str) else "", stem[0] or stem[2]):
        found += words_of_name(name)
    return found


def stored_words(found: list[str]) -> str:
    """Words as their column keeps them: between blanks, so that ``' red car '`` finds a phrase."""
    return f" {' '.join(found)} " if found else " "


def share_found(terms: Terms, stored: str) -> float:
    """Share of the words that are among the stored ones."""
    found = sum(f" {word} " in stored for word in terms.exact)
    if terms.fuzzy:
        held = set(stored.split())
        found += sum(
            any(within(word, other, edits_of(word)) for other in held) for word in terms.fuzzy
        )
    return found / (len(terms.exact) + len(terms.fuzzy))
