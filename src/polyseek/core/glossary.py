"""What the words of a trade stand for, in words that an encoder knows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from polyseek.core.errors import ConfigError
from polyseek.core.texts import read_utf8

GLOSSARY = "glossary"
"""Name of the note that a collection keeps its glossary in."""

MAX_READINGS = 8
"""Each costs an encoding per search."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Glossary:
    """Terms with what they stand for.

    Attributes:
        terms: Expansions by term, in lower case.
    """

    terms: Mapping[str, Sequence[str]]

    @classmethod
    def parse(cls, text: str, *, where: str) -> Glossary:
        """Lines ``term: expansion, expansion``; blank ones and ``#`` comments are left out.

        Args:
            text: The lines.
            where: How to call them in a message.

        Raises:
            ConfigError: A line has no term or no expansion, or a term comes twice.
        """
        terms: dict[str, list[str]] = {}
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            term, _, rest = line.partition(":")
            key = " ".join(term.casefold().split())
            expansions = [" ".join(one.split()) for one in rest.split(",") if one.strip()]
            if not key or not expansions:
                raise ConfigError(
                    f"{where}: line {number}: expected 'term: expansion, expansion', "
                    f"got {line.strip()[:80]!r}"
                )
            if key in terms:
                raise ConfigError(f"{where}: line {number}: '{key}' is explained twice; join them")
            terms[key] = expansions
        if not terms:
            raise ConfigError(f"{where}: explains no term; expected 'term: expansion' lines")
        return cls(terms=terms)

    def text(self) -> str:
        """What `parse` reads."""
        return "\n".join(f"{term}: {', '.join(of)}" for term, of in self.terms.items()) + "\n"

    def readings(self, text: str) -> list[str]:
        """The text with each of its terms replaced by what it stands for; none without a term.

        The n-th reading takes the n-th expansion of every term, a term with fewer begins again. Of
        overlapping terms the longest counts.
        """
        words = sorted(self.terms, key=len, reverse=True)
        spelt = "|".join(r"\s+".join(map(re.escape, word.split())) for word in words)
        pattern = re.compile(rf"(?<!\w)(?:{spelt})(?!\w)", re.IGNORECASE)
        found = [" ".join(m.group().casefold().split()) for m in pattern.finditer(text)]
        if not found:
            return []
        count = min(max(len(self.terms[term]) for term in found), MAX_READINGS)

        def nth(match: re.Match[str], n: int) -> str:
            expansions = self.terms[" ".join(match.group().casefold().split())]
            return expansions[n % len(expansions)]

        return [pattern.sub(lambda match, n=n: nth(match, n), text) for n in range(count)]  # type: ignore[misc]


def read_glossary(path: str | Path) -> Glossary:
    """A glossary from a UTF-8 text file.

    Raises:
        ConfigError: It cannot be read, or is no glossary; names the file and the line.
    """
    called = f"glossary {path}"
    return Glossary.parse(read_utf8(path, called=called), where=called)
