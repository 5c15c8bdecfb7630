"""A modality that the encoder lacks: is a map of its vectors into the shared space worth anything?

The same ladder as for queries, climbed from nothing: a map is fitted on some of the pairs and
judged on the others, against vectors that are put into the shared space without having learned
anything. Whatever shuffled pairs teach finds no more than those do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from polyseek.core.defaults import Defaults
from polyseek.core.maps import QueryMap, unit_or
from polyseek.core.tuning import Calibration, Pair
from polyseek.core.types import Floats
from polyseek.learn.adapters.ladder import Fitted, Task
from polyseek.learn.adapters.pairs import Linked
from polyseek.learn.adapters.trial import (
    Judged,
    Verdict,
    calibrate,
    climb,
    gain,
    gallery_size,
    held_out_ranks,
)

MAX_FEATURES = 512
"""Principal directions of the tower's embeddings that are fitted on: the rest is mostly noise."""

CHANCE = "chance"
_SEED = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Joining:
    """What came of it.

    Attributes:
        map: The tower's embeddings -> the shared space, fitted on all pairs.
        verdicts: By pair: its files as queries, and as what is found; "before" is by chance.
        calibrations: Of both, where the pairs say enough.
    """

    map: QueryMap
    verdicts: Mapping[Pair, Verdict]
    calibrations: Mapping[Pair, Calibration]

    @property
    def better(self) -> bool:
        """Whether its files find and are found beyond chance."""
        return all(verdict.better for verdict in self.verdicts.values())


def join(
    pairs: Linked,
    distractors: Floats,
    defaults: Defaults | None = None,
    *,
    tried: Callable[[str], None] | None = None,
) -> Joining:
    """Fit and judge the map of one modality.

    Args:
        pairs: The modality's items come first; of their embeddings the tower's own count.
        distractors: ``(d, dim)`` further segments of the other modality.
        defaults: What ships with the encoder.
        tried: Called with the name of every rung that is begun.
    """
    there = _FromNothing(pairs=pairs, distractors=distractors)
    found = climb(there, tried=tried)
    fitted = found.after.fitted
    assert fitted is not None  # noqa: S101 - `climb` fits what it returns
    back, verdict = _found_by(pairs, there.baseline[1], found.after.placed, fitted)
    judged = ((there, found), (back, verdict))
    calibrations = {task.pairs.pair: calibrate(task, each.after, defaults) for task, each in judged}
    return Joining(
        map=there.whole(fitted.map),
        verdicts={task.pairs.pair: each for task, each in judged},
        calibrations={pair: one for pair, one in calibrations.items() if one is not None},
    )


class _FromNothing(Task):
    """Queries whose embeddings have nothing to do with the shared space yet."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rows, dim = self.pairs.first.embeddings.tower, self.targets.shape[1]
        self._directions = _principal(rows)
        self.features = rows @ self._directions
        self.unadapted = np.zeros((len(rows), dim), np.float32)
        self.strengths = (1.0,)
        drawn = np.random.default_rng(_SEED).normal(size=(rows.shape[1], dim))
        put = unit_or(rows @ drawn.astype(np.float32), np.full_like(self.unadapted, dim**-0.5))
        self.baseline = CHANCE, put

    def whole(self, found: QueryMap) -> QueryMap:
        """A map of the features as one of the tower's embeddings."""
        into = self._directions
        return replace(
            found, keep=0.0, mean=found.mean @ into.T, weights=into @ found.weights,
            inner=into @ found.inner,
        )  # fmt: skip


def _found_by(
    pairs: Linked, chance: Floats, placed: Floats, fitted: Fitted
) -> tuple[Task, Verdict]:
    """The other direction: the items are found where maps that had not seen them put them."""

    def asked(rows: Floats) -> tuple[Task, Judged]:
        items = replace(pairs.first, embeddings=replace(pairs.first.embeddings, shared=rows))
        turned = pairs.with_first(items).reversed()
        none = np.zeros((0, rows.shape[1]), np.float32)
        task = Task(pairs=turned, distractors=none)
        found = held_out_ranks(task, task.unadapted)
        return task, Judged(rung=CHANCE, placed=task.unadapted, ranks=found)

    _, before = asked(chance)
    task, after = asked(placed)
    groups = task.query_groups()
    return task, Verdict(
        before=before,
        after=replace(after, rung=fitted.rung.name, fitted=fitted),
        groups=groups,
        gain=gain(before.ranks, after.ranks, groups),
        gallery=gallery_size(task),
        tried={},
    )


def _principal(rows: Floats) -> Floats:
    """``(d, k)`` orthogonal directions that hold most of the variance; all where they are few."""
    d = rows.shape[1]
    if d <= MAX_FEATURES:
        return np.eye(d, dtype=np.float32)
    centred = (rows - rows.mean(axis=0)).astype(np.float64)
    directions = np.linalg.svd(centred, full_matrices=False)[2][:MAX_FEATURES]
    found: Floats = directions.T.astype(np.float32)
    return found
