"""Learning a fusion reranker from a user's own pairs of queries and assets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from polyseek.core.errors import ConfigError
from polyseek.core.fusion import NOTE, features
from polyseek.core.hits import Item
from polyseek.core.inventory import Inventory
from polyseek.core.pairs import LabelledQuery, joined, read_pairs
from polyseek.core.protocols import Store
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.reranking import Candidate, Question
from polyseek.learn.fusion import Case, Fitted, learn_fusion

DEPTH = 50
"""Candidates of a query that are learned from, as many as rerankers see."""


class Recorder:
    """A reranker that changes nothing and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: Sequence[Candidate] = ()

    def scores(self, question: Question, candidates: Sequence[Candidate]) -> list[float]:  # noqa: ARG002
        """See `polyseek.core.protocols.Reranker`."""
        self.seen = candidates
        return [-float(place) for place in range(len(candidates))]


def learn(
    pairs: str | Path,
    store: Store,
    candidates: Callable[[str | Path], Sequence[Candidate]],
    *,
    progress: ProgressCallback | None = None,
) -> Fitted:
    """Fit the fusion model and keep it with the collection, unless it is not better.

    Args:
        pairs: File that `core.pairs.read_pairs` reads.
        store: Of the collection.
        candidates: The best assets for a query, in order.
        progress: Called with every query.

    Raises:
        ConfigError: The pairs cannot be read, or too few of them can be used.
    """
    inventory, beside = Inventory.of(store), Path(pairs).expanduser().parent
    queries = joined(read_pairs(pairs).queries)
    cases: list[Case] = []
    for done, query in enumerate(queries):
        if progress is not None:
            progress(Progress(stage="learn", done=done, total=len(queries), label=query.id))
        gains = _gains(query, inventory, beside)
        if gains:
            cases.append(_case(query, gains, candidates))
    if not cases:
        raise ConfigError(f"{pairs}: none of its assets is in the collection")
    fitted = learn_fusion(cases)
    if fitted.model is not None:
        with store.writing():
            store.save_note(NOTE, fitted.model.to_json())
    return fitted


def _gains(query: LabelledQuery, inventory: Inventory, beside: Path) -> dict[Item, float]:
    """Relevance by item; names that stand for nothing, or for several things, are left out."""
    found = {name: inventory.find(name, beside=beside) for name in query.relevant}
    return {items[0]: query.relevant[name] for name, items in found.items() if len(items) == 1}


def _case(
    query: LabelledQuery,
    gains: Mapping[Item, float],
    candidates: Callable[[str | Path], Sequence[Candidate]],
) -> Case:
    seen = candidates(Path(query.query) if query.is_file else f"text:{query.query}")
    return Case(
        features=features(seen),
        gains=np.array([gains.get(one.hit.item, 0.0) for one in seen]),
        ideal=list(gains.values()),
        group=min(gains)[0],
    )
