"""Stored vectors by themselves: length, spread, copies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyseek.core.types import Floats, SegmentBatch, Space
from polyseek.evaluate.diagnosis import Check, Figure, Verdict, worst
from polyseek.evaluate.subject import MIN_SEGMENTS, Subject, label, listed

NORM_TOLERANCE = 0.01
COLLAPSED, NARROW = 0.99, 0.95
"""Mean cosine of two different segments from which vectors say little, or next to nothing."""

COPIES, MOSTLY_COPIES = 0.05, 0.5
"""Shares of segments that are copies of another."""

_SPREAD_OF = 1_000


def check_norms(subject: Subject) -> Check:
    """Whether every stored vector is finite and of unit length."""
    wrong: list[str] = []
    figures: dict[str, Figure] = {}
    for modality, batch in subject.samples.items():
        for space in Space:
            norms, bad = _norms(_of(batch, space))
            figures[f"{modality}-{space}"] = {
                "vectors": len(batch),
                "not_finite": int((~np.isfinite(norms)).sum()),
                "shortest": _finite(norms.min()),
                "longest": _finite(norms.max()),
                "wrong": int(bad.sum()),
            }
            if bad.any():
                first = label(batch.segments[int(np.flatnonzero(bad)[0])])
                wrong.append(
                    f"{modality}, {space} space: {int(bad.sum()):,} of {len(batch):,} vectors are "
                    f"not of unit length, e.g. {first}"
                )
    if wrong:
        return Check(
            name="norms",
            verdict=Verdict.FAILURE,
            summary="stored vectors are not of unit length, so products are no cosines",
            notes=wrong,
            figures=figures,
            advice="the encoder must return finite unit-length rows; fix it, then index the "
            "source into a new collection",
        )
    count = sum(map(len, subject.samples.values()))
    summary = f"{count:,} segments looked at, all finite and of unit length"
    return Check(
        name="norms",
        verdict=Verdict.OK,
        summary=summary if count else "no segments to look at",
        figures=figures,
    )


def check_spread(subject: Subject) -> Check:
    """Whether the vectors of a modality point into different directions."""
    verdicts, notes = [], []
    figures: dict[str, Figure] = {}
    for modality, batch in subject.samples.items():
        if len(batch) < MIN_SEGMENTS:
            notes.append(f"{modality}: {len(batch)} segments are too few to say")
            continue
        for space in Space:
            cosine, rank = spread(_of(batch, space))
            figures[f"{modality}-{space}"] = {
                "mean_cosine": round(cosine, 4),
                "effective_rank": round(rank, 1),
            }
            collapsed = cosine > COLLAPSED
            if collapsed or cosine > NARROW:
                verdicts.append(Verdict.FAILURE if collapsed else Verdict.WARNING)
                notes.append(
                    f"{modality}, {space} space: two segments have a mean cosine of {cosine:.3f}"
                )
    verdict = worst(verdicts)
    return Check(
        name="spread",
        verdict=verdict,
        summary={
            Verdict.OK: "vectors point into different directions",
            Verdict.WARNING: "vectors of a modality are all much alike",
            Verdict.FAILURE: "vectors of a modality have collapsed into one direction",
        }[verdict]
        if figures
        else "too few segments to say",
        notes=notes,
        figures=figures,
        advice=""
        if verdict is Verdict.OK
        else "look at a few of these files: if they do differ, the encoder does not see it "
        "(wrong preprocessing, or content it was not made for)",
    )


def check_duplicates(subject: Subject) -> Check:
    """How many segments are copies of another, as the encoder sees them."""
    shares, notes = [], []
    figures: dict[str, Figure] = {}
    for modality, batch in subject.samples.items():
        groups = copies(batch.embeddings.tower)
        extra = sum(len(group) - 1 for group in groups)
        share = extra / len(batch)
        named: list[Figure] = [
            [batch.segments[i].asset_uri for i in group[:5]] for group in groups[:5]
        ]
        figures[str(modality)] = {
            "copies": extra, "share": round(share, 4), "groups": len(groups), "examples": named,
        }  # fmt: skip
        shares.append(share if len(batch) >= MIN_SEGMENTS else 0.0)
        if groups:
            example = listed([label(batch.segments[i]) for i in groups[0]])
            notes.append(f"{modality}: {extra:,} of {len(batch):,} are copies, e.g. {example}")
    most = max(shares, default=0.0)
    verdict = (
        Verdict.FAILURE if most > MOSTLY_COPIES
        else Verdict.WARNING if most > COPIES
        else Verdict.OK
    )  # fmt: skip
    return Check(
        name="duplicates",
        verdict=verdict,
        summary=f"{most:.0%} of a modality's segments are copies"
        if most
        else "no copies to speak of",
        notes=notes,
        figures=figures,
        advice=""
        if verdict is Verdict.OK
        else "copies fill result lists: remove the files, or, if these files do differ, the "
        "encoder does not see it",
    )


def spread(rows: Floats) -> tuple[float, float]:
    """Mean cosine of two different rows, and the effective rank of the rows around their mean.

    Source of the rank: Roy and Vetterli, The effective rank, EUSIPCO 2007 (entropy of the
    spectrum).
    """
    rows = np.nan_to_num(rows[:: max(1, len(rows) // _SPREAD_OF)].astype(np.float64))
    n = len(rows)
    total = rows.sum(axis=0)
    cosine = float((total @ total - np.vecdot(rows, rows).sum()) / (n * (n - 1)))
    values = np.linalg.svd(rows - total / n, compute_uv=False) ** 2
    if values.sum() < 1e-9 * n:
        return cosine, 1.0
    shares = values[values > 1e-12 * values.sum()] / values.sum()
    return cosine, float(np.exp(-(shares * np.log(shares)).sum()))


def copies(rows: Floats) -> list[NDArray[np.int64]]:
    """Groups of two or more equal rows, the largest first."""
    _, group, sizes = np.unique(
        np.nan_to_num(rows).round(3), axis=0, return_inverse=True, return_counts=True
    )
    largest = sorted(np.flatnonzero(sizes > 1), key=lambda number: -sizes[number])
    return [np.flatnonzero(group.reshape(-1) == number) for number in largest]


def _norms(rows: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    norms = np.sqrt(np.vecdot(rows, rows))
    return norms, ~(np.abs(norms - 1) <= NORM_TOLERANCE)


def _finite(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _of(batch: SegmentBatch, space: Space) -> Floats:
    return batch.embeddings.shared if space is Space.SHARED else batch.embeddings.tower
