"""Choose, with labelled queries, how much a product of sparse vectors proves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from polyseek.core.tuning import SparseEvidence, WordEvidence
from polyseek.learn.labelled import MIN_GAIN, MIN_PLATT, Answers
from polyseek.learn.splits import CHOOSE, HELD_OUT

ODDS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 9.0)
"""Logarithms of the odds that the best product of a usual query may add."""

SHARE_POWERS = (0.0, 1.0, 2.0, 4.0)
WORDS = (0.0, 0.5, 1.0)
"""Shares of their weight that words may keep: both speak of the same texts."""


def choose_sparse(
    answers: Mapping[int, Sequence[Answers]], *, words: WordEvidence
) -> tuple[SparseEvidence | None, WordEvidence, str]:
    """What sparse vectors and words shall add, and what was found, for people.

    Args:
        answers: Of the queries of `CHOOSE` and of `HELD_OUT`, with their products.
        words: What words add without sparse vectors.

    Returns:
        Evidence of sparse vectors, None where rankings had better be fused by rank, as without
        labels; what words add beside them; what was found.
    """
    choose, held_out = answers[CHOOSE], answers[HELD_OUT]
    unit, count = _unit(choose), len(choose) + len(held_out)
    if unit is None or count < MIN_PLATT:
        note = (
            f"sparse vectors: fused by rank, since {count} labelled queries are too few to weigh "
            "them by"
            if unit
            else "sparse vectors: fused by rank, since no labelled query finds anything by them"
        )
        return None, words, note
    grid = [
        (SparseEvidence(weight=odds / unit, share_power=power), replace(words, weight=weight))
        for odds in ODDS
        for power in (SHARE_POWERS if odds else (0.0,))
        for weight in (share * words.weight for share in WORDS)
    ]
    means = [_mean(choose, sparse, spoken) for sparse, spoken in grid]
    sparse, spoken = grid[int(np.argmax(means))]
    before, after = _mean(held_out, None, words), _mean(held_out, sparse, spoken)
    ranked = float(np.mean([one.ndcg_by_rank(words) for one in held_out]))
    figures = (
        f"nDCG@10 {after:.3f} on {len(held_out):,} held-out queries ({before:.3f} without them, "
        f"{ranked:.3f} fused by rank)"
    )
    if after < max(before, ranked) - MIN_GAIN:
        return None, words, f"sparse vectors: fused by rank, for nothing better holds: {figures}"
    chosen = (
        f"sparse vectors: weight {sparse.weight:.3g}, power {sparse.share_power:g}, words "
        f"{spoken.weight:.3g}: {figures}"
    )
    return sparse, spoken, chosen


def _unit(answers: Sequence[Answers]) -> float | None:
    """The median of the best product of each query that finds anything."""
    best = [float(np.nanmax(one.products)) for one in answers if not np.isnan(one.products).all()]
    middle = float(np.median(best)) if best else 0.0
    return middle if middle > 0 else None


def _mean(answers: Sequence[Answers], sparse: SparseEvidence | None, words: WordEvidence) -> float:
    return float(np.mean([one.ndcg(words, sparse) for one in answers])) if answers else 0.0
