"""Fit one rung: its setting and strength are picked on pairs it was not fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from polyseek.core.adapting import between, features_of
from polyseek.core.maps import QueryMap
from polyseek.core.metrics import ranks, reciprocal_ranks
from polyseek.core.types import Floats
from polyseek.learn.adapters.closed_form import Examples, Rung
from polyseek.learn.adapters.pairs import Flags, Linked, Rows, folds_of

STRENGTHS = (0.25, 0.5, 0.75, 1.0)
PATIENCE = 1
"""Settings without a gain after which the rest of a path is not tried."""

INNER_FOLDS = 5
"""One in so many groups of the training pairs picks the setting."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Fitted:
    """A map, and how it was picked.

    Attributes:
        rung: What it was fitted by.
        map: Fitted on all training pairs.
        setting: Its place on its rung's path.
        strength: Share of the adapted vector that was best.
    """

    rung: Rung
    map: QueryMap
    setting: int
    strength: float

    def place(self, features: Floats, unadapted: Floats) -> Floats:
        """``(n, dim)`` where queries lie, at the strength that was best."""
        return between(unadapted, self.map(features, unadapted), self.strength)


@dataclass(eq=False, kw_only=True)
class Task:
    """One direction of the pairs, with everything that fitting asks for again and again.

    Attributes:
        pairs: Queries first.
        distractors: ``(d, dim)`` further segments that queries of the pairs compete with.
    """

    pairs: Linked
    distractors: Floats

    def __post_init__(self) -> None:
        queries, pair = self.pairs.first.embeddings, self.pairs.pair
        self.features = features_of(queries)
        self.unadapted = queries.compared(pair)
        self.baseline = "none", self.unadapted
        """Name of the search that must be beaten; ``(q, dim)`` where the queries lie in it."""
        self.strengths: Sequence[float] = STRENGTHS
        """Shares of the adapted vector that are tried."""
        self.targets = self.pairs.second.found.compared(pair)
        self.gallery = np.concatenate([self.targets, self.distractors])
        self.relevant = np.concatenate(
            [self.pairs.relevant, np.zeros((len(queries), len(self.distractors)), bool)], axis=1
        )

    def examples(self, links: Flags) -> Examples:
        """The links that may be fitted on."""
        query, target = self.pairs.links[links].T
        rows = np.unique(target, return_inverse=True)[1].reshape(-1)
        return Examples(
            features=self.features[query],
            unadapted=self.unadapted[query],
            targets=self.targets[target],
            target_rows=rows,
        )

    def scores(self, placed: Floats) -> Floats:
        """``(q, n)`` products of all queries, as they are placed, with all items."""
        found: Floats = placed @ self.gallery.T
        return found

    def competitors(self, held_out: Flags) -> Rows:
        """Items that held-out queries compete for: their own and those that are in no pair.

        A map draws all queries towards what it was fitted on: those items would judge it unfairly.
        """
        own = np.flatnonzero(self.relevant[self.queries_of(held_out)].any(axis=0))
        return np.concatenate([own, np.arange(len(self.targets), len(self.gallery))])

    def query_groups(self) -> Rows:
        """``(q,)`` group of each query."""
        found: Rows = np.zeros(len(self.features), np.int64)
        found[self.pairs.links[:, 0]] = self.pairs.groups
        return found

    def queries_of(self, links: Flags) -> Rows:
        """The queries of these links, each once."""
        rows: Rows = np.unique(self.pairs.links[links, 0])
        return rows


def fit(rung: Rung, task: Task, training: Flags) -> Fitted:
    """The rung's best map for a task.

    Args:
        rung: What to fit.
        task: What for.
        training: ``(m,)`` links that may be used; a part of them picks setting and strength.
    """
    groups = np.unique(task.pairs.groups[training], return_inverse=True)[1].reshape(-1)
    inner = training.copy()
    inner[training] = folds_of(groups, INNER_FOLDS) > 0
    setting, strength = _pick(rung, task, inner, training & ~inner)
    found = next(iter(rung.path(task.examples(training), setting)))
    return Fitted(rung=rung, map=found, setting=setting, strength=strength)


def _pick(rung: Rung, task: Task, inner: Flags, held_out: Flags) -> tuple[int, float]:
    """The setting and the strength with the highest mean reciprocal rank."""
    asked, items = task.queries_of(held_out), task.competitors(held_out)
    unadapted, gallery = task.unadapted[asked], task.gallery[items]
    relevant, before = task.relevant[np.ix_(asked, items)], unadapted @ gallery.T
    best, picked = -1.0, (0, task.strengths[0])
    for i, found in enumerate(rung.path(task.examples(inner))):
        after = found(task.features[asked], unadapted) @ gallery.T
        for strength in task.strengths:
            scores = (1 - strength) * before + strength * after
            value = float(reciprocal_ranks(ranks(scores, relevant)).mean())
            if value > best:
                best, picked = value, (i, strength)
        if i - picked[0] > PATIENCE:
            break
    return picked
