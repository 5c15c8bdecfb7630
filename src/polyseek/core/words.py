"""Texts as words that can be looked up: what every store indexes and every text query asks for.

One analyser serves all stores, so that they find the same: case, width and accents are folded,
English endings are cut, and scripts without spaces become characters and pairs of characters. The
words of a piece of a text are a piece of the words of the text, which is what phrases need.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

MAX_WORD = 40
MAX_TERMS = 32
"""Of a query; a whole page as a query has its dense embedding for the rest."""

_ACCENTS = re.compile("[\u0300-\u036f]")
_MARKS = "\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
"""What Python counts as no letter: vowel signs of Hebrew, Arabic and the scripts of India."""

_PAIRED = "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
_SPACED = rf"(?:(?![{_PAIRED}{_UNSPACED}])[^\W_][{_MARKS}]*)+"
_RUN = re.compile(rf"[{_PAIRED}]+|[{_UNSPACED}]+|{_SPACED}")
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_QUERY = re.compile(r'(?P<minus>(?<!\S)-)?(?:"(?P<phrase>[^"]*)"|(?P<word>[^\s"]+))')
_FUNCTION_WORDS = frozenset(
    "a an and are as at be been by for from has have he her his i in into is it its me my of on or "
    "our she some that the their them there these they this those to was we were which while who "
    "with you your".split()
)


def words(text: str) -> list[str]:
    """The words of a text, in order."""
    if not text.isascii():
        text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
        text = unicodedata.normalize("NFKC", text)
    return [word for run in _RUN.findall(text.casefold()) for word in _of_run(run)]


def words_of_name(name: str) -> list[str]:
    """The words of a file's or a folder's name: ``redCar_2019-beach`` has four."""
    return words(_HUMPS.sub(" ", name))


@dataclass(frozen=True, slots=True, kw_only=True)
class TextQuery:
    """What somebody typed, as words.

    Attributes:
        plain: The text without what it excludes and without signs: what an encoder reads.
        terms: Words that are looked for; the more of them, and the rarer, the better.
        fuzzy: Words that may differ by a letter, or two when they are long.
        phrases: Words that must stand one after the other.
        without: Words or phrases that must not be there.
    """

    plain: str
    terms: Sequence[str] = ()
    fuzzy: Sequence[str] = ()
    phrases: Sequence[str] = ()
    without: Sequence[str] = ()


def read_text_query(text: str) -> TextQuery:
    """Plain words, ``"phrases"``, ``-exclusions`` and ``fuzzy~`` words.

    Words that only hold a sentence together are left out, unless there are no others.
    """
    plain: list[str] = []
    found: dict[str, list[str]] = {"terms": [], "fuzzy": [], "phrases": [], "without": []}
    for part in _QUERY.finditer(text):
        quoted, word = part["phrase"], part["word"]
        own = words(quoted if quoted is not None else word)
        if part["minus"] and own:
            found["without"].append(" ".join(own))
            continue
        plain.append(quoted if quoted is not None else word.rstrip("~"))
        if quoted is not None and own:
            found["phrases"].append(" ".join(own))
        found["fuzzy" if quoted is None and word.endswith("~") else "terms"] += own
    content = [word for word in found["terms"] if word not in _function_words()]
    if content or found["fuzzy"]:
        found["terms"] = content
    found["terms"] = list(dict.fromkeys(found["terms"]))[:MAX_TERMS]
    return TextQuery(plain=" ".join(plain), **found)


def edits_of(word: str) -> int:
    """By how many letters a fuzzy word may differ."""
    return 0 if len(word) <= 2 else 1 if len(word) <= 5 else 2


def within(first: str, second: str, edits: int) -> bool:
    """Whether so many letters added, left out or replaced turn one word into the other."""
    if abs(len(first) - len(second)) > edits:
        return False
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        previous, row[0] = row[0], i
        for j, b in enumerate(second, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (a != b))
    return row[-1] <= edits


def _of_run(run: str) -> Iterator[str]:
    if re.match(f"[{_PAIRED}]", run):
        for i, char in enumerate(run):
            yield char
            if i + 1 < len(run):
                yield run[i : i + 2]
    elif re.match(f"[{_UNSPACED}]", run):
        yield from (run[i : i + 2] for i in range(max(1, len(run) - 1)))
    else:
        yield _stem(run[:MAX_WORD])


@lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    return str(_stemmer().stemWord(word)) if word.isascii() else word


@cache
def _stemmer() -> Any:
    from Stemmer import Stemmer

    return Stemmer("english")


@cache
def _function_words() -> frozenset[str]:
    return frozenset(map(_stem, _FUNCTION_WORDS))
