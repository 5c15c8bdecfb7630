"""Measuring a collection with labelled queries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter

from polyseek.api.examiner import Examiner
from polyseek.api.pairs import Labelled, labelled
from polyseek.api.searching import Road
from polyseek.core.adapting import Adapters
from polyseek.core.defaults import Defaults
from polyseek.core.inventory import Inventory
from polyseek.core.judged import twins
from polyseek.core.protocols import Encoder, SparseEncoder, Store
from polyseek.core.reports import ProgressCallback
from polyseek.core.retriever import SearchMode
from polyseek.core.types import (
    Modality,
)
from polyseek.evaluate.plan import Direction, Planner, quoted
from polyseek.evaluate.runs import Measured, Run
from polyseek.evaluate.slices import TUNED, check_field

LIMIT = 1_000
"""Questions per direction when nobody says otherwise."""

FEW = 50
"""Assets below which intervals are too wide to decide anything."""


def evaluate(  # noqa: PLR0913 - what a search needs, and what is asked
    store: Store,
    *,
    location: str,
    encoder: Encoder,
    defaults: Defaults | None,
    adapters: Adapters | None = None,
    sparse: SparseEncoder | None = None,
    pairs: str | Path,
    queries: str | Path | None = None,
    slice_by: str | None = None,
    limit: int = LIMIT,
    mode: SearchMode | None = None,
    road: Road | None = None,
    progress: ProgressCallback | None = None,
) -> Run:
    """Ask labelled queries in every direction they allow; see `Collection.evaluate`."""
    started = perf_counter()
    inventory = Inventory.of(store)
    given = labelled(pairs, inventory, encoder=encoder.info, queries=queries)
    if slice_by is not None:
        check_field(slice_by, store.fields(), [one.query for one in given.every()])
    serving = adapters.by_name.values() if adapters else ()
    tuned = frozenset(store.tuning.fitted_queries if store.tuning else ()).union(
        *(adapter.queries for adapter in serving)
    )
    planner = Planner(
        inventory=inventory,
        twins=partial(twins, store, inventory),
        limit=limit,
        field=slice_by,
        tuned=tuned,
    )
    if given.judged:
        kinds = {name: query.modality for name, query in given.queries.items()}
        directions = planner.of_pairs(given.judged, kinds, given.source)
    else:
        directions = planner.of_mined(given.mined)
    examiner = Examiner(
        store=store, inventory=inventory, encoder=encoder, defaults=defaults,
        queries=given.queries, adapters=adapters, sparse=sparse, road=road or Road(),
        progress=progress,
    )  # fmt: skip
    examiner.spent["read"] = perf_counter() - started
    mode, notes = _mode(given, directions, inventory, mode)
    found = [examiner.run(direction, mode) for direction in directions]
    return Run(
        location=location,
        encoder=f"{encoder.info.name}@{encoder.info.revision}",
        directions=found,
        retriever=examiner.road.retriever.name,
        notes=[
            *given.notes,
            *notes,
            *_seen(given, tuned),
            *_advice(given, found),
            *examiner.notes(),
        ],
        elapsed_s=examiner.spent,
    )


def _mode(
    given: Labelled,
    directions: Sequence[Direction],
    inventory: Inventory,
    asked: SearchMode | None,
) -> tuple[SearchMode, list[str]]:
    """What is compared, and why: words that stand in the answer would be found trivially."""
    if asked is SearchMode.DENSE:
        return asked, []
    typed = (d for d in directions if d.query is Modality.TEXT)
    questions = list({q.id: q for d in typed for q in d.questions}.values())
    leaking = quoted(questions, inventory) if given.judged else questions
    if not leaking:
        return asked or SearchMode.HYBRID, []
    share = (
        f"{len(leaking):,} of {len(questions):,} queries stand word for word in the texts, fields "
        "or names of what answers them"
    )
    if asked is not None:
        return asked, [f"{share}: with words, these figures flatter"]
    return SearchMode.DENSE, [
        f"{share}: words would find them trivially, so embeddings alone count"
    ]


def _seen(given: Labelled, tuned: frozenset[str]) -> list[str]:
    """Whether the collection knows the queries already."""
    every = given.every()
    seen = sum(one.query.fingerprint in tuned for one in every)
    if not seen:
        return []
    return [
        f"{seen:,} of {len(every):,} queries were used to tune or adapt this collection: figures "
        f"with them flatter; the slice '{TUNED}' shows the others"
    ]


def _advice(given: Labelled, found: Sequence[Measured]) -> list[str]:
    notes = [
        f"{mined.modality}: queries are {mined.source}; also there: {', '.join(mined.others)}"
        for mined in given.mined
        if mined.others
    ]
    notes += [
        f"{one.name}: {one.groups} assets are few: the intervals say how little is known"
        for one in found
        if one.groups < FEW
    ]
    return notes
