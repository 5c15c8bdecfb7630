"""What is measured: directions, each with its questions and what answers them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np

from polyseek.core.hits import Item
from polyseek.core.inventory import Entry, Inventory
from polyseek.core.judged import Judged
from polyseek.core.pairs import LabelledQuery
from polyseek.core.types import Modality
from polyseek.core.words import words
from polyseek.evaluate.mining import Mined
from polyseek.evaluate.slices import of_item, of_query

Twins: TypeAlias = "Callable[[Iterable[Item]], Mapping[Item, frozenset[Item]]]"

EVERYTHING = "everything"
CAPTION = "caption:"
"""Uri of a caption that is an answer but in no collection; its number follows."""

QUOTED_WORDS = 4
"""So many words in a row, all of the query, are a quotation and no coincidence."""

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One query of a direction.

    Attributes:
        id: The same in every run over the same pairs.
        label: How people read it.
        asked: A text or a file; None where `item` is the query.
        item: An item of the collection that is the query, by its stored embedding.
        answers: Gain by item; near-duplicates of what answers it count as well.
        group: What questions share that are about the same asset.
        slices: Value by name of the slice.
    """

    id: str
    label: str
    asked: LabelledQuery | None = None
    item: Item | None = None
    answers: Mapping[Item, float]
    group: str
    slices: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Direction:
    """Questions of one modality about another.

    Attributes:
        query: Modality of the questions.
        target: Modality of what is searched; None for one list of everything.
        source: Where the questions are from, for people.
        questions: At least one.
        captions: What is searched instead of the collection: texts, the n-th being the item
            ``(CAPTION + n, "")``.
    """

    query: Modality
    target: Modality | None
    source: str
    questions: Sequence[Question]
    captions: Sequence[str] = ()

    @property
    def name(self) -> str:
        """``text -> image``."""
        return f"{self.query} -> {self.target or EVERYTHING}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Makes directions of labelled queries.

    Attributes:
        inventory: Of the collection.
        twins: Looks for near-duplicates of items.
        limit: Questions per direction; 0 for all. The same ones are drawn every time.
        field: A metadata field, or one of the pairs' own, to slice by.
        tuned: Fingerprints of the queries that the collection was tuned with.
    """

    inventory: Inventory
    twins: Twins
    limit: int = 0
    field: str | None = None
    tuned: frozenset[str] = frozenset()

    def of_mined(self, mined: Iterable[Mined]) -> list[Direction]:
        """Texts that were found in the collection, forth and back."""
        found = []
        for one in mined:
            forth = self._forth(one.queries, Modality.TEXT, one.modality, one.source)
            found.append(forth)
            if one.modality is not Modality.TEXT:
                found.append(self._back(forth, one.texts))
        return found

    def of_pairs(
        self, judged: Iterable[Judged], modalities: Mapping[str, Modality], source: str
    ) -> list[Direction]:
        """Queries of a file, by the modality of their answers, forth and back, and all in one list.

        Args:
            judged: The queries.
            modalities: Of each query, by id.
            source: What to call the file.
        """
        split: dict[tuple[Modality, Modality], list[Judged]] = defaultdict(list)
        whole: dict[Modality, list[Judged]] = defaultdict(list)
        for one in judged:
            asked = modalities[one.query.id]
            whole[asked].append(one)
            for target in {self.inventory.entries[item].modality for item in one.answers}:
                own = {i: g for i, g in one.answers.items() if self._is(i, target)}
                split[asked, target].append(replace(one, answers=own))
        found = []
        for (asked, target), queries in sorted(split.items()):
            forth = self._forth(queries, asked, target, source)
            found.append(forth)
            typed = [q for q in forth.questions if q.asked and not q.asked.is_file]
            if typed and asked is Modality.TEXT and target is not Modality.TEXT:
                found.append(self._back(replace(forth, questions=typed), {}))
        if len({entry.modality for entry in self.inventory.entries.values()}) > 1:
            found += [self._forth(q, asked, None, source) for asked, q in sorted(whole.items())]
        return found

    def _is(self, item: Item, modality: Modality) -> bool:
        return self.inventory.entries[item].modality is modality

    def questions(self, judged: Sequence[Judged]) -> list[Question]:
        """Labelled queries as questions; near-duplicates of their answers answer them too."""
        twins = self.twins(item for one in judged for item in one.answers)
        found = []
        for one in judged:
            entries = [self.inventory.entries[item] for item in one.answers]
            first = next(iter(one.answers))
            found.append(
                Question(
                    id=one.query.id,
                    label=one.query.query,
                    asked=one.query,
                    answers=_with_twins(one, twins),
                    group=_group(first, twins),
                    slices=of_query(one.query, entries, field=self.field, tuned=self.tuned),
                )
            )
        return found

    def _forth(
        self,
        queries: Sequence[Judged],
        asked: Modality,
        target: Modality | None,
        source: str,
    ) -> Direction:
        chosen = [queries[i] for i in some(len(queries), self.limit)]
        return Direction(
            query=asked, target=target, source=source, questions=self.questions(chosen)
        )

    def _back(self, forth: Direction, texts: Mapping[str, Item]) -> Direction:
        """The answers ask for their texts: those in the collection, or, without, the queries."""
        answers: dict[Item, dict[Item, float]] = defaultdict(dict)
        own: dict[Item, set[str]] = defaultdict(set)
        for number, question in enumerate(forth.questions):
            text = texts.get(question.id, (f"{CAPTION}{number}", ""))
            for item, gain in question.answers.items():
                answers[item][text] = gain
                own[item].add(question.group)
        items = [list(answers)[i] for i in some(len(answers), self.limit)]
        twins = self.twins(items)
        questions = [
            Question(
                id=self._id(item),
                label=self.inventory.entries[item].name,
                item=item,
                answers=answers[item],
                group=_group(item, twins),
                slices=of_item(self.inventory.entries[item], self.field),
            )
            for item in items
        ]
        return Direction(
            query=forth.target or Modality.TEXT,
            target=Modality.TEXT,
            source=f"the same pairs, the other way ({'texts beside them' if texts else 'queries'})",
            questions=questions,
            captions=() if texts else [question.label for question in forth.questions],
        )

    def _id(self, item: Item) -> str:
        path = self.inventory.entries[item].metadata.get("path")
        name = path if isinstance(path, str) else item[0]
        return f"{name}#{item[1]}" if item[1] else name


def quoted(questions: Iterable[Question], inventory: Inventory) -> list[Question]:
    """Questions whose text stands in what answers them: a search by words finds these trivially."""
    known: dict[Item, list[str]] = {}
    found = []
    for question in questions:
        if question.asked is None or question.asked.is_file:
            continue
        text = f" {' '.join(words(question.label))} "
        long_enough = len(text.split()) >= QUOTED_WORDS
        for item in question.answers:
            if item not in inventory.entries:
                continue
            if item not in known:
                known[item] = [f" {' '.join(words(t))} " for t in _said(inventory.entries[item])]
            if any(text == said or (long_enough and text in said) for said in known[item]):
                found.append(question)
                break
    return found


def shown(uri: str, captions: Sequence[str]) -> str:
    """A uri, or the caption it stands for."""
    if captions and uri.startswith(CAPTION):
        return captions[int(uri.removeprefix(CAPTION))]
    return uri


def some(count: int, limit: int) -> list[int]:
    """Up to `limit` numbers below `count`, drawn at random, the same every time; all for 0."""
    if not limit or count <= limit:
        return list(range(count))
    drawn = np.random.default_rng(_SEED).permutation(count)[:limit]
    return [int(number) for number in np.sort(drawn)]


def _said(entry: Entry) -> Iterable[str]:
    for value in entry.metadata.values():
        yield from (
            v for v in (value if isinstance(value, list) else [value]) if isinstance(v, str)
        )
    yield from entry.texts


def own_item(query: LabelledQuery) -> Item | None:
    """The item that a query is, if its file is indexed."""
    return (Path(query.query).as_uri(), "") if query.is_file else None


def _with_twins(one: Judged, twins: Mapping[Item, frozenset[Item]]) -> Mapping[Item, float]:
    """The answers and their near-duplicates, but not the query itself for looking like one."""
    found = dict(one.answers)
    for item, gain in one.answers.items():
        for other in twins.get(item, frozenset()) - {own_item(one.query)}:
            found[other] = max(gain, found.get(other, 0))
    return found


def _group(item: Item, twins: Mapping[Item, frozenset[Item]]) -> str:
    """The same for an asset and its twins."""
    return "#".join(min({item, *twins.get(item, ())}))
