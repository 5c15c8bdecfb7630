"""Whether an encoder's towers share a space, and whether stored vectors are still its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyseek.core.types import Floats, Modality, Role, Signal
from polyseek.evaluate.diagnosis import Check, Figure, Verdict, worst
from polyseek.evaluate.probes import probes_of
from polyseek.evaluate.subject import Subject

CHANCE = 0.002
"""Above this probability of a match as good by chance, two towers share no space."""

WEAK = 0.65
"""Share of wrong probes that score below the right one (.5 by chance) that a tower should reach."""

SAME, RELATED = 0.995, 0.95
"""Median cosine of stored vectors with the same texts embedded again: from the first on they are
the same (another processor rounds otherwise), below the second they are plainly not."""

ROLE_LOSS = 0.05
NORM_TOLERANCE = 0.01
_SHUFFLES = 2_000
_TEXT_ADVICE = (
    "a prefix, an instruction or preprocessing is missing or has changed: compare with the model's "
    "card, then index into a new collection"
)
_RE_EMBEDDED = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """How well names and what they name find each other.

    Attributes:
        above: Mean share of the wrong ones that score below the right one; .5 by chance.
        first: Share of the names whose own comes first.
        chance: Probability of such a match if names were dealt out at random.
    """

    above: float
    first: float
    chance: float


def match(names: Floats, things: Floats) -> Match:
    """Compare n names with n things; row i of both belongs together.

    Each side's mean is taken out, so a gap between modalities does not count.
    """
    scores = names.astype(np.float64) @ things.T.astype(np.float64)
    scores = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    right, n = np.diag(scores)[:, None], len(scores)
    ahead = np.concatenate([right - scores, right - scores.T])
    below, ties = (ahead > 1e-9).sum() / 2, (np.abs(ahead) <= 1e-9).sum() / 2
    rng = np.random.default_rng(0)
    shuffled = np.array([scores[np.arange(n), rng.permutation(n)].mean() for _ in range(_SHUFFLES)])
    return Match(
        above=float((below + (ties - n) / 2) / (n * (n - 1))),
        first=float(((scores > right - 1e-9).sum(axis=1) == 1).mean()),
        chance=float(((shuffled >= right.mean() - 1e-9).sum() + 1) / (_SHUFFLES + 1)),
    )


def check_towers(subject: Subject) -> Check:
    """Whether drawn pictures, made sounds and passages are found by the texts that name them."""
    towers = subject.encoder.info.towers
    if Modality.TEXT not in towers:
        return _skipped("towers", "the encoder reads no text, so there is nothing to name probes")
    wanted = [m for m in Modality if m in towers and (m in subject.samples or not subject.samples)]
    verdicts, notes = [], []
    figures: dict[str, Figure] = {}
    for modality in wanted:
        found, norms = _round_trip(subject, modality)
        verdict = _verdict(found, norms)
        verdicts.append(verdict)
        figures[f"text-{modality}"] = {
            "probes_above": round(found.above, 3),
            "found_first": round(found.first, 3),
            "by_chance": round(found.chance, 4),
            "length_error": None if norms is None else round(norms, 4),
        }
        notes.append(
            f"text -> {modality}: the right probe beats {found.above:.0%} of the wrong ones, "
            f"{found.first:.0%} come first" + _complaint(found, norms)
        )
    verdict = worst(verdicts)
    return Check(
        name="towers",
        verdict=verdict,
        summary={
            Verdict.OK: "probes and their names find each other",
            Verdict.WARNING: "probes and their names find each other poorly",
            Verdict.FAILURE: "towers share no space, or their embeddings are no unit vectors",
        }[verdict]
        if verdicts
        else "no tower to try",
        notes=notes,
        figures=figures,
        advice=""
        if verdict is Verdict.OK
        else "check that all towers are of one model, with its preprocessing and projections",
    )


def check_stored(subject: Subject) -> Check:
    """Whether the encoder still makes of a text what was stored, and treats queries aright."""
    tower = subject.encoder.info.towers.get(Modality.TEXT)
    if tower is None:
        return _skipped("prefix", "the encoder reads no text")
    findings: list[tuple[Verdict, str]] = []
    asked, swapped, alike = _roles(subject)
    figures: dict[str, Figure] = {
        "roles": {
            "sides_alike": alike,
            "probes_above": round(asked.above, 3),
            "probes_above_as_passages": round(swapped.above, 3),
        }
    }
    if swapped.above > asked.above + ROLE_LOSS:
        said = (
            f"texts find their passages better when embedded as passages ({swapped.above:.0%}) "
            f"than as queries ({asked.above:.0%})"
        )
        findings.append((Verdict.WARNING, said))
    same = _again(subject)
    if same is not None:
        figures["stored"] = {
            "texts": len(same),
            "median_cosine": round(float(np.median(same)), 4),
            "lowest_cosine": round(float(same.min()), 4),
        }
        findings += _changed(same)
    return Check(
        name="prefix",
        verdict=worst(verdict for verdict, _ in findings),
        summary=_texts_in_words(found=bool(findings), compared=same is not None),
        notes=[said for _, said in findings],
        figures=figures,
        advice=_TEXT_ADVICE if findings else "",
    )


def _changed(same: NDArray[np.float64]) -> list[tuple[Verdict, str]]:
    median = float(np.median(same))
    if median >= SAME:
        return []
    said = (
        f"{len(same)} stored texts were embedded again: their median cosine with what is stored is "
        f"{median:.3f}, not 1"
    )
    return [(Verdict.FAILURE if median < RELATED else Verdict.WARNING, said)]


def _texts_in_words(*, found: bool, compared: bool) -> str:
    if found:
        return "texts are not embedded as they should be"
    if compared:
        return "stored texts are what the encoder makes of them now"
    return "queries find their passages; no texts are stored to compare with"


def _skipped(name: str, why: str) -> Check:
    return Check(name=name, verdict=Verdict.OK, summary=f"not looked at: {why}")


def _round_trip(subject: Subject, modality: Modality) -> tuple[Match, float | None]:
    probes = probes_of(modality)
    names = subject.embed(Modality.TEXT, list(probes), role=Role.QUERY)
    things = subject.embed(modality, list(probes.values()), role=Role.DOCUMENT)
    lengths = [
        np.sqrt(np.vecdot(rows, rows))
        for rows in (names.shared, names.tower, things.shared, things.tower)
    ]
    off = float(np.abs(np.concatenate(lengths) - 1).max())
    if not np.isfinite(off) or names.shared.shape != things.shared.shape:
        return Match(above=0.5, first=0.0, chance=1.0), None
    if modality is Modality.TEXT:
        return match(names.tower, things.tower), off
    return match(names.shared, things.shared), off


def _verdict(found: Match, norms: float | None) -> Verdict:
    if found.chance > CHANCE or norms is None or norms > NORM_TOLERANCE:
        return Verdict.FAILURE
    return Verdict.OK if found.above >= WEAK else Verdict.WARNING


def _complaint(found: Match, norms: float | None) -> str:
    if norms is None:
        return "; embeddings are not finite, or not of one length"
    wrong = "; no better than chance" if found.chance > CHANCE else ""
    return wrong + ("; embeddings are not of unit length" if norms > NORM_TOLERANCE else "")


def _roles(subject: Subject) -> tuple[Match, Match, bool]:
    probes = probes_of(Modality.TEXT)
    names = list(probes)
    asked = subject.embed(Modality.TEXT, names, role=Role.QUERY).tower
    swapped = subject.embed(Modality.TEXT, names, role=Role.DOCUMENT).tower
    passages = subject.embed(Modality.TEXT, list(probes.values()), role=Role.DOCUMENT).tower
    both = [match(np.nan_to_num(side), np.nan_to_num(passages)) for side in (asked, swapped)]
    return both[0], both[1], bool(np.allclose(asked, swapped, atol=1e-3))


def _again(subject: Subject) -> NDArray[np.float64] | None:
    """Cosines of stored texts with themselves embedded again; None when there are no texts."""
    batch = subject.samples.get(Modality.TEXT)
    rows = [] if batch is None else [i for i, s in enumerate(batch.segments) if s.text]
    if batch is None or not rows:
        return None
    chosen = rows[:: max(1, len(rows) // _RE_EMBEDDED)][:_RE_EMBEDDED]
    texts: Sequence[Signal] = [str(batch.segments[i].text) for i in chosen]
    now = subject.embed(Modality.TEXT, texts, role=Role.DOCUMENT)
    return np.minimum(
        _cosines(batch.embeddings.shared[chosen], now.shared),
        _cosines(batch.embeddings.tower[chosen], now.tower),
    )


def _cosines(a: Floats, b: Floats) -> NDArray[np.float64]:
    a, b = np.nan_to_num(a), np.nan_to_num(b)
    lengths = np.sqrt(np.vecdot(a, a) * np.vecdot(b, b)).astype(np.float64)
    found: NDArray[np.float64] = np.vecdot(a, b) / np.maximum(lengths, 1e-12)
    return found
