"""Candidates of one modality, with the probability of each where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from polyseek.core.config import SearchOptions
from polyseek.core.hits import Candidates, Composition, Hit, Query, Retrieval
from polyseek.core.protocols import StoreReader
from polyseek.core.tuning import Numbers
from polyseek.core.types import Embeddings, Modality
from polyseek.search.calibrate import Calibrator
from polyseek.search.compose import compared, pool
from polyseek.search.group import key_of
from polyseek.search.hybrid import WordSearch
from polyseek.search.results import PlanStep

MAX_CANDIDATES = 10_000


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ranking:
    """One target modality's candidates, best first.

    Attributes:
        hits: Segments.
        probabilities: ``(n,)`` of relevance; None where nothing was fitted.
        least: What the best of them must reach for the modality to have found something.
        step: How they were found.
    """

    hits: Sequence[Hit]
    probabilities: Numbers | None
    least: float | None
    step: PlanStep

    @property
    def matches(self) -> bool:
        """Whether the best of them is probable enough to be shown as an answer."""
        if self.probabilities is None or self.least is None or not self.hits:
            return bool(self.hits)
        return float(self.probabilities[0]) >= self.least

    def take(self, order: Sequence[int]) -> Ranking:
        """Only these hits, in this order."""
        known = self.probabilities
        return replace(
            self,
            hits=[self.hits[i] for i in order],
            probabilities=None if known is None else known[np.array(order, np.int64)],
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Asked:
    """A query that is ready to be compared.

    Attributes:
        query: Its terms.
        embeddings: Of each term.
        words: Of each term.
    """

    query: Composition
    embeddings: Sequence[Embeddings]
    words: Sequence[WordSearch]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to compare: no direction, no words, no sparse vector."""
        return not any(
            rows.shared.any() or words.terms or words.sparse
            for rows, words in zip(self.embeddings, self.words, strict=True)
        )


def rank(
    store: StoreReader,
    asked: Asked,
    *,
    target: Modality,
    options: SearchOptions,
    calibrator: Calibrator,
) -> Ranking:
    """Candidates of one modality; those of several terms are pooled.

    Unwanted terms find no candidates: they only count against those of the others.
    """
    query = asked.query
    rankings = [
        _retrieve(
            store, term.query, rows, target=target, options=options, words=word,
            calibrator=calibrator, judged=query.judged,
        )
        for term, rows, word in zip(query.terms, asked.embeddings, asked.words, strict=True)
        if term.weight > 0
    ]  # fmt: skip
    if len(query.terms) == 1 or not any(ranking.hits for ranking in rankings):
        return rankings[0]
    started = perf_counter()
    union = {hit.id: hit for ranking in rankings for hit in ranking.hits}
    stored = store.fetch(list({hit.uri for hit in union.values()}))
    found = iter(rankings)
    spoken = [next(found).hits if term.weight > 0 else () for term in query.terms]
    pooled = pool(
        query, asked.embeddings, list(union.values()), stored, calibrator,
        spoken=spoken, rows=rankings[0].step.rows,
    )  # fmt: skip
    spent = sum(ranking.step.elapsed_ms for ranking in rankings)
    step = replace(rankings[0].step, elapsed_ms=spent + (perf_counter() - started) * 1e3)
    return Ranking(
        hits=pooled.hits, probabilities=pooled.probabilities, least=pooled.least, step=step
    )


def _retrieve(
    store: StoreReader,
    query: Query,
    embeddings: Embeddings,
    *,
    target: Modality,
    options: SearchOptions,
    words: WordSearch,
    calibrator: Calibrator,
    judged: frozenset[str],
) -> Ranking:
    """Candidates of one term: its own space for its own kind, the shared one otherwise."""
    started = perf_counter()
    pair = query.modality, target
    vector, space = compared(embeddings, pair)
    hub = calibrator.hub(pair)
    wanted, key = max(options.limit, options.retriever.signals.candidates), key_of(options.group)
    near = Candidates(hits=(), tier="", rows=0)
    while True:
        request = Retrieval(
            vector=vector, modality=target, space=space, limit=wanted, filter=words.condition,
            hub=hub,
        )  # fmt: skip
        if words.alone or not vector.any():
            break
        near = store.search(request)
        # One long recording may fill the list: look deeper until there are enough assets.
        if len(near.hits) < wanted or wanted >= MAX_CANDIDATES:
            break
        if len({key(hit) for hit in near.hits if _new(hit, judged)}) >= options.limit:
            break
        wanted *= 4
    candidates = words.candidates(store, request, near)
    probabilities = None if words.alone else calibrator.probabilities(pair, vector, candidates)
    hits, probabilities = words.reorder(
        candidates.hits, probabilities, near=len(near.hits), words=calibrator.words,
        sparse=calibrator.sparse,
    )  # fmt: skip
    calibration = calibrator.calibration(pair)
    found = Ranking(
        hits=hits,
        probabilities=probabilities,
        least=calibration.match_probability if calibration else None,
        step=PlanStep(
            modality=target,
            space=space,
            tier=candidates.tier,
            rows=candidates.rows,
            recall=candidates.recall,
            words=sum(hit.text_score is not None for hit in hits) if words.terms else None,
            sparse=sum(hit.sparse_score is not None for hit in hits) if words.sparse else None,
            fusion=None if words.alone else "rank" if probabilities is None else "probability",
            hub_strength=hub.strength if hub else 0.0,
            adapter=calibrator.adapters.key(pair),
            calibration=calibration,
            elapsed_ms=(perf_counter() - started) * 1e3,
        ),
    )
    return found.take([i for i, hit in enumerate(hits) if _new(hit, judged)]) if judged else found


def _new(hit: Hit, judged: frozenset[str]) -> bool:
    return hit.id not in judged and hit.uri not in judged
