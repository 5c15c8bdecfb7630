"""The one search road. Every entry point (CLI, Python, server) goes through `search`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from time import perf_counter

from polyseek.core.adapting import Adapters
from polyseek.core.config import SearchMode, SearchOptions
from polyseek.core.errors import QueryError
from polyseek.core.filters import check, parse
from polyseek.core.hits import Composition, Hit, Query, Retrieval, Term
from polyseek.core.protocols import Encoder, StoreReader
from polyseek.core.reports import Coverage
from polyseek.core.tuning import Defaults, Numbers
from polyseek.core.types import AssetCounts, AssetStatus, Embeddings, Modality
from polyseek.search.calibrate import Calibrator
from polyseek.search.compose import compared, pool
from polyseek.search.embed import embed
from polyseek.search.fuse import by_probability, reciprocal_rank
from polyseek.search.group import assets_first, by_asset
from polyseek.search.hybrid import WordSearch, read_all_words
from polyseek.search.results import PlanStep, Preview, Results

_ORDER = [
    Modality.IMAGE,
    Modality.VIDEO,
    Modality.TEXT,
    Modality.AUDIO,
    Modality.DEPTH,
    Modality.THERMAL,
    Modality.IMU,
]

MAX_CANDIDATES = 10_000
FLOOR = 0.05
"""Hits this much less probable than the best are left out; of the right answers among the first ten
hits, 1 in 400 is (benchmarks/fair_list.py)."""

MIN_CANDIDATES = 100
"""Candidates asked for per modality, so that later stages have something to reorder."""


def search(
    query: Query | Composition,
    *,
    encoder: Encoder,
    store: StoreReader,
    options: SearchOptions,
    defaults: Defaults | None = None,
    embeddings: Sequence[Embeddings] | None = None,
    adapters: Adapters | None = None,
    preview: Preview | None = None,
) -> Results:
    """Rank a collection's segments for a query.

    Query -> embedding -> candidates per target modality -> probabilities -> one list -> one hit per
    asset, or the verdict that nothing matches.

    Args:
        query: What is looked for: one thing, or several terms together.
        encoder: The collection's encoder.
        store: The collection's rows.
        options: Limit, target modalities, filter and least probability.
        defaults: Calibrations that ship with the encoder.
        embeddings: Of each term, where they are known; otherwise the encoder makes them.
        adapters: That move the queries; None for none.
        preview: Passed on to the results.

    Raises:
        QueryError: The encoder has no tower for the query's modality, or the options are wrong.
        InvalidFilterError: The filter does not parse or names an unknown field.
    """
    started = perf_counter()
    counts = store.counts()
    targets = _targets(options, query, counts)
    condition = check(parse(options.filter), store.fields()) if options.filter else None
    whole = query if isinstance(query, Composition) else Composition(terms=[Term(query=query)])
    words = read_all_words(whole, condition, options.mode)
    if embeddings is None:
        embeddings = [embed(word.query, encoder) for word in words]
    adapters = adapters or Adapters()
    embeddings = [
        adapters.move(word.query.modality, rows)
        for word, rows in zip(words, embeddings, strict=True)
    ]
    encoded = perf_counter()
    calibrator = Calibrator(defaults=defaults, tuning=store.tuning, adapters=adapters)
    rankings = [
        _rank(
            store, whole, embeddings, target=target, options=options, words=words,
            calibrator=calibrator,
        )
        for target in targets
    ]  # fmt: skip
    retrieved = perf_counter()
    hits, matched = _merge(rankings, options)
    known = [float(r.probabilities[0]) for r in rankings if r.probabilities is not None]
    finished = perf_counter()
    return Results(
        query=query.label,
        hits=tuple(hits),
        no_match=not matched,
        nearest=max(known, default=None),
        coverage=coverage(counts),
        plan=tuple(ranking.step for ranking in rankings),
        timings_ms={
            "encode": (encoded - started) * 1e3,
            "retrieve": (retrieved - encoded) * 1e3,
            "fuse": (finished - retrieved) * 1e3,
            "total": (finished - started) * 1e3,
        },
        preview=preview,
    )


def coverage(counts: AssetCounts) -> Coverage:
    """What a search over a collection with these asset counts sees and misses."""
    by_status = dict.fromkeys(AssetStatus, 0)
    for (status, _), count in counts.items():
        by_status[status] += count
    return Coverage(
        searched=by_status[AssetStatus.INDEXED] + by_status[AssetStatus.PARTIAL],
        failed=by_status[AssetStatus.FAILED] + by_status[AssetStatus.UNSUPPORTED],
        pending=by_status[AssetStatus.PENDING],
    )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Ranking:
    """One target modality's candidates, with the probability of each where it is known.

    `least` is what the best of them must reach for the modality to have found something.
    """

    hits: Sequence[Hit]
    probabilities: Numbers | None
    least: float | None
    step: PlanStep

    @property
    def matches(self) -> bool:
        """Whether the best of them is probable enough to be shown as an answer."""
        if self.probabilities is None or self.least is None:
            return bool(self.hits)
        return float(self.probabilities[0]) >= self.least


def _targets(
    options: SearchOptions,
    query: Query | Composition,
    counts: AssetCounts,
) -> Sequence[Modality]:
    """Modalities to search; the query's own comes last, so that ties favour crossing over."""
    if options.limit < 1:
        raise QueryError(f"limit must be at least 1, got {options.limit}")
    least = options.min_probability
    if least is not None and not 0 <= least <= 1:
        raise QueryError(f"the least probability must be between 0 and 1, got {least:g}")
    present = {m for (_, modalities), count in counts.items() if count for m in modalities}
    wanted: Iterable[Modality] = options.modalities or present
    return sorted(set(wanted) & present, key=lambda m: (m == query.modality, _ORDER.index(m)))


def _rank(
    store: StoreReader,
    query: Composition,
    embeddings: Sequence[Embeddings],
    *,
    target: Modality,
    options: SearchOptions,
    words: Sequence[WordSearch],
    calibrator: Calibrator,
) -> _Ranking:
    """Candidates of one modality; those of several terms are pooled.

    Unwanted terms find no candidates: they only count against those of the others.
    """
    rankings = [
        _retrieve(
            store, term.query, rows, target=target, options=options, words=word,
            calibrator=calibrator,
        )
        for term, rows, word in zip(query.terms, embeddings, words, strict=True) if term.weight > 0
    ]  # fmt: skip
    if len(query.terms) == 1 or not any(ranking.hits for ranking in rankings):
        return rankings[0]
    started = perf_counter()
    union = {hit.id: hit for ranking in rankings for hit in ranking.hits}
    stored = store.fetch(list({hit.uri for hit in union.values()}))
    found = iter(rankings)
    spoken = [next(found).hits if term.weight > 0 else () for term in query.terms]
    pooled = pool(
        query, embeddings, list(union.values()), stored, calibrator,
        spoken=spoken, rows=rankings[0].step.rows,
    )  # fmt: skip
    spent = sum(ranking.step.elapsed_ms for ranking in rankings)
    step = replace(rankings[0].step, elapsed_ms=spent + (perf_counter() - started) * 1e3)
    return _Ranking(
        hits=pooled.hits, probabilities=pooled.probabilities, least=pooled.least, step=step
    )


def _retrieve(
    store: StoreReader,
    query: Query,
    embeddings: Embeddings,
    *,
    target: Modality,
    options: SearchOptions,
    words: WordSearch,
    calibrator: Calibrator,
) -> _Ranking:
    """Candidates of one modality: its own space for its own kind, the shared one otherwise."""
    started = perf_counter()
    pair = query.modality, target
    vector, space = compared(embeddings, pair)
    hub = calibrator.hub(pair)
    wanted = max(options.limit, MIN_CANDIDATES)
    while True:
        request = Retrieval(
            vector=vector, modality=target, space=space, limit=wanted, filter=words.condition,
            hub=hub,
        )  # fmt: skip
        near = store.search(request)
        # One long recording may fill the list: look deeper until there are enough assets.
        if len(near.hits) < wanted or wanted >= MAX_CANDIDATES:
            break
        if len({hit.item for hit in near.hits}) >= options.limit:
            break
        wanted *= 4
    candidates = words.candidates(store, request, near)
    probabilities = calibrator.probabilities(pair, vector, candidates)
    hits, probabilities = words.reorder(candidates.hits, probabilities, near=len(near.hits))
    calibration = calibrator.calibration(pair)
    return _Ranking(
        hits=hits,
        probabilities=probabilities,
        least=calibration.match_probability if calibration else None,
        step=PlanStep(
            modality=target,
            space=space,
            tier=candidates.tier,
            rows=candidates.rows,
            recall=candidates.recall,
            words=sum(hit.text_score is not None for hit in hits) if words.terms else None,
            hub_strength=hub.strength if hub else 0.0,
            calibration=calibration,
            elapsed_ms=(perf_counter() - started) * 1e3,
        ),
    )


def _merge(rankings: Sequence[_Ranking], options: SearchOptions) -> tuple[list[Hit], bool]:
    """One hit per asset, best first, and whether anything matches.

    Probabilities are comparable, so they decide where all are known; otherwise only ranks are.
    """
    if options.mode is SearchMode.TEXT:
        if options.min_probability is not None:
            raise QueryError(
                "a search by words alone has no probabilities; leave out --text (mode='text'), or "
                "the least probability"
            )
        found = sorted(
            (hit for r in rankings for hit in r.hits), key=lambda h: -(h.text_score or 0)
        )
        return by_asset(found, limit=options.limit), bool(found)
    calibrated = [(r.hits, r.probabilities) for r in rankings if r.probabilities is not None]
    if len(calibrated) < sum(1 for r in rankings if r.hits):
        if options.min_probability is not None:
            raise QueryError(
                "this collection's scores were never calibrated for this query, so there are no "
                "probabilities; run 'polyseek tune', or leave out the least probability"
            )
        split = [assets_first(ranking.hits) for ranking in rankings]
        best = reciprocal_rank([first for first, _ in split], key=attrgetter("item"))
        others = [hit for _, rest in split for hit in rest]
        return by_asset([*best, *others], limit=options.limit), any(r.matches for r in rankings)
    hits, probabilities = by_probability(calibrated)
    if options.min_probability is None:
        matched = any(ranking.matches for ranking in rankings)
        least = FLOOR * probabilities[0] if matched else 1.0
    else:
        least = options.min_probability
        matched = bool(hits) and probabilities[0] >= least
    shown = len(hits) if options.show_all else sum(p >= least for p in probabilities)
    shown = shown if matched or options.show_all else 0
    return (
        by_asset(hits[:shown], limit=options.limit, probabilities=probabilities[:shown]),
        matched,
    )
