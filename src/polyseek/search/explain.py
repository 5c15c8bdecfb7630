"""Why a hit was found: its rank after every stage, and what about it answers the query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from time import perf_counter
from urllib.parse import unquote

import numpy as np

from polyseek.core.config import Group
from polyseek.core.hits import Account, Candidates, Composition, Hit, Item
from polyseek.core.protocols import Encoder, Locator, StoreReader
from polyseek.core.reranking import Question
from polyseek.core.texts import several_sentences
from polyseek.core.tuning import Numbers
from polyseek.core.types import Modality, Role, Space, SpanUnit
from polyseek.core.words import words, words_of_name
from polyseek.search.calibrate import Calibrator
from polyseek.search.compose import compared, log_odds, match_probabilities, pooled, rescored
from polyseek.search.group import key_of
from polyseek.search.listing import Listing
from polyseek.search.retrieve import Asked, Ranking

MAX_SENTENCES = 64
"""Per answer: each one costs as much as a query."""


class Trace:
    """Ranks and times, stage by stage."""

    def __init__(self) -> None:
        self._started = self._last = perf_counter()
        self._laps: dict[str, float] = {}
        self._ranks: list[tuple[str, dict[Item, int]]] = []
        self._key = key_of(Group.ASSET)

    def lap(self, stage: str) -> None:
        """The time since the last lap was spent on this stage."""
        now = perf_counter()
        self._laps[stage] = (now - self._last) * 1e3
        self._last = now

    def note(self, stage: str, listing: Listing) -> None:
        """The order of assets after this stage."""
        places = enumerate(listing.firsts(), 1)
        self._key = listing.key
        self._ranks.append((stage, {self._key(listing.hits[i]): rank for rank, i in places}))

    def ranked(self, hits: Sequence[Hit]) -> list[Hit]:
        """Hits with their rank after every stage."""
        key = self._key
        return [
            replace(
                hit,
                ranks=tuple(
                    (stage, ranks[key(hit)]) for stage, ranks in self._ranks if key(hit) in ranks
                ),
            )
            for hit in hits
        ]

    def timings_ms(self) -> Mapping[str, float]:
        """Milliseconds by stage, and in total."""
        return {**self._laps, "total": sum(self._laps.values())}


def explained(
    hits: Sequence[Hit],
    asked: Asked,
    rankings: Sequence[Ranking],
    *,
    encoder: Encoder,
    store: StoreReader,
    calibrator: Calibrator,
    locator: Locator | None = None,
) -> list[Hit]:
    """Hits with an `account` each.

    Args:
        hits: As they will be shown.
        asked: The query.
        rankings: All candidates, for the drop-one test.
        encoder: Reads the sentences of texts.
        store: Where recordings' other parts are.
        calibrator: Turns cosines into probabilities.
        locator: Says where in pictures something was found, if anything does.
    """
    sentences = _sentences(hits, asked, encoder)
    dropped = _without_each(asked.query, rankings, calibrator)
    curves = _curves(hits, asked, rankings, store, calibrator)
    wanted = [w for word in asked.words for w in (*word.terms.exact, *word.terms.fuzzy)]
    return [
        replace(
            hit,
            account=Account(
                words=_matched(hit, wanted),
                sentence=sentences.get(hit.id),
                without=tuple(
                    (label, ranks[hit.item]) for label, ranks in dropped if hit.item in ranks
                ),
                curve=curves.get(hit.id, ()),
                where=_where(hit, asked, locator),
            ),
        )
        for hit in hits
    ]


def _where(hit: Hit, asked: Asked, locator: Locator | None) -> tuple[tuple[float, ...], ...]:
    if locator is None:
        return ()
    found = locator.where(Question(query=asked.query, embeddings=asked.embeddings), hit)
    return () if found is None else tuple(map(tuple, found.tolist()))


def _matched(hit: Hit, wanted: Sequence[str]) -> tuple[str, ...]:
    """Words of the query that the hit's text, fields or path have, as they are compared."""
    fields = (text for value in hit.metadata.values() for text in _strings(value))
    have = {word for text in (hit.text or "", *fields) for word in words(text)}
    have.update(words_of_name(unquote(hit.uri)))
    return tuple(word for word in dict.fromkeys(wanted) if word in have)


def _strings(value: object) -> list[str]:
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []


def _sentences(hits: Sequence[Hit], asked: Asked, encoder: Encoder) -> dict[str, str]:
    """By id, the sentence of a text that is nearest to the first wanted term."""
    tower = encoder.info.towers.get(Modality.TEXT)
    if tower is None:
        return {}
    split = [
        (hit.id, sentence)
        for hit in hits
        if hit.modality is Modality.TEXT
        for sentence in several_sentences(hit.text or "")
    ][:MAX_SENTENCES]
    if not split:
        return {}
    first = asked.query.first
    pair = asked.query.terms[first].query.modality, Modality.TEXT
    vector, space = compared(asked.embeddings[first], pair)
    prepared = [tower.prepare(sentence) for _, sentence in split]
    rows = encoder.encode(Modality.TEXT, prepared, role=Role.DOCUMENT)
    cosines = (rows.tower if space is Space.TOWER else rows.shared) @ vector
    best: dict[str, tuple[float, str]] = {}
    for (id_, sentence), cosine in zip(split, cosines.tolist(), strict=True):
        best[id_] = max(best.get(id_, (-2.0, "")), (cosine, sentence))
    return {id_: sentence for id_, (_, sentence) in best.items()}


def _without_each(
    query: Composition, rankings: Sequence[Ranking], calibrator: Calibrator
) -> list[tuple[str, dict[Item, int]]]:
    """Ranks of all assets without each term of a composed query, by the term's label."""
    rankings = [ranking for ranking in rankings if ranking.hits]
    hits = [hit for ranking in rankings for hit in ranking.hits]
    calibrated = all(one.probability is not None for hit in hits for one in hit.evidence)
    if len(query.terms) < 2 or not hits or not calibrated:
        return []
    found = []
    for i, left_out in enumerate(query.terms):
        terms = [term for n, term in enumerate(query.terms) if n != i]
        if not any(term.weight > 0 for term in terms):
            continue
        others = replace(query, terms=terms)
        total = np.concatenate([_pooled(others, i, ranking, calibrator) for ranking in rankings])
        ranks: dict[Item, int] = {}
        for n in np.argsort(-total, kind="stable").tolist():
            ranks.setdefault(hits[n].item, len(ranks) + 1)
        found.append((left_out.query.label, ranks))
    return found


def _pooled(query: Composition, dropped: int, ranking: Ranking, calibrator: Calibrator) -> Numbers:
    """``(n,)`` evidence of a modality's hits without one of the terms."""
    rows = [[one.probability for one in hit.evidence] for hit in ranking.hits]
    evidence = np.delete(np.array(rows, np.float64), dropped, axis=1).T
    limits = match_probabilities(query, ranking.hits[0].modality, calibrator)
    return pooled(query, log_odds(evidence), log_odds(limits))


def _curves(
    hits: Sequence[Hit],
    asked: Asked,
    rankings: Sequence[Ranking],
    store: StoreReader,
    calibrator: Calibrator,
) -> dict[str, tuple[tuple[float, float, float], ...]]:
    """By id of a hit in a recording, how every part of it answers the first wanted term."""
    timed = [h for h in hits if h.span is not None and h.span.unit is SpanUnit.SECONDS]
    if not timed:
        return {}
    first = asked.query.first
    stored = {batch.modality: batch for batch in store.fetch([hit.uri for hit in timed])}
    rows = {ranking.step.modality: ranking.step.rows for ranking in rankings}
    found = {}
    for hit in timed:
        pair = asked.query.terms[first].query.modality, hit.modality
        vector, space = compared(asked.embeddings[first], pair)
        batch = stored[hit.modality]
        parts = [s for s in batch.segments if s.asset_uri == hit.uri and s.span is not None]
        blank = [Hit(id=p.id, uri=hit.uri, modality=hit.modality, score=0.0) for p in parts]
        scored = rescored(blank, [batch], vector=vector, space=space, query=pair[0])
        asked_for = Candidates(hits=scored, tier="", rows=rows[hit.modality])
        known = calibrator.probabilities(pair, vector, asked_for)
        values = [one.score for one in scored] if known is None else known.tolist()
        curve = [
            (part.span.start, part.span.end, value)
            for part, value in zip(parts, values, strict=True)
            if part.span is not None
        ]
        found[hit.id] = tuple(sorted(curve))
    return found
