"""Labelled queries looked up in a collection, and which of its items are twins of each other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from polyseek.core.hits import Item, item_of
from polyseek.core.inventory import Inventory
from polyseek.core.pairs import LabelledQuery
from polyseek.core.protocols import StoreReader
from polyseek.core.types import Floats, Modality

TWIN = 0.97
"""Cosine in the tower's own space from which two items show the same: photographs of one burst."""

COMPARED = 20_000
"""Items of a modality that are looked at for twins."""

_BLOCK = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A labelled query and the items that answer it.

    Attributes:
        query: As its owner wrote it, or as it was mined.
        answers: Gain above 0 by item; not empty.
    """

    query: LabelledQuery
    answers: Mapping[Item, float]


def look_up(
    queries: Iterable[LabelledQuery], inventory: Inventory, *, beside: Path | None = None
) -> tuple[list[Judged], list[str]]:
    """The queries that something in a collection answers, and what was left out, for people.

    Args:
        queries: No two with the same id.
        inventory: Of the collection.
        beside: The folder that relative paths may start from.
    """
    found: list[Judged] = []
    missing: dict[str, list[str]] = defaultdict(list)
    unanswered: dict[str, list[str]] = defaultdict(list)
    for query in queries:
        answers: dict[Item, float] = {}
        for name, gain in query.relevant.items():
            items = inventory.find(name, beside=beside)
            if len(items) == 1:
                answers[items[0]] = max(gain, answers.get(items[0], 0))
            elif items:
                missing["stand for several assets and were left out; give their paths"].append(name)
            elif inventory.is_unsearchable(name, beside=beside):
                missing["failed or are still pending (polyseek status)"].append(name)
            else:
                missing["are not in the collection"].append(name)
        if answers:
            found.append(Judged(query=query, answers=answers))
        else:
            why = (
                "none of their answers is searchable" if query.relevant else "nothing answers them"
            )
            unanswered[why].append(query.query)
    notes = [
        f"{len(set(names)):,} assets that answer queries {why} (e.g. {names[0]})"
        for why, names in missing.items()
    ]
    notes += [
        f"{len(texts):,} queries were left out: {why} (e.g. {texts[0][:80]!r})"
        for why, texts in unanswered.items()
    ]
    return found, notes


def twins(
    store: StoreReader, inventory: Inventory, items: Iterable[Item]
) -> dict[Item, frozenset[Item]]:
    """For each of these items, the others that nobody can tell from it: copies and near-copies.

    Copies have the same bytes; near-copies look or sound the same to the tower. In a collection of
    more than `COMPARED` items of a modality near-copies are looked for among so many.

    Args:
        store: The collection's rows.
        inventory: Of the collection.
        items: What is asked about.
    """
    wanted = set(items)
    by_hash: dict[str, list[Item]] = defaultdict(list)
    for entry in inventory.entries.values():
        if entry.content_hash:
            by_hash[entry.content_hash].append(entry.item)
    found: dict[Item, set[Item]] = {item: set() for item in wanted}
    for copies in by_hash.values():
        for item in wanted.intersection(copies):
            found[item].update(copies)
    for modality in {inventory.entries[item].modality for item in wanted}:
        known, vectors = _vectors(store, inventory, modality, wanted)
        asked = [i for i, item in enumerate(known) if item in wanted]
        for start in range(0, len(asked), _BLOCK):
            rows = asked[start : start + _BLOCK]
            near = np.argwhere(vectors[rows] @ vectors.T >= TWIN)
            for row, other in near.tolist():
                found[known[rows[row]]].add(known[other])
    return {item: frozenset(others - {item}) for item, others in found.items()}


def _vectors(
    store: StoreReader, inventory: Inventory, modality: Modality, wanted: set[Item]
) -> tuple[Sequence[Item], Floats]:
    """Items of a modality and the mean direction of each one's segments in the tower's space."""
    sums: dict[Item, Floats] = {}
    batches = [store.sample(modality, COMPARED)]
    batches += store.fetch(sorted({uri for uri, _ in wanted}))
    seen: set[str] = set()
    for batch in batches:
        if batch is None or batch.modality is not modality:
            continue
        for segment, row in zip(batch.segments, batch.embeddings.tower, strict=True):
            item = item_of(segment.asset_uri, segment.span)
            entry = inventory.entries.get(item)
            if entry is None or entry.modality is not modality or segment.id in seen:
                continue
            seen.add(segment.id)
            sums[item] = sums.get(item, np.zeros_like(row)) + row
    stacked = np.stack(list(sums.values())) if sums else np.zeros((0, 1), np.float32)
    norms = np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-9)
    return list(sums), (stacked / norms).astype(np.float32)
