"""What makes scores comparable: hub strengths and calibrations, one per pair of modalities."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from polyseek.core.types import AssetCounts, Floats, Modality, by_modality

Numbers: TypeAlias = "NDArray[np.floating]"
Pair: TypeAlias = "tuple[Modality, Modality]"
"""Modality of the query, modality of the segments."""

RRF_K = 60
"""Damping of the top ranks in reciprocal rank fusion.

Source: Cormack, Clarke, Buettcher: Reciprocal Rank Fusion, SIGIR 2009.
"""

FALSE_HITS = 0.1
"""Share of the queries without an answer that may find something in a modality all the same."""

ALL_WORDS = 0.5
"""Probability that a segment with every word of the query is relevant for that alone."""

GROWTH = 1.5
"""A collection that has grown by this factor since it was tuned should be tuned again."""


class Origin(StrEnum):
    """What a calibration was fitted on."""

    SHIPPED = "shipped"
    """Permissively licensed pairs, with the encoder."""

    COLLECTION = "collection"
    """The collection itself, without labels."""

    PAIRS = "pairs"
    """Pairs that the user gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Score of one pair of modalities -> probability of relevance.

    The corrected score of a segment is ``cosine - hub_strength * hub_bias``; the logarithm of the
    odds of relevance is ``intercept + slope * corrected + cohort_weight * cohort + size_weight *
    ln(rows)``. `cohort` says how well the query matches segments that belong to no collection: a
    query that matches everything a little needs a higher score.

    Attributes:
        hub_strength: Share of the hub bias that is subtracted; 0 for none.
        hub_mean: What a segment counts as whose hub bias is not known.
        intercept: Log-odds at zero.
        slope: Of the corrected score; positive, so that the order by score is kept.
        cohort_weight: Of the query's mean cosine with its nearest cohort members.
        size_weight: Of the logarithm of the number of segments searched: among more segments an
            irrelevant one reaches a high score by chance.
        match_probability: What the best hit must reach for the search to have found something:
            of the queries without an answer a share of `FALSE_HITS` gets there.
        curve: Points ``(log-odds, better log-odds)`` of an increasing line that the result is
            bent by, beyond its ends with slope 1; empty for none.
        origin: What it was fitted on.
    """

    hub_strength: float = 0.0
    hub_mean: float = 0.0
    intercept: float
    slope: float
    cohort_weight: float = 0.0
    size_weight: float = 0.0
    match_probability: float = 0.5
    curve: Sequence[tuple[float, float]] = ()
    origin: Origin

    def __post_init__(self) -> None:
        if not self.slope > 0:
            raise ValueError(f"a calibration's slope must be positive, got {self.slope}")
        if any(not (a[0] < b[0] and a[1] < b[1]) for a, b in pairwise(self.curve)):
            raise ValueError(f"a calibration's curve must increase, got {self.curve}")

    def log_odds(
        self, corrected: Numbers, *, cohort: float | Numbers, rows: float | Numbers
    ) -> Numbers:
        """``(n,)`` logarithms of the odds of relevance.

        Args:
            corrected: ``(n,)`` cosines minus the hub correction.
            cohort: How well the query matches the cohort; 0 without one.
            rows: Number of segments searched.
        """
        found: Numbers = (
            self.intercept
            + self.slope * corrected
            + self.cohort_weight * cohort
            + self.size_weight * np.log(rows)
        )
        return _bent(found, self.curve) if self.curve else found

    def probability(
        self, corrected: Numbers, *, cohort: float | Numbers, rows: float | Numbers
    ) -> Numbers:
        """``(n,)`` probabilities of relevance; arguments as for `log_odds`."""
        found: Numbers = 1 / (1 + np.exp(-self.log_odds(corrected, cohort=cohort, rows=rows)))
        return found

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form, which `read_calibration` reads."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class WordEvidence:
    """How much the words of a query add to the probability of a segment's embedding.

    Attributes:
        weight: Of a unit of BM25 in the logarithm of the odds, when all words are there.
        share_power: How fast evidence fades with the share of the words that are there.
    """

    weight: float = 0.5
    share_power: float = 2.0

    def added(self, probabilities: Numbers, scores: Numbers, shares: Numbers) -> Numbers:
        """``(n,)`` probabilities after what the words say; never lower.

        Args:
            probabilities: ``(n,)`` by the embeddings.
            scores: ``(n,)`` BM25; 0 where there are no words.
            shares: ``(n,)`` share of the query's words that are there.
        """
        odds = np.exp(np.minimum(self.weight * scores * shares**self.share_power, 50.0))
        added = probabilities * odds / (1 - probabilities + probabilities * odds)
        whole = np.where(shares == 1, ALL_WORDS, 0.0)
        after: Numbers = 1 - (1 - added) * (1 - whole)
        return np.where(scores > 0, after, probabilities)


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseEvidence:
    """How much a product of sparse vectors adds to the probability of a segment's embedding.

    The scale of products is the sparse encoder's own, so nothing holds without labels.

    Attributes:
        weight: Of a unit of the product in the logarithm of the odds, for the query's best.
        share_power: How fast evidence fades with the share of the best product of the query.
    """

    weight: float
    share_power: float

    def added(self, probabilities: Numbers, products: Numbers) -> Numbers:
        """``(n,)`` probabilities after what the products say; never lower.

        Args:
            probabilities: ``(n,)`` before.
            products: ``(n,)`` with the query's sparse vector; NaN where a segment has none, or
                shares no index with it: that is missing, not zero.
        """
        known = np.nan_to_num(products, nan=0.0)
        best = float(known.max(initial=0.0))
        if best <= 0:
            return probabilities
        shares = np.maximum(known, 0.0) / best
        odds = np.exp(np.minimum(self.weight * known * shares**self.share_power, 50.0))
        after: Numbers = probabilities * odds / (1 - probabilities + probabilities * odds)
        return np.where(known > 0, after, probabilities)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """Everything fitted that a search applies; kept with the collection.

    Attributes:
        calibrations: By pair; a pair without one has no probability.
        words: What the words of a query add.
        sparse: What its sparse vector adds; None where only ranks count.
        looked_once: Kinds whose best are not looked at twice for a query of their own kind, since
            labels say that it hurts.
        bank: The user's own bank of text queries; empty for the shipped one.
        fitted_assets: Number of assets by modality when it was fitted to the collection.
        adapted: By pair, which use of an adapter it was fitted to; a pair that is not there was
            not adapted.
        fitted_queries: Fingerprints of the labelled queries it was fitted or chosen with: figures
            that are measured with them flatter.
        notes: What was measured and refused while fitting, for people.
    """

    calibrations: Mapping[Pair, Calibration] = field(default_factory=dict)
    words: WordEvidence = WordEvidence()
    sparse: SparseEvidence | None = None
    looked_once: Sequence[Modality] = ()
    bank: Sequence[str] = ()
    fitted_assets: Mapping[Modality, int] = field(default_factory=dict)
    adapted: Mapping[Pair, str] = field(default_factory=dict)
    fitted_queries: Sequence[str] = ()
    notes: Sequence[str] = ()

    def key(self, pair: Pair) -> str:
        """Which use of an adapter this pair was fitted to; empty for none."""
        return self.adapted.get(pair, "")

    def to_json(self) -> str:
        """A text that `from_json` reads."""
        return json.dumps(
            {
                "calibrations": {
                    f"{query}-{target}": found.to_dict()
                    for (query, target), found in self.calibrations.items()
                },
                "words": asdict(self.words),
                "sparse": asdict(self.sparse) if self.sparse else None,
                "looked_once": list(self.looked_once),
                "bank": list(self.bank),
                "fitted_assets": dict(self.fitted_assets),
                "adapted": {
                    f"{query}-{target}": key for (query, target), key in self.adapted.items()
                },
                "fitted_queries": list(self.fitted_queries),
                "notes": list(self.notes),
            },
            sort_keys=True,
        )

    @classmethod
    def from_json(cls, text: str) -> Tuning:
        """The reverse of `to_json`.

        Raises:
            ValueError: The text is none of ours.
        """
        try:
            read = json.loads(text)
            return cls(
                calibrations={
                    _pair(name): read_calibration(found)
                    for name, found in read["calibrations"].items()
                },
                words=WordEvidence(**read.get("words", {})),
                sparse=SparseEvidence(**read["sparse"]) if read.get("sparse") else None,
                looked_once=tuple(Modality(name) for name in read.get("looked_once", ())),
                bank=tuple(read["bank"]),
                fitted_assets={Modality(name): n for name, n in read["fitted_assets"].items()},
                adapted={_pair(name): key for name, key in read.get("adapted", {}).items()},
                fitted_queries=tuple(read.get("fitted_queries", ())),
                notes=tuple(read["notes"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no tuning: {error!r}") from error


COHORT_NEIGHBOURS = 5


def cohort_match(queries: Floats, cohort: Floats) -> Floats:
    """Mean cosine of each query with its nearest cohort members.

    Args:
        queries: ``(q, dim)`` unit length.
        cohort: ``(n, dim)`` unit length; not empty.

    Returns:
        ``(q,)`` float32.

    Source: adaptive score normalisation, Matejka et al., Interspeech 2017.
    """
    cosines = queries @ cohort.T
    nearest = min(COHORT_NEIGHBOURS, cosines.shape[1])
    best = np.partition(cosines, cosines.shape[1] - nearest, axis=1)[:, -nearest:]
    match: Floats = best.mean(axis=1)
    return match


def outgrown(tuning: Tuning, counts: AssetCounts) -> dict[Modality, tuple[int, int]]:
    """Assets when it was tuned and now, of modalities that have grown too much since."""
    then = tuning.fitted_assets
    return {
        modality: (then.get(modality, 0), now)
        for modality, now in by_modality(counts).items()
        if now > GROWTH * then.get(modality, 0)
    }


def _pair(name: str) -> Pair:
    query, target = name.split("-")
    return Modality(query), Modality(target)


def read_calibration(read: Mapping[str, Any]) -> Calibration:
    """What `Calibration.to_dict` made."""
    curve = tuple((float(x), float(y)) for x, y in read.get("curve", ()))
    return Calibration(**{**read, "origin": Origin(read["origin"]), "curve": curve})


def _bent(log_odds: Numbers, curve: Sequence[tuple[float, float]]) -> Numbers:
    """Interpolated between the points of a curve, parallel to the diagonal beyond its ends."""
    x, y = np.array(curve).T
    inside = np.interp(log_odds, x, y)
    beyond = np.minimum(log_odds - x[0], 0) + np.maximum(log_odds - x[-1], 0)
    bent: Numbers = inside + beyond
    return bent
