"""Several terms, one ranking: their evidence is pooled, never their vectors.

Cosines of different pairs of modalities have different scales, so every term first becomes the
logarithm of its odds of relevance. Wanted terms are pooled by their weighted mean (a logarithmic
opinion pool, so the result is on the scale of a single term) or, for "any of these", by their
maximum. An unwanted one counts only against candidates that stand out as what it describes: most of
what is wanted has nothing to do with it, and stays in the order it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from polyseek.core.hits import Candidates, Composition, Hit, TermEvidence
from polyseek.core.tuning import Numbers, Pair
from polyseek.core.types import Embeddings, Floats, Modality, SegmentBatch, Space
from polyseek.search.calibrate import Calibrator
from polyseek.search.hybrid import add_evidence

STANDS_OUT = 0.5
"""Standard deviations above the candidates' mean from which on an unwanted term counts; it counts
against what it would itself have found in any case."""

_SURE = 1e-9  # probabilities are kept this far from 0 and 1, so that log-odds stay finite


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Pool:
    """One target modality's hits for all terms together, best first.

    Attributes:
        hits: With the `evidence` of every term.
        probabilities: ``(n,)`` pooled; None where a term was never calibrated.
        least: What the best must reach to be a match: the wanted terms' own, pooled.
    """

    hits: Sequence[Hit]
    probabilities: Numbers | None
    least: float | None


def pool(
    query: Composition,
    embeddings: Sequence[Embeddings],
    hits: Sequence[Hit],
    stored: Sequence[SegmentBatch],
    calibrator: Calibrator,
    *,
    spoken: Sequence[Sequence[Hit]],
    rows: int,
) -> Pool:
    """Rank the candidates of all wanted terms by all terms.

    Args:
        query: Terms and weights.
        embeddings: Of each term.
        hits: The union of what the wanted terms found, all of one modality; at least one.
        stored: Segments that hold every hit, with embeddings.
        calibrator: Turns each term's scores into probabilities.
        spoken: What each term found, with what its words say of it; nothing for unwanted ones.
        rows: Segments that were eligible.
    """
    scored: list[list[Hit]] = []
    found: list[Numbers | None] = []
    for term, vectors, said in zip(query.terms, embeddings, spoken, strict=True):
        pair = term.query.modality, hits[0].modality
        vector, space = compared(vectors, pair)
        asked = with_words(hits, said)
        scored.append(rescored(asked, stored, vector=vector, space=space, query=pair[0]))
        by_vectors = calibrator.probabilities(
            pair, vector, Candidates(hits=scored[-1], tier="", rows=rows)
        )
        found.append(
            None
            if by_vectors is None
            else add_evidence(by_vectors, scored[-1], calibrator.words, calibrator.sparse)
        )
    known = [p for p in found if p is not None]
    if len(known) == len(found):
        evidence = np.stack([log_odds(p) for p in known])
        thresholds = log_odds(match_probabilities(query, hits[0].modality, calibrator))
    else:
        evidence = np.stack([standardised(_scores(one)) for one in scored])
        thresholds = np.full(len(scored), np.inf)
    total = pooled(query, evidence, thresholds)
    order = sorted(range(len(hits)), key=lambda i: (-total[i], hits[i].id))
    ranked = [_with_evidence(query, scored, found, i) for i in order]
    if len(known) < len(found):
        return Pool(hits=ranked, probabilities=None, least=None)
    least = pooled(query, thresholds[:, None], thresholds)
    return Pool(
        hits=ranked, probabilities=probability(total[order]), least=float(probability(least)[0])
    )


def compared(embeddings: Embeddings, pair: Pair) -> tuple[Floats, Space]:
    """The row of a query that its own kind, or another, is compared with, and in which space."""
    own = pair[0] is pair[1] and embeddings.tower.size > 0
    return embeddings.compared(pair)[0], Space.TOWER if own else Space.SHARED


def rescored(
    hits: Sequence[Hit],
    batches: Sequence[SegmentBatch],
    *,
    vector: Floats,
    space: Space,
    query: Modality,
) -> list[Hit]:
    """The same hits, in the same order, with their exact cosine with one term.

    Args:
        hits: All of one modality.
        batches: Stored segments that hold every hit.
        vector: ``(dim,)`` the term, unit length.
        space: Which of their embeddings is compared.
        query: Modality of the term, which decides the hub bias.
    """
    found: dict[str, tuple[float, float | None]] = {}
    for batch in batches:
        if not hits or batch.modality is not hits[0].modality:
            continue
        rows = batch.embeddings.tower if space is Space.TOWER else batch.embeddings.shared
        biases = batch.hub_bias.get(query, np.full(len(batch), np.nan, np.float32))
        for segment, row, bias in zip(batch.segments, rows, biases, strict=True):
            known = None if np.isnan(bias) else float(bias)
            found[segment.id] = float(np.vecdot(row, vector)), known
    return [replace(hit, score=found[hit.id][0], hub_bias=found[hit.id][1]) for hit in hits]


def with_words(hits: Sequence[Hit], said: Sequence[Hit]) -> list[Hit]:
    """The hits with what one term's words and sparse vector say of each, and no other term's."""
    by_id = {hit.id: hit for hit in said}
    return [
        replace(
            hit,
            text_score=by_id[hit.id].text_score if hit.id in by_id else None,
            text_share=by_id[hit.id].text_share if hit.id in by_id else None,
            sparse_score=by_id[hit.id].sparse_score if hit.id in by_id else None,
        )
        for hit in hits
    ]


def pooled(query: Composition, evidence: Numbers, thresholds: Numbers) -> Numbers:
    """``(n,)`` evidence of the whole composition.

    Args:
        query: Terms and weights.
        evidence: ``(terms, n)`` logarithms of odds, or standardised scores.
        thresholds: ``(terms,)`` from where on each term has found something, on the same scale.
    """
    weights = np.array([term.weight for term in query.terms])
    wanted = weights > 0
    shares = weights[wanted] / weights[wanted].sum()
    # Of "any", a term of half the weight needs twice the odds.
    handicaps = np.log(weights[wanted] / weights[wanted].max())[:, None]
    total: Numbers = (
        (evidence[wanted] + handicaps).max(axis=0) if query.any else shares @ evidence[wanted]
    )
    against = evidence[~wanted]
    usual = against.mean(axis=1) + STANDS_OUT * against.std(axis=1)
    excess = np.maximum(0, against - np.minimum(usual, thresholds[~wanted])[:, None])
    total += weights[~wanted] @ excess
    return total


def log_odds(probabilities: Numbers) -> Numbers:
    """Logarithms of the odds, finite also at 0 and 1."""
    clipped = np.clip(probabilities.astype(np.float64), _SURE, 1 - _SURE)
    odds: Numbers = np.log(clipped / (1 - clipped))
    return odds


def probability(odds: Numbers) -> Numbers:
    """The reverse of `log_odds`."""
    found: Numbers = 1 / (1 + np.exp(-odds))
    return found


def standardised(scores: Numbers) -> Numbers:
    """Zero mean and unit deviation: what stands in for log-odds where nothing was calibrated."""
    deviation = float(scores.std()) or 1.0
    found: Numbers = (scores - scores.mean()) / deviation
    return found


def match_probabilities(query: Composition, target: Modality, calibrator: Calibrator) -> Numbers:
    """``(terms,)`` probability from which each term alone has found something."""
    calibrations = [calibrator.calibration((t.query.modality, target)) for t in query.terms]
    return np.array([c.match_probability if c else 0.5 for c in calibrations])


def _scores(hits: Sequence[Hit]) -> Numbers:
    return np.array([hit.score for hit in hits])


def _with_evidence(
    query: Composition, scored: Sequence[Sequence[Hit]], found: Sequence[Numbers | None], i: int
) -> Hit:
    """Hit i as the first wanted term scored it, with what every term says."""
    first = query.first
    evidence = tuple(
        TermEvidence(
            term=term.query.label,
            weight=term.weight,
            score=hits[i].score,
            probability=None if known is None else float(known[i]),
        )
        for term, hits, known in zip(query.terms, scored, found, strict=True)
    )
    return replace(scored[first][i], evidence=evidence)
