"""Whether an encoder's towers share a space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyseek.core.errors import ConfigError
from polyseek.core.types import Floats, Modality, Role
from polyseek.evaluate.diagnosis import Check, Figure, Verdict, worst
from polyseek.evaluate.probes import probes_of
from polyseek.evaluate.subject import Subject

CHANCE = 0.002
"""Above this probability of a match as good by chance, two towers share no space."""

WEAK = 0.65
"""Share of wrong probes that score below the right one (.5 by chance) that a tower should reach."""

NORM_TOLERANCE = 0.01
_SHUFFLES = 2_000


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
        return Check(
            name="towers",
            verdict=Verdict.OK,
            summary="not looked at: the encoder reads no text, so there is nothing to name probes",
        )
    wanted = [
        m
        for m in Modality
        if m in towers and (m in subject.samples or not subject.samples) and probes_of(m)
    ]
    verdicts, notes = [], []
    figures: dict[str, Figure] = {}
    for reader in subject.encoder.info.readers:
        try:
            reader.ready()
        except ConfigError as error:
            return Check(
                name="towers",
                verdict=Verdict.FAILURE,
                summary=f"{reader.modality} files cannot be read: their tower is not there",
                notes=[str(error)],
                advice="bring the tower back, or forget its files: polyseek adapters remove NAME",
            )
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
