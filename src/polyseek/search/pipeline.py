"""The one search road. Every entry point (CLI, Python, server) goes through `search`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter

from polyseek.core.config import SearchOptions
from polyseek.core.errors import QueryError
from polyseek.core.filters import Filter, parse
from polyseek.core.protocols import Encoder, StoreReader
from polyseek.core.types import (
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
from polyseek.search.results import PlanStep, Preview, Results

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

    Query -> embedding -> candidates per target modality -> one list by reciprocal rank.

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
    hits = reciprocal_rank(rankings, limit=options.limit)
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
    return encoder.encode(query.modality, [tower.prepare(query.signal)], role=Role.QUERY)


def coverage(counts: Mapping[tuple[AssetStatus, Modality | None], int]) -> Coverage:
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
    counts: Mapping[tuple[AssetStatus, Modality | None], int],
) -> Sequence[Modality]:
    """Modalities to search; the query's own comes last, so that ties favour crossing over."""
    if options.limit < 1:
        raise QueryError(f"limit must be at least 1, got {options.limit}")
    present = {modality for (_, modality), count in counts.items() if modality and count}
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
    candidates = store.search(
        Retrieval(
            vector=rows[0],
            modality=target,
            space=space,
            limit=max(limit, MIN_CANDIDATES),
            filter=condition,
        )
    )
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
