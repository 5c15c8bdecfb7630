"""A search for nothing in particular: what passes a filter, in the order of paths."""

from __future__ import annotations

from time import perf_counter

from polyseek.core.config import SearchOptions
from polyseek.core.filters import parse
from polyseek.core.hits import Hit
from polyseek.core.protocols import StoreReader
from polyseek.search.group import by_asset, key_of
from polyseek.search.pipeline import coverage, targets
from polyseek.search.results import PlanStep, Preview, Results


def browse(store: StoreReader, options: SearchOptions, *, preview: Preview | None) -> Results:
    """List the segments of some modalities that pass a filter, one hit per asset.

    Nothing is compared, so no hit has a probability, and all have the score 1.

    Raises:
        QueryError: The options are wrong.
        InvalidFilterError: The filter does not parse or names an unknown field.
    """
    started, counts = perf_counter(), store.counts()
    condition = parse(options.filter) if options.filter else None
    found: list[Hit] = []
    plan: list[PlanStep] = []
    for target in targets(options, counts):
        begun = perf_counter()
        listed = store.browse(target, condition, limit=options.limit, group=options.group)
        found += listed.hits
        plan.append(
            PlanStep(
                modality=target, space=None, tier=listed.tier, rows=listed.rows, recall=1.0,
                elapsed_ms=(perf_counter() - begun) * 1e3,
            )
        )  # fmt: skip
    found.sort(key=lambda hit: hit.uri)  # stable: of one asset, pictures stay first
    hits = by_asset(found, limit=options.limit, key=key_of(options.group), further=0)
    elapsed_ms = (perf_counter() - started) * 1e3
    return Results(
        query="",
        hits=tuple(hits),
        coverage=coverage(counts),
        no_match=not hits,
        plan=tuple(plan),
        timings_ms={"browse": elapsed_ms, "total": elapsed_ms},
        retriever=options.retriever.name,
        preview=preview,
    )
