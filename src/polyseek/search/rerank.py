"""Rerankers: whoever has a better opinion of the best hits gets to say it, within a time limit.

A reranker never loses a hit and never breaks a search: what it has not scored in time keeps its
place below what it has, what it cannot judge keeps its place among the others, and where its answer
cannot be used the order before it stays. Either is said in the answer's notes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Thread
from time import perf_counter

from polyseek.core.protocols import Reranker, StoreReader
from polyseek.core.reranking import Candidate, Question
from polyseek.core.types import Space
from polyseek.search.listing import Listing


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Answer:
    """What came before time was up."""

    scores: list[float | None] = field(default_factory=list)
    problem: str | None = None
    late: bool = False


class _End:
    """All scores were given."""


def rerank(
    listing: Listing,
    question: Question,
    rerankers: Mapping[str, Reranker],
    *,
    store: StoreReader,
    depth: int,
    budget_ms: float,
) -> tuple[Listing, list[str]]:
    """The list with its best assets in a better order, and what to tell about it.

    Args:
        listing: Best first.
        question: What was asked.
        rerankers: By name, applied one after the other.
        store: Where embeddings come from.
        depth: How many assets they see.
        budget_ms: Time they have together.
    """
    notes: list[str] = []
    deadline = perf_counter() + budget_ms / 1e3
    for name, reranker in rerankers.items():
        top = listing.firsts(depth)
        if not top:
            break
        answer = _asked(reranker, question, _candidates(listing, top, store), deadline)
        problem = answer.problem or _unusable(answer, len(top))
        seen = len(answer.scores)
        if problem or not seen:
            why = problem or f"nothing scored within {budget_ms:g} ms"
            notes.append(f"reranker '{name}' was not used: {why}; the order before it stays")
            continue
        if seen < len(top):
            notes.append(f"reranker '{name}' scored {seen} of {len(top)} within {budget_ms:g} ms")
        if all(score is None for score in answer.scores):
            notes.append(f"reranker '{name}' could not read any of the {seen} hits it was given")
        first = [*(top[i] for i in _order(answer.scores)), *top[seen:]]
        rest = set(first)
        listing = listing.take([*first, *(i for i in range(len(listing.hits)) if i not in rest)])
    return listing, notes


def _order(scores: Sequence[float | None]) -> list[int]:
    """Best first; what has no score keeps its place."""
    known = {i: score for i, score in enumerate(scores) if score is not None}
    best = iter(sorted(known, key=lambda i: -known[i]))
    return [next(best) if i in known else i for i in range(len(scores))]


def _asked(
    reranker: Reranker, question: Question, candidates: Sequence[Candidate], deadline: float
) -> _Answer:
    """Its scores so far when time is up; a thread, because a call that hangs cannot be stopped."""
    arrived: SimpleQueue[float | str | _End | None] = SimpleQueue()

    def work() -> None:
        try:
            for score in reranker.scores(question, candidates):
                arrived.put(None if score is None else float(score))
                if perf_counter() > deadline:
                    return
            arrived.put(_End())
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything
            arrived.put(f"{type(error).__name__}: {error}")

    Thread(target=work, daemon=True, name="polyseek-rerank").start()
    scores: list[float | None] = []
    while True:
        try:
            one = arrived.get(timeout=max(deadline - perf_counter(), 0.0))
        except Empty:
            return _Answer(scores=scores, late=True)
        if isinstance(one, _End):
            return _Answer(scores=scores)
        if isinstance(one, str):
            return _Answer(scores=scores, problem=one)
        scores.append(one)
        if len(scores) > len(candidates):
            return _Answer(scores=scores)


def _unusable(answer: _Answer, wanted: int) -> str | None:
    """Why scores cannot be used, if they cannot."""
    if not all(score is None or math.isfinite(score) for score in answer.scores):
        return "a score is not a finite number"
    if len(answer.scores) > wanted or (len(answer.scores) < wanted and not answer.late):
        more = " or more" if len(answer.scores) > wanted else ""
        return f"{len(answer.scores)}{more} scores for {wanted} hits"
    return None


def _candidates(listing: Listing, top: Sequence[int], store: StoreReader) -> list[Candidate]:
    texts: dict[str, list[str]] = defaultdict(list)
    for hit in listing.hits:
        if hit.text:
            texts[hit.uri].append(hit.text)
    found: dict[int, Candidate] = {}
    for modality in {listing.hits[i].modality for i in top}:
        rows = [i for i in top if listing.hits[i].modality is modality]
        ids = [listing.hits[i].id for i in rows]
        shared, tower = (store.vectors(modality, ids, space) for space in Space)
        for place, i in enumerate(rows):
            known = listing.probabilities
            found[i] = Candidate(
                hit=listing.hits[i],
                probability=None if known is None else known[i],
                shared=shared[place],
                tower=tower[place],
                texts=tuple(texts[listing.hits[i].uri]),
            )
    return [found[i] for i in top]
