"""Choose hub strength, calibration and the weight of words with labelled queries.

Three parts share no asset and no words: one to fit with, one to choose with, one to report on.
What is chosen replaces what ships only where it is no worse on the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from polyseek.core.metrics import ndcg_at, ranked_gains
from polyseek.core.tuning import (
    RRF_K,
    Calibration,
    Numbers,
    Origin,
    Pair,
    SparseEvidence,
    WordEvidence,
)
from polyseek.core.types import Floats, Modality
from polyseek.learn.calibration import Examples, examples, fit, refit, with_match
from polyseek.learn.isotonic import fit_curve
from polyseek.learn.splits import CHOOSE, FIT, HELD_OUT, Split
from polyseek.learn.tune import STRENGTHS, Fitted

MIN_PLATT = 200
"""Labelled queries from which a line is fitted to them."""

MIN_ISOTONIC = 1_000
"""Labelled queries from which that line may be bent."""

WEIGHTS = (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5)
SHARE_POWERS = (0.0, 1.0, 2.0, 3.0)
MIN_GAIN = 0.002
"""nDCG@10 that another hub strength or weight of words must add to be chosen."""

_BINS = 15


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LabelledPair:
    """Labelled queries of one pair of modalities, all in the space they are compared in.

    Attributes:
        pair: Modalities of the queries and of the segments.
        queries: ``(q, dim)`` unit length.
        rows: ``(n, dim)`` unit length: segments, among them all that are relevant.
        relevant: ``(q, n)`` bool.
        bias: ``(n,)`` stored hub bias; None where not all are known.
        cohort: ``(q,)`` match of each query with the cohort; None without one.
        split: Parts of the queries.
    """

    pair: Pair
    queries: Floats
    rows: Floats
    relevant: NDArray[np.bool_]
    bias: Floats | None
    cohort: Floats | None
    split: Split

    def examples(self, part: int, strength: float) -> Examples:
        """The best hits of a part's queries."""
        asked = self.split.rows(part)
        return examples(
            self.queries[asked],
            self.rows,
            relevant=self.relevant[asked].astype(np.float64),
            bias=self.bias if strength else None,
            strength=strength,
            cohort=None if self.cohort is None else self.cohort[asked],
        )

    def ndcg(self, part: int, strength: float) -> float:
        """Mean nDCG@10 of a part's queries."""
        asked = self.split.rows(part)
        scores = self.queries[asked] @ self.rows.T
        if self.bias is not None and strength:
            scores = scores - strength * self.bias
        gains = self.relevant[asked].astype(np.float64)
        return float(ndcg_at(ranked_gains(scores, gains, 10), gains, 10).mean())


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What a calibration is worth on a part of the queries.

    Attributes:
        ndcg: Mean nDCG@10, which only the hub strength decides.
        log_loss: Of the probabilities of the ten best hits; lower is better.
        error: Expected calibration error of the same.
    """

    ndcg: float
    log_loss: float
    error: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Answers:
    """What one query found by embeddings and words.

    Attributes:
        probabilities: ``(n,)`` by the embeddings.
        scores: ``(n,)`` BM25; 0 where there are none of its words.
        shares: ``(n,)`` share of its words that are there.
        products: ``(n,)`` with its sparse vector; NaN where there is none.
        gains: ``(n,)``.
        ideal: Gains of all that is relevant.
    """

    probabilities: Numbers
    scores: Numbers
    shares: Numbers
    products: Numbers
    gains: Numbers
    ideal: Numbers

    def ndcg(self, words: WordEvidence, sparse: SparseEvidence | None = None) -> float:
        """nDCG@10 when words and sparse vectors add this much."""
        found = words.added(self.probabilities, self.scores, self.shares)
        return self._ndcg(found if sparse is None else sparse.added(found, self.products))

    def ndcg_by_rank(self, words: WordEvidence) -> float:
        """nDCG@10 when the ranking by products is fused with that of all else by rank."""
        found = words.added(self.probabilities, self.scores, self.shares)
        own = 1 / (RRF_K + _ranks(found))
        total, known = 2 * own, ~np.isnan(self.products)  # what is missing counts as its own rank
        total[known] = own[known] + 1 / (RRF_K + _ranks(self.products[known]))
        return self._ndcg(total)

    def _ndcg(self, scores: Numbers) -> float:
        order = np.lexsort((self.gains, -scores))[:10]
        return float(ndcg_at(self.gains[order][None], self.ideal[None], 10)[0])


def fit_with_labels(
    data: LabelledPair, *, shipped: Calibration | None, unlabelled: Calibration | None
) -> Fitted:
    """The calibration of one pair; None in it where what ships stays.

    Args:
        data: Labelled queries.
        shipped: What the encoder brings; None for nothing.
        unlabelled: What was fitted to the collection without labels, if anything was.
    """
    count = int((data.split.part >= 0).sum())
    if count < MIN_PLATT:
        kept = "what was fitted without labels" if unlabelled else "what ships"
        return Fitted(
            calibration=unlabelled,
            note=f"{count} labelled queries, at least {MIN_PLATT} are needed: {kept} stays",
        )
    start = shipped.hub_strength if shipped else 0.0
    strength = _strength(data, start)
    candidates = _candidates(
        data, strength, shipped=shipped, usual=unlabelled or shipped, bend=count >= MIN_ISOTONIC
    )
    if unlabelled is not None:
        candidates["without labels"] = unlabelled
    if not candidates:
        return Fitted(calibration=unlabelled, note="labels and scores do not agree; nothing fitted")
    losses = {n: quality(data, CHOOSE, c).log_loss for n, c in candidates.items()}
    name = min(losses, key=lambda n: losses[n])
    chosen = candidates[name]
    after = quality(data, HELD_OUT, chosen)
    if shipped is None:
        return Fitted(calibration=chosen, note=f"{name}; {_figures(after)}")
    before = quality(data, HELD_OUT, shipped)
    if after.ndcg < before.ndcg or after.log_loss > before.log_loss:
        return Fitted(
            calibration=None,
            note=f"what ships stays: {name} is worse on held-out queries "
            f"({_figures(after)}; as shipped {_figures(before)})",
        )
    return Fitted(
        calibration=chosen,
        note=f"{name}, hub correction {chosen.hub_strength:g} (shipped: {start:g}), a match from "
        f"{chosen.match_probability:.0%}; on "
        f"{len(data.split.rows(HELD_OUT)):,} held-out queries {_figures(after)}; "
        f"as shipped {_figures(before)}",
    )


def in_proportion(
    calibrations: Mapping[Pair, Calibration], shipped: Mapping[Pair, Calibration]
) -> WordEvidence:
    """The weight at which words still count as much beside the embedding as they did before.

    Where labels make a unit of cosine worth less, a word is worth less by the same factor, so that
    hybrid search ranks as it does with what ships.
    """
    usual = WordEvidence()
    ratios = [
        own.slope / shipped[pair].slope
        for pair, own in calibrations.items()
        if own.origin is Origin.PAIRS and pair[0] is Modality.TEXT and pair in shipped
    ]
    return replace(usual, weight=usual.weight * float(np.mean(ratios))) if ratios else usual


def choose_words(
    answers: Mapping[int, Sequence[Answers]], *, now: WordEvidence
) -> tuple[WordEvidence, str]:
    """How much words shall add, and what was found, for people.

    Args:
        answers: Of the queries of `CHOOSE` and of `HELD_OUT`.
        now: What they add now, which stays where nothing else is better.
    """
    choose, held_out = answers[CHOOSE], answers[HELD_OUT]
    if len(choose) + len(held_out) < MIN_PLATT:
        return now, (
            f"words: {len(choose) + len(held_out)} labelled queries that do not stand in their "
            "answers are too few to weigh words by; they count as much beside embeddings as before"
        )
    grid = [WordEvidence(weight=w, share_power=p) for w in WEIGHTS for p in SHARE_POWERS]
    means = [_mean(choose, evidence) for evidence in grid]
    best = grid[int(np.argmax(means))]
    if max(means) < _mean(choose, now) + MIN_GAIN:
        return now, f"words: weight {now.weight:.3g} and power {now.share_power:g} stay the best"
    before, after = _mean(held_out, now), _mean(held_out, best)
    figures = f"nDCG@10 {before:.3f} -> {after:.3f} on {len(held_out):,} held-out queries"
    if after < before:
        return now, f"words: nothing changed, since what was chosen is worse: {figures}"
    return best, f"words: weight {best.weight:g}, power {best.share_power:g}: {figures}"


def quality(data: LabelledPair, part: int, found: Calibration) -> Quality:
    """What a calibration is worth on a part of the queries."""
    drawn = data.examples(part, found.hub_strength)
    p = np.clip(drawn.probability(found), 1e-6, 1 - 1e-6)
    loss = -np.where(drawn.relevant, np.log(p), np.log(1 - p)).mean()
    return Quality(
        ndcg=data.ndcg(part, found.hub_strength),
        log_loss=float(loss),
        error=calibration_error(p, drawn.relevant),
    )


def calibration_error(probabilities: Numbers, relevant: NDArray[np.bool_]) -> float:
    """Mean distance of probability and share of relevant ones, in bins of equally many.

    Source: Naeini, Cooper, Hauskrecht: Obtaining well calibrated probabilities, AAAI 2015.
    """
    order = np.argsort(probabilities, kind="stable")
    parts = np.array_split(order, min(_BINS, len(order)))
    gaps = [abs(probabilities[p].mean() - relevant[p].mean()) * len(p) for p in parts]
    return float(sum(gaps) / len(order))


def _strength(data: LabelledPair, start: float) -> float:
    """The hub strength that ranks best, the present one unless another is clearly better."""
    if data.bias is None:
        return start
    scores = {s: data.ndcg(CHOOSE, s) for s in {0.0, start, *STRENGTHS}}
    best = max(scores, key=lambda s: (scores[s], -abs(s - start)))
    return best if scores[best] >= scores[start] + MIN_GAIN else start


def _candidates(
    data: LabelledPair,
    strength: float,
    *,
    shipped: Calibration | None,
    usual: Calibration | None,
    bend: bool,
) -> dict[str, Calibration]:
    """Calibrations fitted on the labels, by what people call them."""
    drawn = data.examples(FIT, strength)
    try:
        line = (
            refit(drawn, shipped, strength=strength, origin=Origin.PAIRS)
            if shipped
            else fit(drawn, strength=strength, origin=Origin.PAIRS)
        )
    except ValueError:  # the labels contradict the scores
        return {}
    found = {"a line fitted to labels (Platt)": line}
    if bend:
        curve = fit_curve(line.log_odds(drawn.corrected, cohort=drawn.cohort, rows=drawn.rows),
                          drawn.relevant)  # fmt: skip
        if curve:
            found["a curve fitted to labels (isotonic)"] = replace(line, curve=curve)
    if usual is None:
        return {name: with_match(one, drawn) for name, one in found.items()}
    # Labels know of no query without an answer: as many as before find something.
    share = _found(usual, data.examples(FIT, usual.hub_strength))
    return {name: _finding(share, one, drawn) for name, one in found.items()}


def _found(calibration: Calibration, drawn: Examples) -> float:
    """Share of the queries that find something."""
    best = drawn.probability(calibration)[drawn.rank == 0]
    return float((best >= calibration.match_probability).mean())


def _finding(share: float, calibration: Calibration, drawn: Examples) -> Calibration:
    """The same, so that this share of the queries finds something."""
    best = drawn.probability(calibration)[drawn.rank == 0]
    least = float(np.quantile(best, 1 - share, method="lower"))
    return replace(calibration, match_probability=float(np.clip(least, 0.001, 0.95)))


def _ranks(scores: Numbers) -> Numbers:
    """From 1, the best first."""
    ranks: Numbers = np.empty(len(scores))
    ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
    return ranks


def _mean(answers: Sequence[Answers], evidence: WordEvidence) -> float:
    return float(np.mean([one.ndcg(evidence) for one in answers])) if answers else 0.0


def _figures(found: Quality) -> str:
    return f"nDCG@10 {found.ndcg:.3f}, calibration error {found.error:.3f}"
