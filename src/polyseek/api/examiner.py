"""Asks the questions of an evaluation: every one goes the one search road."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from polyseek.api.searching import Road
from polyseek.core import plugins
from polyseek.core.adapting import Adapters
from polyseek.core.config import SearchOptions
from polyseek.core.defaults import Defaults
from polyseek.core.errors import QueryError
from polyseek.core.hits import Hit, Item, Query, item_of
from polyseek.core.inventory import Inventory
from polyseek.core.protocols import Encoder, SparseEncoder, Store, StoreReader
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.retriever import SearchMode
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Floats,
    Modality,
    Role,
    Segment,
    SegmentBatch,
)
from polyseek.evaluate.outcomes import DEPTH
from polyseek.evaluate.plan import CAPTION, Direction, Question
from polyseek.evaluate.runs import Measured, measured
from polyseek.search.embed import embed_all, mean_of
from polyseek.search.hybrid import read_words
from polyseek.search.pipeline import search


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Examiner:
    """Asks the questions of a direction.

    Attributes:
        store: The collection's rows.
        inventory: What they are.
        encoder: The collection's.
        defaults: What ships with the encoder.
        queries: Queries by the id of their question; items ask by their stored embeddings.
        adapters: That move the queries; None for none.
        sparse: The collection's sparse encoder; None for none.
        road: The stages.
        progress: Called with every step.
        spent: Seconds by what they were spent on.
        embedded: What the encoder has made so far, by the text that it read, or the file.
        said: What rerankers said of themselves, one text per search.
    """

    store: StoreReader
    inventory: Inventory
    encoder: Encoder
    defaults: Defaults | None
    queries: Mapping[str, Query]
    adapters: Adapters | None = None
    sparse: SparseEncoder | None = None
    road: Road = field(default_factory=Road)
    progress: ProgressCallback | None = None
    spent: dict[str, float] = field(default_factory=dict)
    embedded: dict[str, Embeddings] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def run(self, direction: Direction, mode: SearchMode) -> Measured:
        """Search for every question and score what is found."""
        words = direction.query is Modality.TEXT and not direction.captions
        chosen = mode if words else SearchMode.DENSE
        asked = [self._asked(question, direction) for question in direction.questions]
        vectors = self._vectors(direction, asked, chosen)
        with self._searched(direction) as store, self._timed("search"):
            answers = []
            for place, (query, known) in enumerate(zip(asked, vectors, strict=True)):
                answers.append(self._search(store, query, known, direction.target, chosen))
                self._tell("search", place + 1, len(asked), direction.name)
        return measured(
            direction,
            answers,
            mode=str(chosen),
            searched=len(direction.captions) or self._count(direction.target),
        )

    def _asked(self, question: Question, direction: Direction) -> Query:
        if question.item is None:
            return self.queries[question.id]
        return Query(modality=direction.query, signals=(), label=question.label)

    def _search(
        self,
        store: StoreReader,
        query: Query,
        known: Embeddings,
        target: Modality | None,
        mode: SearchMode,
    ) -> tuple[Sequence[Hit], bool]:
        options = SearchOptions(
            limit=DEPTH + 1,  # one more, for the query that finds itself
            modalities=() if target is None else (target,),
            show_all=True,
            mode=mode,
            retriever=self.road.retriever,
        )
        try:
            found = search(
                query, encoder=self.encoder, store=store, options=options,
                defaults=self.defaults, adapters=self.adapters, sparse=self.sparse,
                embeddings=[known], rerankers=self.road.rerankers,
            )  # fmt: skip
        except QueryError:
            if mode is not SearchMode.TEXT:
                raise
            return (), False  # a query without words finds nothing by words
        self.said.extend(found.notes[:1])
        return found.hits, not found.no_match

    def notes(self) -> list[str]:
        """What rerankers said of themselves, for people."""
        if not self.said:
            return []
        return [f"in {len(self.said):,} searches a stage fell short, first: {self.said[0]}"]

    def _vectors(
        self, direction: Direction, asked: Sequence[Query], mode: SearchMode
    ) -> list[Embeddings]:
        """Of every question: of the encoder, or as stored."""
        items = [question.item for question in direction.questions if question.item is not None]
        if items:
            stored = self._stored(items)
            return [stored[item] for item in items]
        # By words alone nothing is compared, but the road asks for a vector all the same.
        read_as = SearchMode.HYBRID if mode is SearchMode.TEXT else mode
        read = [read_words(query, None, read_as).query for query in asked]
        names = [_name(query) for query in read]
        new = {n: q for n, q in zip(names, read, strict=True) if n not in self.embedded}
        with self._timed("encode"):
            rows = embed_all(
                list(new.values()),
                self.encoder,
                progress=lambda done: self._tell("encode", done, len(new), direction.name),
            )
        self.embedded.update(zip(new, rows, strict=True))
        return [self.embedded[name] for name in names]

    def _stored(self, items: Sequence[Item]) -> dict[Item, Embeddings]:
        """The mean direction of each item's segments of its own modality."""
        parts: dict[Item, list[tuple[Floats, Floats]]] = defaultdict(list)
        for batch in self.store.fetch(sorted({uri for uri, _ in items})):
            rows = zip(batch.embeddings.shared, batch.embeddings.tower, strict=True)
            for segment, row in zip(batch.segments, rows, strict=True):
                item = item_of(segment.asset_uri, segment.span)
                if self.inventory.entries[item].modality is batch.modality:
                    parts[item].append(row)
        return {item: mean_of(rows) for item, rows in parts.items()}

    @contextmanager
    def _searched(self, direction: Direction) -> Iterator[StoreReader]:
        """The collection, or a passing one that holds nothing but the direction's captions."""
        if not direction.captions:
            yield self.store
            return
        with self._timed("encode"):
            rows = self._documents(direction.captions)
        with tempfile.TemporaryDirectory(prefix="polyseek-eval-") as folder:
            backend = plugins.load("store", "lance")
            backend.create(folder, self.store.manifest)
            store: Store = backend.open(folder, resident=True)
            uris = [f"{CAPTION}{number}" for number in range(len(direction.captions))]
            segments = [
                Segment(asset_uri=uri, modality=Modality.TEXT, text=text)
                for uri, text in zip(uris, direction.captions, strict=True)
            ]
            records = [
                AssetRecord(
                    uri=uri, status=AssetStatus.INDEXED, modalities=(Modality.TEXT,), etag="",
                    size_bytes=0, segments=1,
                )
                for uri in uris
            ]  # fmt: skip
            with store.writing():
                store.upsert(records, [SegmentBatch(Modality.TEXT, segments, rows)])
            yield store

    def _documents(self, texts: Sequence[str]) -> Embeddings:
        """Captions as an indexed text is embedded; as queries are where the encoder sees none."""
        queries = [Query(modality=Modality.TEXT, signals=[text], label=text) for text in texts]
        known = [self.embedded[text] for text in texts if text in self.embedded]
        rows = embed_all(queries[:1], self.encoder, role=Role.DOCUMENT)
        if len(known) == len(texts) and np.allclose(rows[0].shared, known[0].shared, atol=1e-5):
            rows = known
        else:
            rows = embed_all(queries, self.encoder, role=Role.DOCUMENT)
        return Embeddings.concat(rows)

    def _count(self, target: Modality | None) -> int:
        entries = self.inventory.entries.values()
        return sum(target is None or target in entry.modalities for entry in entries)

    def _tell(self, stage: str, done: int, total: int, label: str) -> None:
        if self.progress:
            self.progress(Progress(stage=stage, done=done, total=total, label=label))

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = perf_counter()
        yield
        self.spent[stage] = self.spent.get(stage, 0.0) + perf_counter() - started


def _name(query: Query) -> str:
    """What tells queries apart: the text that is read, or the file."""
    first = query.signals[0]
    return first if isinstance(first, str) and len(query.signals) == 1 else query.label
