"""Hubs: segments that turn up for queries they have nothing to do with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyseek.core.types import Floats, Modality, SegmentBatch
from polyseek.evaluate.diagnosis import Chart, Check, Figure, Verdict, worst
from polyseek.evaluate.subject import Subject, label, vectors

K = 10
MIN_ROWS = 50
"""Among fewer segments, every one is in many lists."""

SKEWED, VERY_SKEWED = 3.0, 6.0
"""Skewness of the k-occurrence from which a few segments take the places of many."""

BACKFIRED = 1.0
"""A correction that raises the skewness by this much does harm."""

WORST = 5
QUERIES = 1_000
_ADVICE = (
    "run 'polyseek tune', with --bank and queries like yours; look at the hubs: blank, broken or "
    "generic files can be excluded"
)
_EDGES = (0, 1, 2, 5, 10, 20, 50, 100)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Occurrence:
    """In how many queries' first `K` hits each of n segments is."""

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    queries: int


def check_hubs(subject: Subject) -> Check:
    """Skewness of the k-occurrence of text queries, by cosine and as searched now."""
    if subject.bank is None:
        return Check(
            name="hubness",
            verdict=Verdict.OK,
            summary="not looked at: the encoder reads no text, so there is no bank of queries",
        )
    verdicts, notes, charts = [], [], []
    figures: dict[str, Figure] = {}
    for target, batch in subject.samples.items():
        if len(batch) < MIN_ROWS:
            notes.append(f"text -> {target}: {len(batch)} segments are too few to have hubs")
            continue
        found = occurrence(subject, target)
        before, after = skewness(found.before), skewness(found.after)
        hubs = np.argsort(-found.after, kind="stable")[:WORST]
        figures[f"text-{target}"] = _figures(found, batch, hubs)
        verdicts.append(_verdict(before, after))
        names = ", ".join(
            f"{label(batch.segments[i])} in {found.after[i] / found.queries:.0%}" for i in hubs[:3]
        )
        notes.append(
            f"text -> {target}: skewness {before:.2f} by cosine, {after:.2f} now; most often "
            f"among the first {K}: {names} of the queries"
        )
        charts.append(_histogram(target, found))
    verdict = worst(verdicts)
    healthy = verdict is Verdict.OK
    return Check(
        name="hubness",
        verdict=verdict,
        summary=("few hubs" if figures else "too few segments to have hubs")
        if healthy
        else _finding(figures),
        notes=notes,
        figures=figures,
        charts=charts,
        advice="" if healthy else _ADVICE,
    )


def occurrence(subject: Subject, target: Modality) -> Occurrence:
    """Ask the bank's queries for a sample of the segments."""
    pair = Modality.TEXT, target
    asked = subject.queries(Modality.TEXT, QUERIES)
    assert asked is not None  # noqa: S101 - the caller's case
    cosines = vectors(pair, asked) @ vectors(pair, subject.samples[target].embeddings).T
    return Occurrence(
        before=k_occurrence(cosines),
        after=k_occurrence(cosines - subject.bias(pair)),
        queries=len(asked),
    )


def k_occurrence(scores: Floats) -> NDArray[np.int64]:
    """``(n,)`` number of rows of ``(q, n)`` scores in whose best `K` each column is."""
    k = min(K, scores.shape[1])
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.bincount(best.ravel(), minlength=scores.shape[1])


def skewness(counts: NDArray[np.int64]) -> float:
    """Third standardised moment; 0 when all are equal.

    Source: Radovanovic et al., Hubs in Space, JMLR 2010.
    """
    centred = counts - counts.mean()
    deviation = float(np.sqrt((centred**2).mean()))
    return float((centred**3).mean() / deviation**3) if deviation > 1e-9 else 0.0


def _figures(found: Occurrence, batch: SegmentBatch, hubs: NDArray[np.int64]) -> Figure:
    return {
        "queries": found.queries,
        "skewness_by_cosine": round(skewness(found.before), 2),
        "skewness_now": round(skewness(found.after), 2),
        "never_found_by_cosine": round(float((found.before == 0).mean()), 3),
        "never_found_now": round(float((found.after == 0).mean()), 3),
        "hubs": [
            {
                "name": label(batch.segments[i]),
                "uri": batch.segments[i].asset_uri,
                "lists_by_cosine": int(found.before[i]),
                "lists_now": int(found.after[i]),
            }
            for i in hubs
        ],
    }


def _verdict(before: float, after: float) -> Verdict:
    if after >= VERY_SKEWED:
        return Verdict.FAILURE
    return Verdict.WARNING if after >= min(SKEWED, before + BACKFIRED) else Verdict.OK


def _finding(figures: Mapping[str, Figure]) -> str:
    raised = [
        name.replace("-", " -> ")
        for name, found in figures.items()
        if isinstance(found, Mapping)
        and _number(found["skewness_now"]) >= _number(found["skewness_by_cosine"]) + BACKFIRED
    ]
    if raised:
        return f"the hub correction makes hubs instead of removing them: {', '.join(raised)}"
    return "a few segments turn up for many unrelated queries"


def _number(figure: Figure) -> float:
    return float(figure) if isinstance(figure, int | float) else 0.0


def _histogram(target: Modality, found: Occurrence) -> Chart:
    edges = [*_EDGES, np.inf]
    labels = [
        str(low)
        if high == low + 1
        else f"{low}-{int(high) - 1}"
        if np.isfinite(high)
        else f"{low}+"
        for low, high in zip(_EDGES, edges[1:], strict=True)
    ]
    return Chart(
        title=f"{target} segments by the number of queries' first {K} they are in",
        labels=labels,
        series={
            name: [float(n) for n in np.histogram(counts, bins=edges)[0]]
            for name, counts in (("by cosine", found.before), ("as searched now", found.after))
        },
    )
