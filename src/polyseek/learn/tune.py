"""Fit hub corrections and calibrations to a collection, without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyseek.core.adapting import Adapters
from polyseek.core.defaults import Defaults, shipped_adapters
from polyseek.core.protocols import Store
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.tuning import Calibration, Origin, Pair, Tuning, cohort_match
from polyseek.core.types import Embeddings, Floats, Modality, by_modality
from polyseek.learn.calibration import Examples, examples, fit, refit, separation, with_match
from polyseek.learn.hub import hub_bias

STRENGTHS = (0.25, 0.5, 0.75)
MIN_GAIN = 0.01
"""Recall of pseudo-queries that a hub correction must add to be used."""

MIN_ROWS = 50
MIN_POSITIVES = 25
"""Fewer pseudo-positives say too little; the shipped calibration stays."""

MIN_SEPARATION = 0.75
"""Pseudo-positives that score no better than the rest (area under the curve) teach nothing."""

SAMPLE = 10_000
QUERIES = 3_000
_UNASKED = {Modality.AUDIO, Modality.IMU}
_SHARPNESS = 100.0
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Fitted:
    """What came out for one pair.

    Attributes:
        calibration: None when the shipped one stays.
        note: What was found, for people.
    """

    calibration: Calibration | None
    note: str


def tune(
    store: Store,
    *,
    bank: Embeddings,
    texts: Sequence[str] = (),
    defaults: Defaults | None = None,
    adapters: Adapters | None = None,
    progress: ProgressCallback | None = None,
) -> Tuning:
    """Fit every pair of modalities that the collection can tell something about, and keep it.

    Text queries are those of the bank. Pictures and videos are asked with as well: those of the
    collection are the best guess at what people will bring. Sounds and motion are left as they
    ship: few queries of any bank are about them, so nothing could be learned.

    Args:
        store: Within its `writing()`.
        bank: Text queries as people ask them, embedded.
        texts: Their words, when they are the user's own bank.
        defaults: What ships with the encoder.
        adapters: That move queries; None for those that ship with the encoder.
        progress: Called with every pair.
    """
    samples = {
        modality: _distinct(batch.embeddings)
        for modality in Modality
        if (batch := store.sample(modality, SAMPLE)) is not None
    }
    asked = {Modality.TEXT: _some(bank, QUERIES)}
    for modality in (Modality.IMAGE, Modality.VIDEO):
        if modality in samples and len(samples[modality]) >= MIN_ROWS:
            asked[modality] = _some(samples[modality], QUERIES)
    adapters, before = adapters or shipped_adapters(defaults), store.tuning or Tuning()
    asked = {modality: adapters.move(modality, queries) for modality, queries in asked.items()}
    pairs = [
        (query, target)
        for query in asked
        for target in samples
        if not _UNASKED & {query, target}
        and (query is not target or query is Modality.TEXT)
        and (query, target) not in adapters.calibrations  # labelled pairs know better
    ]
    calibrations, notes = {}, []
    for done, pair in enumerate(pairs):
        query, target = pair
        if progress:
            progress(
                Progress(stage="tune", done=done, total=len(pairs), label=f"{query} -> {target}")
            )
        fitted = fit_pair(pair, asked[query], samples[target], defaults)
        notes.append(f"{query} -> {target}: {fitted.note}")
        if fitted.calibration is not None:
            calibrations[pair] = fitted.calibration
        stale = before.key(pair) != adapters.key(pair)
        if fitted.calibration is not None or query is Modality.TEXT or stale:
            _store_bias(store, pair, asked[query])
    for target in _UNASKED & samples.keys():  # labels may correct them later, by this bank
        _store_bias(store, (Modality.TEXT, target), asked[Modality.TEXT])
    tuning = Tuning(
        calibrations={**_by_adapters(adapters), **calibrations},
        bank=tuple(texts),
        fitted_assets=by_modality(store.counts()),
        adapted=adapters.keys,
        notes=tuple(notes),
    )
    store.save_tuning(tuning)
    return tuning


def _by_adapters(adapters: Adapters) -> dict[Pair, Calibration]:
    """What adapters know from their pairs, of those that serve at the strength it was fitted at."""
    return {
        pair: found.calibration
        for pair, use in adapters.uses.items()
        if (found := adapters.direction(pair))
        and found.calibration is not None
        and found.strength == use.strength
    }


def fit_pair(
    pair: Pair, queries: Embeddings, segments: Embeddings, defaults: Defaults | None
) -> Fitted:
    """Hub strength and calibration of one pair.

    Args:
        pair: Modalities of the queries and of the segments.
        queries: Like those people ask, of whom nobody knows what is relevant to them.
        segments: A sample of the collection's.
        defaults: What ships with the encoder.
    """
    asked, rows = queries.compared(pair), segments.compared(pair)
    base = defaults.tuning.calibrations.get(pair) if defaults else None
    if len(rows) < MIN_ROWS:
        return Fitted(
            calibration=None, note=f"{len(rows)} different segments are too few to learn from"
        )
    strength = hub_strength(asked, rows)
    bias = hub_bias(rows, asked) if strength else None
    cohort = defaults.cohort(pair) if defaults else None
    drawn = _examples(asked, rows, bias=bias, strength=strength, cohort=cohort)
    positives = int(drawn.relevant.sum())
    if positives < MIN_POSITIVES:
        return Fitted(
            calibration=None,
            note=f"{positives} pseudo-positives are too few; the shipped calibration stays",
        )
    if separation(drawn) < MIN_SEPARATION:
        return Fitted(
            calibration=None,
            note="what the queries of the bank find here cannot be told from chance; the shipped "
            "calibration stays",
        )
    try:
        found = (
            refit(drawn, base, strength=strength, origin=Origin.COLLECTION)
            if base
            else fit(drawn, strength=strength, origin=Origin.COLLECTION)
        )
    except ValueError as error:
        return Fitted(calibration=None, note=f"the shipped calibration stays: {error}")
    found = with_match(found, drawn)
    return Fitted(
        calibration=found,
        note=f"hub correction {strength:g}, {positives} pseudo-positives, a match from "
        f"{found.match_probability:.0%}",
    )


def hub_strength(queries: Floats, rows: Floats) -> float:
    """The share of the hub bias to subtract; 0 where it does not help.

    Judged by pseudo-queries with a known answer: for each segment, the mixture of the queries that
    are closest to it. They are made of one half of the queries, the bias comes from the other.
    """
    order = np.random.default_rng(_SEED).permutation(len(queries))
    live, bank = queries[order[::2]], queries[order[1::2]]
    made = _pseudo_queries(live, rows)
    cosines, bias = made @ rows.T, hub_bias(rows, bank)
    gains = {strength: _recall(cosines - strength * bias) for strength in (0.0, *STRENGTHS)}
    best = max(STRENGTHS, key=lambda strength: gains[strength])
    return best if gains[best] >= gains[0.0] + MIN_GAIN else 0.0


def mutual_nearest(corrected: Floats) -> NDArray[np.bool_]:
    """``(q, n)``: which query and segment are each other's nearest.

    A segment's nearest query is the one for which it stands out most from the rest.
    """
    spread = np.maximum(corrected.std(axis=1, keepdims=True), 1e-9)
    outstanding = (corrected - corrected.mean(axis=1, keepdims=True)) / spread
    best_query, best_segment = outstanding.argmax(axis=0), corrected.argmax(axis=1)
    found = np.zeros(corrected.shape, bool)
    columns = np.flatnonzero(best_segment[best_query] == np.arange(corrected.shape[1]))
    found[best_query[columns], columns] = True
    return found


def _examples(
    queries: Floats, rows: Floats, *, bias: Floats | None, strength: float, cohort: Floats | None
) -> Examples:
    corrected = queries @ rows.T
    if bias is not None:
        corrected -= strength * bias
    return examples(
        queries,
        rows,
        relevant=mutual_nearest(corrected).astype(np.float64),
        bias=bias,
        strength=strength,
        cohort=None if cohort is None else cohort_match(queries, cohort),
    )


def _pseudo_queries(queries: Floats, rows: Floats) -> Floats:
    cosines = queries @ rows.T
    cosines -= cosines.mean(axis=1, keepdims=True)
    weights = np.exp(_SHARPNESS * (cosines - cosines.max(axis=0)))
    mixed = (weights / weights.sum(axis=0)).T @ queries
    made: Floats = mixed / np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)
    return made


def _recall(scores: Floats) -> float:
    """Share of rows whose own column is the best; ties count against it."""
    own = np.diag(scores)[:, None]
    return float(((scores >= own).sum(axis=1) <= 1).mean())


def _distinct(rows: Embeddings) -> Embeddings:
    """Each vector once: of copies nobody can tell which one a query is about."""
    _, first = np.unique(rows.tower.round(3), axis=0, return_index=True)
    chosen = np.sort(first)
    return rows.take(chosen)


def _store_bias(store: Store, pair: Pair, queries: Embeddings) -> None:
    query, target = pair
    bank = queries.compared(pair)
    store.set_hub_bias(target, query, lambda rows: hub_bias(rows.compared(pair), bank))


def _some(rows: Embeddings, limit: int) -> Embeddings:
    if len(rows) <= limit:
        return rows
    chosen = np.random.default_rng(_SEED).permutation(len(rows))[:limit]
    return rows.take(chosen)
