"""Recall of what answers searches against exact search, for every kind of query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyseek.core.hits import Candidates
from polyseek.core.tuning import Pair
from polyseek.core.types import Modality, Space
from polyseek.evaluate.diagnosis import Check, Figure, Verdict, worst
from polyseek.evaluate.subject import Subject, space_of, vectors

TOP = 10
QUERIES, QUERIES_IF_LARGE = 24, 12
"""Of each modality, asked of each; fewer where a search may scan many segments."""

GOOD, POOR = 0.95, 0.8
_TOLERANCE = {Space.SHARED: 1e-4, Space.TOWER: 2e-3}
"""Of a score; stores may keep tower embeddings as float16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """How many of the ten best segments are found.

    Attributes:
        at_10: Mean over the queries.
        tier: What answered.
        measured: What the store itself measured; None when it did not.
    """

    at_10: float
    tier: str
    measured: float | None


def check_recall(subject: Subject) -> Check:
    """Recall@10 per pair of modalities; text queries lie elsewhere than pictures do."""
    verdicts, notes = [], []
    figures: dict[str, Figure] = {}
    for pair in _pairs(subject):
        found = recall(subject, pair)
        if found is None:
            continue
        figures["-".join(pair)] = {
            "recall_at_10": round(found.at_10, 4),
            "tier": found.tier,
            "segments": subject.rows[pair[1]],
            "compared_with": len(subject.samples[pair[1]]),
            "store_recall": found.measured,
        }
        least = found.at_10 if found.measured is None else min(found.at_10, found.measured)
        verdict = _verdict(least)
        verdicts.append(verdict)
        if verdict is not Verdict.OK or found.at_10 < 1:
            notes.append(f"{pair[0]} -> {pair[1]}: recall@10 {least:.3f} ({found.tier})")
    verdict = worst(verdicts)
    tiers = sorted({str(f["tier"]) for f in figures.values() if isinstance(f, dict)})
    partial = [m for m, batch in subject.samples.items() if len(batch) < subject.rows[m]]
    if partial:
        notes.append(f"estimated from a sample of the segments: {', '.join(partial)}")
    return Check(
        name="recall",
        verdict=verdict,
        summary="nothing to search"
        if not figures
        else f"{', '.join(tiers)} finds what exact search finds"
        if verdict is Verdict.OK
        else f"{', '.join(tiers)} misses segments that exact search finds",
        notes=notes,
        figures=figures,
        advice=""
        if verdict is Verdict.OK
        else "index again to rebuild the search index, or search from a long-lived process, which "
        "keeps a copy in memory",
    )


def recall(subject: Subject, pair: Pair) -> Recall | None:
    """Recall@10 of one pair; None without queries of that modality.

    Of a sample, every segment that scores above the last of the ten found should be one of them;
    those that are not stand for as many times more as the collection is larger than the sample.
    """
    limit = QUERIES if subject.complete else QUERIES_IF_LARGE
    queries = subject.queries(pair[0], limit)
    if queries is None or not len(queries):
        return None
    batch = subject.samples[pair[1]]
    hub, bias = subject.scale.hub(pair), subject.bias(pair)
    stored = vectors(pair, batch.embeddings)
    ids = np.array([segment.id for segment in batch.segments])
    share = len(batch) / max(subject.rows[pair[1]], 1)
    tolerance = _TOLERANCE[space_of(pair)]
    missed, found = 0.0, Candidates(hits=(), tier="empty", rows=0)
    wanted = min(TOP, subject.rows[pair[1]])
    for vector in vectors(pair, queries):
        found = subject.ask(pair, vector, limit=TOP, hub=hub)
        scores = stored @ vector - bias
        got = {hit.id for hit in found.hits}
        absent = ~np.isin(ids, list(got))
        least = _last(found, strength=hub.strength if hub else 0, missing=hub.missing if hub else 0)
        better = int((scores[absent] > least + tolerance).sum()) / share
        missed += min(max(better, wanted - len(got)), wanted)
    return Recall(
        at_10=float(1 - missed / (len(queries) * wanted)), tier=found.tier, measured=found.recall
    )


def _pairs(subject: Subject) -> list[Pair]:
    asked = [Modality.TEXT, *(m for m in subject.samples if m is not Modality.TEXT)]
    return [(query, target) for query in asked for target in subject.samples]


def _last(found: Candidates, *, strength: float, missing: float) -> float:
    """The corrected score of the last hit."""
    hit = found.hits[-1] if found.hits else None
    if hit is None:
        return -np.inf
    return hit.score - strength * (missing if hit.hub_bias is None else hit.hub_bias)


def _verdict(least: float) -> Verdict:
    if least < POOR:
        return Verdict.FAILURE
    return Verdict.WARNING if least < GOOD else Verdict.OK
