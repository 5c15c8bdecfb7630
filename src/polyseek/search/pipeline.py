"""The one search road. Every entry point (CLI, Python, server) goes through `search`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from time import perf_counter

import numpy as np

from polyseek.core.config import SearchOptions
from polyseek.core.errors import QueryError
from polyseek.core.filters import Filter, parse
from polyseek.core.protocols import Encoder, StoreReader
from polyseek.core.types import (
    AssetCounts,
    AssetStatus,
    Candidates,
    Coverage,
    Embeddings,
    Floats,
    Modality,
    Query,
    Retrieval,
    Role,
    Space,
)
from polyseek.search.fuse import reciprocal_rank
from polyseek.search.group import asset_key, by_asset
from polyseek.search.results import PlanStep, Preview, Results

MAX_CANDIDATES = 10_000
MIN_CANDIDATES = 100
"""Candidates asked for per modality, so that later stages have something to reorder."""


def search(
    query: Query,
    *,
    encoder: Encoder,
    store: StoreReader,
    options: SearchOptions,
    preview: Preview | None = None,
) -> Results:
    """Rank a collection's segments for a query.

    Query -> embedding -> candidates per target modality -> one list by reciprocal rank -> one hit
    per asset.

    Args:
        query: What is looked for.
        encoder: The collection's encoder.
        store: The collection's rows.
        options: Limit, target modalities and filter.
        preview: Passed on to the results.

    Raises:
        QueryError: The encoder has no tower for the query's modality, or the options are wrong.
        InvalidFilterError: The filter does not parse or names an unknown field.
    """
    started = perf_counter()
    counts = store.counts()
    targets = _targets(options, query, counts)
    condition = parse(options.filter) if options.filter else None
    embeddings = embed(query, encoder)
    encoded = perf_counter()
    plan, rankings = [], []
    for target in targets:
        space, candidates, elapsed_ms = _retrieve(
            store, query, embeddings, target=target, limit=options.limit, condition=condition
        )
        plan.append(_step(target, space, candidates, elapsed_ms))
        rankings.append(candidates.hits)
    retrieved = perf_counter()
    hits = by_asset(reciprocal_rank(rankings), limit=options.limit)
    finished = perf_counter()
    return Results(
        query=query.label,
        hits=tuple(hits),
        coverage=coverage(counts),
        plan=tuple(plan),
        timings_ms={
            "encode": (encoded - started) * 1e3,
            "retrieve": (retrieved - encoded) * 1e3,
            "fuse": (finished - retrieved) * 1e3,
            "total": (finished - started) * 1e3,
        },
        preview=preview,
    )


def embed(query: Query, encoder: Encoder) -> Embeddings:
    """Both embeddings of a query, one row each.

    Raises:
        QueryError: The encoder has no tower for the query's modality.
    """
    tower = encoder.info.towers.get(query.modality)
    if tower is None:
        known = ", ".join(sorted(encoder.info.towers))
        raise QueryError(
            f"encoder '{encoder.info.name}' cannot read {query.modality} queries; it reads {known}"
        )
    prepared = [tower.prepare(signal) for signal in query.signals]
    rows = encoder.encode(query.modality, prepared, role=Role.QUERY)
    return (
        rows if len(rows) == 1 else Embeddings(shared=_mean(rows.shared), tower=_mean(rows.tower))
    )


def _mean(rows: Floats) -> Floats:
    """``(1, dim)`` unit-length mean direction of n rows."""
    total = rows.sum(axis=0, keepdims=True)
    direction: Floats = total / np.maximum(np.linalg.norm(total), 1e-12)
    return direction


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


def _targets(
    options: SearchOptions,
    query: Query,
    counts: AssetCounts,
) -> Sequence[Modality]:
    """Modalities to search; the query's own comes last, so that ties favour crossing over."""
    if options.limit < 1:
        raise QueryError(f"limit must be at least 1, got {options.limit}")
    present = {m for (_, modalities), count in counts.items() if count for m in modalities}
    wanted: Iterable[Modality] = options.modalities or present
    return sorted(set(wanted) & present, key=lambda m: (m == query.modality, m))


def _retrieve(
    store: StoreReader,
    query: Query,
    embeddings: Embeddings,
    *,
    target: Modality,
    limit: int,
    condition: Filter | None,
) -> tuple[Space, Candidates, float]:
    """Candidates of one modality: its own space for its own kind, the shared one otherwise."""
    started = perf_counter()
    same = target == query.modality
    space = Space.TOWER if same else Space.SHARED
    rows: Floats = embeddings.tower if same else embeddings.shared
    wanted = max(limit, MIN_CANDIDATES)
    while True:
        candidates = store.search(
            Retrieval(vector=rows[0], modality=target, space=space, limit=wanted, filter=condition)
        )
        # One long recording may fill the list: look deeper until there are enough assets.
        if len(candidates.hits) < wanted or wanted >= MAX_CANDIDATES:
            break
        if len(set(map(asset_key, candidates.hits))) >= limit:
            break
        wanted *= 4
    return space, candidates, (perf_counter() - started) * 1e3


def _step(target: Modality, space: Space, candidates: Candidates, elapsed_ms: float) -> PlanStep:
    return PlanStep(
        modality=target,
        space=space,
        tier=candidates.tier,
        rows=candidates.rows,
        recall=candidates.recall,
        elapsed_ms=elapsed_ms,
    )
