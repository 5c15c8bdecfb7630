"""Labelled queries out of a collection itself: what its owner wrote beside or about its items."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from polyseek.core.hits import Item
from polyseek.core.inventory import Entry, Inventory
from polyseek.core.judged import Judged
from polyseek.core.pairs import LabelledQuery
from polyseek.core.types import Modality
from polyseek.core.words import words

CAPTIONS = ("caption", "captions", "texts", "description", "descriptions", "alt", "alt_text",
            "text", "summary", "abstract", "comment")  # fmt: skip
TITLES = ("title", "titles", "headline", "subject")
LABELS = ("label", "labels", "class", "category", "categories", "keywords", "tags")
LANGUAGES = ("language", "lang")
MIN_QUERIES = 20
"""A source with fewer, that also says nothing of most items, is only used when all are so."""

MAX_CHARS = 500
"""Longer texts are no queries."""

COMMON = 0.05
"""A caption that more than this share of the items has describes none of them."""

_DEVICE_NAMES = frozenset(
    "img image dsc dscn dscf dcim pxl mvi vid video mov gopr photo pic picture screenshot scan "
    "whatsapp signal untitled unnamed copy final new file audio rec recording track sound voice "
    "clip doc document page frame sample test tmp temp edited export jpg jpeg png wav".split()
)
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mined:
    """Queries for the items of one modality, all from the same source.

    Attributes:
        modality: Of the items.
        source: Where the queries are from, for people.
        queries: With what answers them.
        texts: By query id, the text items beside the answers that the query was read from; empty
            for sources within the items themselves.
        others: Sources that were not used, with their number of queries, for people.
    """

    modality: Modality
    source: str
    queries: Sequence[Judged]
    texts: Mapping[str, Item]
    others: Sequence[str] = ()


def mine(inventory: Inventory, *, field: str | None = None) -> list[Mined]:
    """The best source of queries for each modality.

    In this order, the first with enough: caption-like fields, texts beside the items (``dog.txt``
    beside ``dog.jpg``), titles, labels, and file names that say something.

    Args:
        inventory: Of the collection.
        field: Take this metadata field instead.
    """
    found = []
    for modality in Modality:
        entries = list(inventory.of_modality(modality))
        sources = [s for s in _sources(entries, inventory, modality, field) if s.queries]
        if not sources:
            continue
        least = min(MIN_QUERIES, len(entries) / 2)
        enough = (source for source in sources if len(source.queries) >= least)
        best = next(enough, max(sources, key=lambda source: len(source.queries)))
        others = [
            f"{s.source}: {len(s.queries):,}"
            for s in sources
            if s is not best and len(s.queries) >= MIN_QUERIES
        ]
        found.append(
            Mined(
                modality=modality,
                source=best.source,
                queries=best.queries,
                texts=best.texts,
                others=others,
            )
        )
    return found


def _sources(
    entries: Sequence[Entry], inventory: Inventory, modality: Modality, field: str | None
) -> Iterator[Mined]:
    if field is not None:
        yield _mined(modality, f"field '{field}'", _field(entries, field), len(entries))
        return
    names = {name for entry in entries for name in entry.metadata}
    for wanted in CAPTIONS:
        yield from _fields(entries, modality, names, wanted)
    if modality is not Modality.TEXT:
        yield _beside(entries, inventory, modality)
    for wanted in TITLES:
        yield from _fields(entries, modality, names, wanted)
    for wanted in LABELS:
        yield from _fields(entries, modality, names, wanted, labels=True)
    if modality is not Modality.TEXT:
        named = ((entry, _words_in(entry)) for entry in entries)
        given = [(entry, text) for entry, text in named if text]
        yield _mined(modality, "file names", given, len(entries), labels=True)


def _fields(
    entries: Sequence[Entry],
    modality: Modality,
    names: Iterable[str],
    wanted: str,
    *,
    labels: bool = False,
) -> Iterator[Mined]:
    for name in sorted(names):
        if name.lower().rpartition(".")[2] == wanted:
            yield _mined(
                modality, f"field '{name}'", _field(entries, name), len(entries), labels=labels
            )


def _field(entries: Iterable[Entry], name: str) -> list[tuple[Entry, str]]:
    found = []
    for entry in entries:
        value = entry.metadata.get(name)
        values = value if isinstance(value, list) else [value]
        found += [(entry, text) for text in values if isinstance(text, str) and text.strip()]
    return found


def _mined(
    modality: Modality,
    source: str,
    given: Iterable[tuple[Entry, str]],
    items: int,
    *,
    labels: bool = False,
) -> Mined:
    """Queries of texts; those with the same words have their answers together.

    Args:
        modality: Of the items.
        source: For people.
        given: Items and what is said of each.
        items: How many items there are.
        labels: Whether many may share one.
    """
    answers: dict[str, dict[Item, float]] = defaultdict(dict)
    first: dict[str, tuple[Entry, str]] = {}
    for entry, said in given:
        text = _spelled_out(said) if labels else " ".join(said.split())
        key = " ".join(words(text))
        if key and len(text) <= MAX_CHARS:
            answers[key][entry.item] = 1.0
            first.setdefault(key, (entry, text))
    most = items if labels else max(5, COMMON * items)
    queries = [
        Judged(query=_query(*first[key]), answers=found)
        for key, found in answers.items()
        if len(found) <= most and not (labels and len(found) == items > 1)
    ]
    return Mined(modality=modality, source=source, queries=queries, texts={})


def _beside(entries: Sequence[Entry], inventory: Inventory, modality: Modality) -> Mined:
    """Text files that are called as the items beside them."""
    texts = {_place(entry, stem=True): entry for entry in inventory.of_modality(Modality.TEXT)}
    given, read_from = [], {}
    for entry in entries:
        beside = texts.get(_place(entry, stem=True)) or texts.get(_place(entry, stem=False))
        if beside is not None and beside.texts:
            given.append((entry, beside.texts[0]))
            read_from[entry.item] = beside.item
    found = _mined(modality, "texts beside them", given, len(entries))
    return Mined(
        modality=modality,
        source=found.source,
        queries=found.queries,
        texts={one.query.id: read_from[next(iter(one.answers))] for one in found.queries},
    )


def _place(entry: Entry, *, stem: bool) -> tuple[str, str]:
    folder, _, name = entry.item[0].rpartition("/")
    return folder, name.rpartition(".")[0] if stem and "." in name else name


def _query(entry: Entry, text: str) -> LabelledQuery:
    language = next((entry.metadata[n] for n in LANGUAGES if n in entry.metadata), None)
    fields = {"language": language} if isinstance(language, str) else {}
    return LabelledQuery(id=text, query=text, fields=fields)


def _spelled_out(label: str) -> str:
    """``dog_bark`` and ``DogBark`` as people would type them."""
    return " ".join(_HUMPS.sub(" ", label).replace("_", " ").replace("-", " ").split())


def _words_in(entry: Entry) -> str:
    """What a file name says, without the parts that cameras, phones and counters give."""
    stem = PurePosixPath(entry.name).stem
    parts = [p for p in re.split(r"[\W_]+|(?<=[a-z])(?=[A-Z])", stem) if p]
    # Digits within a part make it a counter, a date or a hash; at its end they may count dogs.
    said = [m[1] for part in parts if (m := re.fullmatch(r"([^\W\d]+)\d{0,4}", part))]
    said = [word for word in said if word.lower() not in _DEVICE_NAMES]
    telling = any(len(word) >= 3 or not word.isascii() for word in said)
    return " ".join(said).lower() if telling else ""
