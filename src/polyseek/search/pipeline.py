"""The one search road. Every entry point (CLI, Python, server) goes through `search`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from polyseek.core.adapting import Adapters
from polyseek.core.config import SearchOptions
from polyseek.core.defaults import Defaults, shipped_adapters
from polyseek.core.errors import QueryError
from polyseek.core.filters import check, parse
from polyseek.core.glossary import Glossary
from polyseek.core.hits import Composition, Query, Term
from polyseek.core.protocols import Encoder, Locator, Reranker, SparseEncoder, StoreReader
from polyseek.core.reports import Coverage
from polyseek.core.reranking import Question
from polyseek.core.retriever import SearchMode
from polyseek.core.types import AssetCounts, AssetStatus, Embeddings, Modality
from polyseek.search.calibrate import Calibrator
from polyseek.search.diversify import distinct
from polyseek.search.embed import embed
from polyseek.search.explain import Trace, explained
from polyseek.search.group import by_asset, places
from polyseek.search.hybrid import read_all_words
from polyseek.search.listing import Listing, merge, with_cosines
from polyseek.search.moments import pool_moments
from polyseek.search.refine import refine
from polyseek.search.rerank import rerank
from polyseek.search.results import Preview, Results
from polyseek.search.retrieve import Asked, Ranking, rank

_ORDER = [
    Modality.IMAGE,
    Modality.VIDEO,
    Modality.TEXT,
    Modality.AUDIO,
    Modality.DEPTH,
    Modality.THERMAL,
    Modality.IMU,
]


def search(  # noqa: PLR0913 - a keyword for each part of a collection
    query: Query | Composition,
    *,
    encoder: Encoder,
    store: StoreReader,
    options: SearchOptions,
    defaults: Defaults | None = None,
    rerankers: Mapping[str, Reranker] | None = None,
    locator: Locator | None = None,
    sparse: SparseEncoder | None = None,
    embeddings: Sequence[Embeddings] | None = None,
    adapters: Adapters | None = None,
    glossary: Glossary | None = None,
    preview: Preview | None = None,
    partial: Callable[[Results], None] | None = None,
) -> Results:
    """Rank a collection's segments for a query.

    Query -> embedding -> candidates per target modality -> what they say about each other -> one
    list, or the verdict that nothing matches -> rerankers -> nothing twice -> one hit per asset.

    Args:
        query: What is looked for: one thing, or several terms together.
        encoder: The collection's encoder.
        store: The collection's rows.
        options: Limit, target modalities, filter, least probability and stages.
        defaults: Calibrations that ship with the encoder.
        rerankers: What `options.retriever.rerank.by` names.
        locator: Says where in pictures something was found; a reranker that can by default.
        sparse: The collection's sparse encoder; None for none.
        embeddings: Of each term, where they are known; otherwise the encoder makes them.
        adapters: That move the queries; None for those that ship with the encoder.
        glossary: What words of a text query stand for here; None for nothing.
        preview: Passed on to the results.
        partial: Called with what is found so far, whenever another modality was searched.

    Raises:
        QueryError: The encoder has no tower for the query's modality, or the options are wrong.
        InvalidFilterError: The filter does not parse or names an unknown field.
    """
    stages, trace = options.retriever, Trace()
    counts = store.counts()
    searched = targets(options, counts, query.modality)
    condition = check(parse(options.filter), store.fields()) if options.filter else None
    whole = query if isinstance(query, Composition) else Composition(terms=[Term(query=query)])
    words = read_all_words(whole, condition, options.mode, sparse)
    if embeddings is None:
        embeddings = [embed(word.query, encoder, glossary) for word in words]
    # Nobody knows of what modality a bare vector is, so nothing that was fitted holds for it.
    fitted = all(rows.tower.size for rows in embeddings)
    adapters = adapters or shipped_adapters(defaults)
    embeddings = [
        adapters.move(word.query.modality, rows) if fitted else rows
        for word, rows in zip(words, embeddings, strict=True)
    ]
    asked = Asked(query=whole, embeddings=embeddings, words=words)
    if asked.empty:
        raise _unread(whole)
    trace.lap("encode")
    scale = Calibrator(defaults=defaults, tuning=store.tuning, adapters=adapters)
    calibrator = scale if fitted else Calibrator()
    empty = Results(
        query=whole.label, hits=(), coverage=coverage(counts), retriever=stages.name,
        preview=preview,
    )  # fmt: skip
    # What reorders the list may look at all of it.
    assets = None if rerankers or stages.diversify.active else options.limit
    merged = functools.partial(_merged, options=options, asked=asked, store=store, assets=assets)
    rankings: list[Ranking] = []
    for target in searched:
        if partial and rankings:
            partial(_listed(empty, merged(rankings), rankings, options))
        found = rank(store, asked, target=target, options=options, calibrator=calibrator)
        rankings.append(found)
    trace.lap("retrieve")
    found_first = rankings
    rankings = [
        refine(one, asked, store, stages.refine or scale.refine(one.step.modality))
        for one in rankings
    ]
    if any(ranking.step.refined for ranking in rankings):
        trace.note("retrieve", merge(found_first, options))
        trace.lap("refine")
    listing = pool_moments(merged(rankings), count=stages.group.pool)
    trace.note("fuse", listing)
    trace.lap("fuse")
    notes: list[str] = []
    if rerankers:
        listing, notes = rerank(
            listing, Question(query=whole, embeddings=embeddings), rerankers, store=store,
            depth=stages.rerank.depth, budget_ms=stages.rerank.budget_ms,
        )  # fmt: skip
        trace.note("rerank", listing)
        trace.lap("rerank")
    if stages.diversify.active:
        listing = distinct(
            listing, store, limit=options.limit, options=stages.diversify, preview=preview
        )
        trace.note("diversify", listing)
        trace.lap("diversify")
    results = _listed(empty, listing, rankings, options)
    hits = trace.ranked(results.hits)
    if options.explain:
        locators = [r for r in (rerankers or {}).values() if isinstance(r, Locator)]
        hits = explained(
            hits, asked, rankings, encoder=encoder, store=store, calibrator=calibrator,
            locator=locator or next(iter(locators), None),
        )  # fmt: skip
        trace.lap("explain")
    return replace(results, hits=tuple(hits), timings_ms=trace.timings_ms(), notes=tuple(notes))


def _merged(
    rankings: Sequence[Ranking],
    *,
    options: SearchOptions,
    asked: Asked,
    store: StoreReader,
    assets: int | None,
) -> Listing:
    """All modalities as one list; after a search by words alone, `assets` of it with cosines."""
    listing = merge(rankings, options)
    if options.mode is not SearchMode.TEXT:
        return listing
    further = options.retriever.group.moments
    shown = (
        [range(len(listing.hits))]
        if assets is None
        else places(listing.hits, limit=assets, key=listing.key, further=further)
    )
    return with_cosines(listing, chain.from_iterable(shown), asked=asked, store=store)


def _listed(
    empty: Results, listing: Listing, rankings: Sequence[Ranking], options: SearchOptions
) -> Results:
    """One hit per asset, or segment, of a list."""
    hits = by_asset(
        listing.hits, limit=options.limit, probabilities=listing.probabilities, key=listing.key,
        further=options.retriever.group.moments,
    )  # fmt: skip
    known = [float(r.probabilities.max()) for r in rankings if r.probabilities is not None]
    return replace(
        empty,
        hits=tuple(hits),
        no_match=not listing.matched,
        nearest=max([*known, *(listing.probabilities or ())], default=None),
        plan=tuple(ranking.step for ranking in rankings),
    )


def _unread(query: Composition) -> QueryError:
    return QueryError(
        f"nothing reads '{query.label}': the collection's vectors were made elsewhere. Search with "
        "a vector, words or an id:..., or attach the encoder that made them (--query-encoder)"
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


def targets(
    options: SearchOptions, counts: AssetCounts, asked: Modality | None = None
) -> Sequence[Modality]:
    """Modalities to search; the query's own comes last, so that ties favour crossing over."""
    if options.limit < 1:
        raise QueryError(f"limit must be at least 1, got {options.limit}")
    least = options.min_probability
    if least is not None and not 0 <= least <= 1:
        raise QueryError(f"the least probability must be between 0 and 1, got {least:g}")
    present = {m for (_, modalities), count in counts.items() if count for m in modalities}
    wanted: Iterable[Modality] = options.modalities or present
    return sorted(set(wanted) & present, key=lambda m: (m == asked, _ORDER.index(m)))
