"""Parts of the questions whose quality is shown on its own."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

import numpy as np

from polyseek.core.errors import ConfigError
from polyseek.core.inventory import Entry
from polyseek.core.pairs import LabelledQuery

WORDS, LANGUAGE, TUNED = "query words", "language", "tuned with"
LENGTHS = ((2, "1-2"), (5, "3-5"), (10, "6-10"), (20, "11-20"))
LARGEST = 10
"""Values of a field that are shown; the rest are one slice."""

MISSING, REST = "(none)", "(others)"


def of_query(
    query: LabelledQuery,
    answers: Sequence[Entry],
    *,
    field: str | None,
    tuned: Collection[str] = (),
) -> dict[str, str]:
    """Slices of a question that is a text or a file.

    Args:
        query: The question.
        answers: What answers it.
        field: One of the pairs' fields, or of the collection's.
        tuned: Fingerprints of the queries that the collection was tuned with.
    """
    found = {}
    if tuned:
        found[TUNED] = "yes" if query.fingerprint in tuned else "no"
    if not query.is_file:
        count = len(query.query.split())
        found[WORDS] = next((name for most, name in LENGTHS if count <= most), "21+")
        found[LANGUAGE] = (
            query.fields.get("language") or query.fields.get("lang") or script_of(query.query)
        )
    if field is not None:
        found[field] = query.fields.get(field) or _value(answers[0], field)
    return found


def of_item(entry: Entry, field: str | None) -> dict[str, str]:
    """Slices of a question that is an item."""
    return {} if field is None else {field: _value(entry, field)}


def grouped(values: Sequence[str]) -> list[str]:
    """What each value is shown as: itself, a range of numbers, or one of the rest."""
    counts = Counter(values)
    if len(counts) <= LARGEST:
        return list(values)
    numbers = [_number(value) for value in values]
    known = [n for n in numbers if n is not None]
    if len(known) >= 0.5 * len(values):
        edges = np.unique(np.quantile(known, [0, 0.25, 0.5, 0.75, 1]))
        return [MISSING if n is None else _range(n, edges.tolist()) for n in numbers]
    shown = {value for value, _ in counts.most_common(LARGEST)}
    return [value if value in shown else REST for value in values]


def check_field(field: str, known: Mapping[str, object], pairs: Sequence[LabelledQuery]) -> None:
    """Refuse a field that nothing has.

    Raises:
        ConfigError: Neither the collection nor the pairs have it.
    """
    own = {name for query in pairs for name in query.fields}
    if field not in known and field not in own:
        names = ", ".join(sorted({*known, *own})) or "none"
        raise ConfigError(f"--slice {field}: no such field; known: {names}")


def script_of(text: str) -> str:
    """The script most letters are of, such as ``latin`` or ``cjk``."""
    letters = Counter(
        unicodedata.name(char, "unknown").split()[0].lower() for char in text if char.isalpha()
    )
    return f"{letters.most_common(1)[0][0]} script" if letters else MISSING


def _value(entry: Entry, field: str) -> str:
    value = entry.metadata.get(field)
    match value:
        case None:
            return MISSING
        case list():
            return ", ".join(value)
        case datetime():
            return str(value.year)
        case _:
            return str(value)


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None


def _range(number: float, edges: Sequence[float]) -> str:
    place = min(int(np.searchsorted(edges, number, side="right")), len(edges) - 1)
    return f"{edges[place - 1]:g} to {edges[place]:g}"
