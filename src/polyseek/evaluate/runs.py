"""What was measured: figures with intervals, slices, the worst questions; saved and read again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from polyseek.core.errors import ConfigError
from polyseek.core.hits import Hit
from polyseek.core.metrics import Interval, mean_interval, median_interval
from polyseek.evaluate.outcomes import (
    METRICS,
    Outcome,
    plain,
    ranks_of,
    read_outcome,
    score,
    to_dict,
)
from polyseek.evaluate.plan import Direction
from polyseek.evaluate.slices import grouped

MIN_SLICE = 10
"""Fewer questions are no slice."""

MEDIAN = "median rank"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure with its 95 % interval; but for ranks between 0 and 1."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Figures of a part of the questions."""

    name: str
    value: str
    questions: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One direction after it was run.

    Attributes:
        name: ``text -> image``.
        source: Where the questions are from.
        mode: What was compared: ``hybrid``, ``dense`` or ``text``.
        searched: Number of items that were searched.
        outcomes: One per question.
    """

    name: str
    source: str
    mode: str
    searched: int
    outcomes: Sequence[Outcome]

    @property
    def groups(self) -> int:
        """Number of different assets that the questions are about."""
        return len({outcome.group for outcome in self.outcomes})

    @property
    def answered(self) -> float:
        """Share of the questions for which a search shows anything."""
        return float(np.mean([outcome.answered for outcome in self.outcomes]))

    def figures(self) -> dict[str, Figure]:
        """All figures by name."""
        return _figures(self.outcomes)

    def slices(self) -> list[Slice]:
        """Figures of every part that is large enough, where there is more than one."""
        found = []
        for name in dict.fromkeys(n for outcome in self.outcomes for n in outcome.slices):
            own = [o for o in self.outcomes if name in o.slices]
            values = grouped([outcome.slices[name] for outcome in own])
            parts = {
                value: [o for o, v in zip(own, values, strict=True) if v == value]
                for value in sorted(set(values), key=_natural)
            }
            large = {v: part for v, part in parts.items() if len(part) >= MIN_SLICE}
            if len(parts) > 1:
                found += [
                    Slice(name=name, value=v, questions=len(part), figures=_figures(part))
                    for v, part in large.items()
                ]
        return found

    def worst(self, limit: int) -> list[Outcome]:
        """The questions whose first right answer is furthest down, beyond the first place."""
        missed = [outcome for outcome in self.outcomes if outcome.rank > 1]
        return sorted(missed, key=lambda o: (-o.rank, o.ndcg, o.id))[:limit]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "name": self.name,
            "source": self.source,
            "mode": self.mode,
            "searched": self.searched,
            "questions": len(self.outcomes),
            "assets": self.groups,
            "answered": round(self.answered, 4),
            "figures": _figures_dict(self.figures()),
            "slices": [
                {
                    "name": part.name,
                    "value": part.value,
                    "questions": part.questions,
                    "figures": _figures_dict(part.figures),
                }
                for part in self.slices()
            ],
            "outcomes": [to_dict(outcome) for outcome in self.outcomes],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A whole evaluation.

    Attributes:
        location: Of the collection.
        encoder: Name and revision.
        retriever: Name or file of the stages that searched.
        directions: What was measured.
        notes: What was left out, and what to know when reading the figures.
        elapsed_s: Wall time by what it was spent on.
    """

    location: str
    encoder: str
    directions: Sequence[Measured]
    retriever: str = "default"
    notes: Sequence[str] = ()
    elapsed_s: Mapping[str, float] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Measured:
        """The direction of that name.

        Raises:
            KeyError: There is none.
        """
        for direction in self.directions:
            if direction.name == name:
                return direction
        raise KeyError(name)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form; `read_run` reads it."""
        return {
            "polyseek_run": 1,
            "location": self.location,
            "encoder": self.encoder,
            "retriever": self.retriever,
            "notes": list(self.notes),
            "elapsed_s": {stage: round(spent, 3) for stage, spent in self.elapsed_s.items()},
            "directions": [direction.to_dict() for direction in self.directions],
        }


def measured(
    direction: Direction,
    answers: Sequence[tuple[Sequence[Hit], bool]],
    *,
    mode: str,
    searched: int,
) -> Measured:
    """Score what a search found.

    Args:
        direction: The questions.
        answers: For each its hits, best first and one per item, and whether it found something.
        mode: What was compared.
        searched: Number of items that were searched.
    """
    outcomes = [
        score(question, hits, direction.captions, answered=answered)
        for question, (hits, answered) in zip(direction.questions, answers, strict=True)
    ]
    return Measured(
        name=direction.name,
        source=direction.source,
        mode=mode,
        searched=searched,
        outcomes=outcomes,
    )


def read_run(path: Path, option: str) -> Run:
    """A run that was saved as JSON.

    Raises:
        ConfigError: It cannot be read, or is none of ours; names the option.
    """
    try:
        return run_of(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{option} {path}: is no run that 'polyseek eval --json > {path}' has saved: {error}"
        ) from error


def run_of(read: Mapping[str, Any]) -> Run:
    """The reverse of `Run.to_dict`.

    Raises:
        KeyError, TypeError, ValueError: It is none of ours.
    """
    return Run(
        location=read["location"],
        encoder=read["encoder"],
        retriever=read.get("retriever", "default"),
        notes=read["notes"],
        elapsed_s=read["elapsed_s"],
        directions=[
            Measured(
                **{name: one[name] for name in ("name", "source", "mode", "searched")},
                outcomes=[read_outcome(outcome) for outcome in one["outcomes"]],
            )
            for one in read["directions"]
        ],
    )


def _figures(outcomes: Sequence[Outcome]) -> dict[str, Figure]:
    groups = [outcome.group for outcome in outcomes]
    found = {}
    for name, metric in METRICS.items():
        values = metric(outcomes)
        found[name] = Figure(value=float(values.mean()), interval=mean_interval(values, groups))
    ranks = ranks_of(outcomes)
    found[MEDIAN] = Figure(value=float(np.median(ranks)), interval=median_interval(ranks, groups))
    return found


def _figures_dict(figures: Mapping[str, Figure]) -> dict[str, Any]:
    return {
        name: {
            "value": plain(figure.value),
            "low": plain(figure.interval.low),
            "high": plain(figure.interval.high),
        }
        for name, figure in figures.items()
    }


def _natural(value: str) -> tuple[float, str]:
    """Sorts ranges of numbers by where they begin."""
    head = value.partition("-")[0].split()
    try:
        return float(head[0]), value
    except (ValueError, IndexError):
        return math.inf, value
