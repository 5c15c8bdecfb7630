"""The modality gap: how far modalities lie apart, and what it does to mixed lists."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from polyseek.core.types import Embeddings, Floats, Modality
from polyseek.evaluate.diagnosis import Chart, Check, Figure, Verdict
from polyseek.evaluate.subject import MIN_SEGMENTS, Subject, some, vectors

TOP = 10
QUERIES, QUERIES_IF_LARGE = 100, 20
"""Asked of a sample that is everything, and of the store, where each may scan all segments."""

UNSEEN = 0.05
"""A modality with this share of the segments should turn up among the first hits now and then."""

_SIDE = 500
_FOLDS = 5
_RIDGE = 1e-2


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """How two sets of vectors lie to each other.

    Attributes:
        distance: Between their centroids; unit vectors, so 0 to 2.
        relative: The same over the mean distance of vectors from their own centroid; above 1 the
            sets are further apart than they are wide. None when both are points.
        separability: Share that a linear classifier tells apart in cross-validation, each set
            counting the same: .5 when they are mixed, 1 when a plane divides them.
    """

    distance: float
    relative: float | None
    separability: float


def gap(a: Floats, b: Floats) -> Gap:
    """Measure two sets of unit vectors, ``(n, dim)`` and ``(m, dim)``.

    Source: Liang et al., Mind the Gap, NeurIPS 2022 (centroid distance, linear separability).
    """
    means = a.mean(axis=0), b.mean(axis=0)
    distance = float(np.linalg.norm(means[0] - means[1]))
    widths = [
        np.linalg.norm(side - mean, axis=1).mean() for side, mean in zip((a, b), means, strict=True)
    ]
    width = float(np.mean(widths))
    return Gap(
        distance=distance,
        relative=distance / width if width > 1e-6 else None,
        separability=separability(a, b),
    )


def separability(a: Floats, b: Floats) -> float:
    """Balanced accuracy of a ridge classifier in cross-validation; needs two rows on each side."""
    rows = np.concatenate([a, b]).astype(np.float64)
    target = np.concatenate([np.ones(len(a)), -np.ones(len(b))])
    fold = np.concatenate([np.arange(len(a)), np.arange(len(b))]) % _FOLDS
    fold = np.where(fold < min(_FOLDS, len(a), len(b)), fold, 0)
    predicted = np.zeros(len(rows))
    for held_out in np.unique(fold):
        train = fold != held_out
        predicted[~train] = _ridge(rows[train], target[train], rows[~train])
    # A vector on the plane is told apart half of the time.
    right = (np.sign(predicted.round(9)) * target + 1) / 2
    return float((right[target > 0].mean() + right[target < 0].mean()) / 2)


def check_gap(subject: Subject) -> Check:
    """How far modalities lie apart, and who gets the first places of a mixed list."""
    figures: dict[str, Figure] = {"pairs": _pairs(subject)}
    searchable = [m for m in subject.samples if subject.rows[m]]
    if len(searchable) < 2:
        few = "one modality only, so there is nothing to mix"
        return _quiet(few if searchable else "no segments to look at", figures)
    if subject.bank is None:
        return _quiet("the encoder reads no text, so there is nothing to ask", figures)
    shares, answered = _shares(
        subject, some(subject.bank, QUERIES if subject.complete else QUERIES_IF_LARGE)
    )
    figures["share_of_first_hits"] = {
        str(modality): {name: round(float(share[i]), 4) for name, share in shares.items()}
        for i, modality in enumerate(searchable)
    }
    figures["queries_answered"] = answered
    unseen = [
        modality
        for i, modality in enumerate(searchable)
        if shares["segments"][i] >= UNSEEN
        and subject.rows[modality] >= MIN_SEGMENTS
        and not shares["now"][i]
    ]
    return Check(
        name="gap",
        verdict=Verdict.WARNING if unseen else Verdict.OK,
        summary=f"no query of the bank finds {' or '.join(unseen)} among its first {TOP} hits"
        if unseen
        else f"every modality gets among the first {TOP} hits of a mixed list",
        notes=[*_notes(figures), *_in_words(searchable, shares, answered)],
        figures=figures,
        charts=[_chart(searchable, shares)],
        advice=_ADVICE if unseen else "",
    )


_SERIES = {"segments": "of the segments", "cosine": "by cosine", "now": "as searched now"}
_ADVICE = (
    "run 'polyseek tune', with --bank and queries like yours; where the shipped bank asks for "
    "nothing of the kind, ask for the modality alone (--modality)"
)


def _chart(targets: Sequence[Modality], shares: Mapping[str, NDArray[np.float64]]) -> Chart:
    return Chart(
        title=f"share of each modality in the first {TOP} hits of text queries",
        labels=[str(modality) for modality in targets],
        series={
            _SERIES[name]: [round(float(value), 4) for value in share]
            for name, share in shares.items()
        },
    )


def _quiet(why: str, figures: Mapping[str, Figure]) -> Check:
    return Check(
        name="gap", verdict=Verdict.OK, summary=why, notes=_notes(figures), figures=figures
    )


def _pairs(subject: Subject) -> dict[str, Figure]:
    """The gap of every two of: text queries, and the segments of each modality."""
    sides: dict[str, Embeddings] = {} if subject.bank is None else {"queries": subject.bank}
    sides.update({str(m): batch.embeddings for m, batch in subject.samples.items()})
    large = {name: rows for name, rows in sides.items() if len(rows) >= MIN_SEGMENTS}
    found: dict[str, Figure] = {}
    for (a, left), (b, right) in combinations(large.items(), 2):
        measured = gap(
            np.nan_to_num(some(left, _SIDE).shared), np.nan_to_num(some(right, _SIDE).shared)
        )
        found[f"{a}-{b}"] = {
            "centroid_distance": round(measured.distance, 3),
            "relative_gap": None if measured.relative is None else round(measured.relative, 2),
            "linear_separability": round(measured.separability, 3),
        }
    return found


def _shares(
    subject: Subject, queries: Embeddings
) -> tuple[dict[str, NDArray[np.float64]], float | None]:
    """Share of each modality: of all segments, by plain cosine, and as a search ranks now.

    And the share of the queries whose best hit is probable enough to be shown as an answer.
    """
    targets = list(subject.samples)
    before, after = np.zeros(len(targets)), np.zeros(len(targets))
    answered: list[bool] = []
    for i in range(len(queries)):
        one = queries.take(slice(i, i + 1))
        cosines, current = _scores(subject, targets, one)
        answered += _answered(subject, targets, current)
        before += _places(cosines)
        after += _places(current)
    rows = np.array([subject.rows[target] for target in targets], np.float64)
    return {
        "segments": rows / rows.sum(),
        "cosine": before / max(before.sum(), 1),
        "now": after / max(after.sum(), 1),
    }, round(float(np.mean(answered)), 3) if answered else None


def _scores(
    subject: Subject, targets: Sequence[Modality], query: Embeddings
) -> tuple[list[Sequence[float]], list[Sequence[float]]]:
    """The best segments' scores of each target: cosines, and what a search orders them by."""
    cosines: list[Sequence[float]] = []
    probable: list[Sequence[float]] = []
    for target in targets:
        pair = Modality.TEXT, target
        vector = vectors(pair, query)[0]
        plain = subject.nearest(pair, vector, limit=TOP, hub=None)
        hub = subject.scale.hub(pair)
        found = plain if hub is None else subject.nearest(pair, vector, limit=TOP, hub=hub)
        probabilities = subject.scale.probabilities(pair, vector, found)
        cosines.append([hit.score for hit in plain.hits])
        probable.append([] if probabilities is None else probabilities.tolist())
    if any(c and not p for c, p in zip(cosines, probable, strict=True)):
        # Without probabilities a search takes turns between modalities.
        probable = [[-float(rank) for rank in range(len(found))] for found in cosines]
    return cosines, probable


def _answered(
    subject: Subject, targets: Sequence[Modality], scores: Sequence[Sequence[float]]
) -> list[bool]:
    """Whether one query has found something; nothing where no probabilities are known."""
    known = [subject.scale.calibration((Modality.TEXT, target)) for target in targets]
    if not all(known):
        return []
    pairs = zip(known, scores, strict=True)
    return [any(c is not None and s and s[0] >= c.match_probability for c, s in pairs)]


def _places(scores: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """How many of the first places each list gets."""
    owner = np.repeat(np.arange(len(scores)), [len(found) for found in scores])
    joined = np.array([score for found in scores for score in found])
    best = owner[np.argsort(-joined, kind="stable")[:TOP]]
    return np.bincount(best, minlength=len(scores)).astype(np.float64)


def _ridge(
    rows: NDArray[np.float64], target: NDArray[np.float64], asked: NDArray[np.float64]
) -> NDArray[np.float64]:
    weight = np.where(target > 0, 0.5 / (target > 0).sum(), 0.5 / (target < 0).sum())
    mean = weight @ rows
    centred = rows - mean
    spread = (centred * weight[:, None]).T @ centred
    spread += (_RIDGE * np.trace(spread) / len(spread) + 1e-12) * np.eye(len(spread))
    found: NDArray[np.float64] = (asked - mean) @ np.linalg.solve(
        spread, (centred * weight[:, None]).T @ target
    )
    return found


def _notes(figures: Mapping[str, Figure]) -> list[str]:
    pairs = figures["pairs"]
    assert isinstance(pairs, Mapping)  # noqa: S101 - made above
    return [
        f"{name}: "
        + ", ".join(f"{_said(what)} {value}" for what, value in found.items() if value is not None)
        for name, found in pairs.items()
        if isinstance(found, Mapping)
    ]


def _said(name: str) -> str:
    return name.replace("_", " ")


def _in_words(
    targets: Sequence[Modality],
    shares: Mapping[str, NDArray[np.float64]],
    answered: float | None,
) -> list[str]:
    parts = [
        f"{target} {shares['cosine'][i]:.0%} by cosine, {shares['now'][i]:.0%} now "
        f"({shares['segments'][i]:.0%} of the segments)"
        for i, target in enumerate(targets)
    ]
    said = [f"first {TOP} hits: {'; '.join(parts)}"]
    return said if answered is None else [*said, f"{answered:.0%} of the queries find something"]
