"""Whether stored vectors are still what the encoder makes of the same texts and pictures."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from polyseek.core.types import Embeddings, Floats, Modality, Role, Signal
from polyseek.evaluate.diagnosis import Check, Figure, Verdict, worst
from polyseek.evaluate.probes import probes_of
from polyseek.evaluate.subject import Subject
from polyseek.evaluate.towers import Match, match

SAME, RELATED = (
    {Modality.TEXT: 0.995, Modality.IMAGE: 0.95},
    {Modality.TEXT: 0.95, Modality.IMAGE: 0.8},
)
"""Median cosine of stored vectors with the same files embedded again: from the first on they are
the same, below the second they are plainly not. Processors round otherwise, and pictures may have
been decoded at another size."""

ROLE_LOSS = 0.05
_TEXTS, _PICTURES, _TRIES = 24, 6, 12
_ADVICE = (
    "a prefix, an instruction or preprocessing is missing or has changed: compare with the model's "
    "card, then index into a new collection"
)


def check_stored(subject: Subject) -> Check:
    """Embed stored texts and pictures again, and ask as a query and as a passage."""
    findings: list[tuple[Verdict, str]] = []
    figures: dict[str, Figure] = {}
    if Modality.TEXT in subject.encoder.info.towers:
        asked, swapped, alike = _roles(subject)
        figures["roles"] = {
            "sides_alike": alike,
            "probes_above": round(asked.above, 3),
            "probes_above_as_passages": round(swapped.above, 3),
        }
        findings += _wrong_side(asked, swapped)
    again = {Modality.TEXT: _texts_again(subject), Modality.IMAGE: _pictures_again(subject)}
    for modality, cosines in again.items():
        if len(cosines):
            figures[str(modality)] = {
                "compared": len(cosines),
                "median_cosine": round(float(np.median(cosines)), 4),
                "lowest_cosine": round(float(cosines.min()), 4),
            }
            findings += _changed(modality, cosines)
    compared = [f"{len(c)} {m}" for m, c in again.items() if len(c)]
    return Check(
        name="stored",
        verdict=worst(verdict for verdict, _ in findings),
        summary=_in_words(found=bool(findings), compared=compared),
        notes=[said for _, said in findings],
        figures=figures,
        advice=_ADVICE if findings else "",
    )


def _wrong_side(asked: Match, swapped: Match) -> list[tuple[Verdict, str]]:
    if swapped.above <= asked.above + ROLE_LOSS:
        return []
    said = (
        f"texts find their passages better when embedded as passages ({swapped.above:.0%}) than as "
        f"queries ({asked.above:.0%})"
    )
    return [(Verdict.WARNING, said)]


def _changed(modality: Modality, cosines: NDArray[np.float64]) -> list[tuple[Verdict, str]]:
    median = float(np.median(cosines))
    if median >= SAME[modality]:
        return []
    said = (
        f"{len(cosines)} stored {modality} segments were embedded again: their median cosine with "
        f"what is stored is {median:.3f}, not 1"
    )
    return [(Verdict.FAILURE if median < RELATED[modality] else Verdict.WARNING, said)]


def _in_words(*, found: bool, compared: Sequence[str]) -> str:
    if found:
        return "the encoder does not embed as it should, or no longer as it did"
    if compared:
        return f"{' and '.join(compared)} segments embedded again give what is stored"
    return "no stored texts or pictures to compare with"


def _roles(subject: Subject) -> tuple[Match, Match, bool]:
    """How texts find passages as queries and as passages, and whether both are embedded alike."""
    probes = probes_of(Modality.TEXT)
    names = list(probes)
    asked, swapped = (
        np.nan_to_num(subject.embed(Modality.TEXT, names, role=role).tower)
        for role in (Role.QUERY, Role.DOCUMENT)
    )
    passages = np.nan_to_num(
        subject.embed(Modality.TEXT, list(probes.values()), role=Role.DOCUMENT).tower
    )
    alike = bool(np.allclose(asked, swapped, atol=1e-3))
    return match(asked, passages), match(swapped, passages), alike


def _texts_again(subject: Subject) -> NDArray[np.float64]:
    """Cosines of stored texts with themselves embedded again; none where there are no texts."""
    batch = subject.samples.get(Modality.TEXT)
    rows = [] if batch is None else [i for i, s in enumerate(batch.segments) if s.text]
    chosen = rows[:: max(1, len(rows) // _TEXTS)][:_TEXTS]
    signals = [str(batch.segments[i].text) for i in chosen] if batch is not None else []
    return _again(subject, Modality.TEXT, chosen, signals)


def _pictures_again(subject: Subject) -> NDArray[np.float64]:
    """The same for pictures whose files can still be read."""
    batch = subject.samples.get(Modality.IMAGE)
    if batch is None or subject.read is None:
        return _again(subject, Modality.IMAGE, [], [])
    whole = [i for i, segment in enumerate(batch.segments) if segment.span is None]
    tries = whole[:: max(1, len(whole) // _TRIES)][:_TRIES]
    queries = ((i, subject.read(batch.segments[i].asset_uri)) for i in tries)
    readable = (
        (i, query.signals[0])
        for i, query in queries
        if query is not None and query.modality is Modality.IMAGE
    )
    found = list(islice(readable, _PICTURES))
    return _again(subject, Modality.IMAGE, [i for i, _ in found], [s for _, s in found])


def _again(
    subject: Subject, modality: Modality, rows: Sequence[int], signals: Sequence[Signal]
) -> NDArray[np.float64]:
    """``(n,)`` the lower of the cosines in both spaces."""
    if not rows or modality not in subject.encoder.info.towers:
        return np.empty(0)
    stored = subject.samples[modality].embeddings
    now: Embeddings = subject.embed(modality, signals, role=Role.DOCUMENT)
    return np.minimum(
        _cosines(stored.shared[list(rows)], now.shared),
        _cosines(stored.tower[list(rows)], now.tower),
    )


def _cosines(a: Floats, b: Floats) -> NDArray[np.float64]:
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    lengths = np.sqrt(np.vecdot(a, a) * np.vecdot(b, b)).astype(np.float64)
    found: NDArray[np.float64] = np.vecdot(a, b) / np.maximum(lengths, 1e-12)
    return found
