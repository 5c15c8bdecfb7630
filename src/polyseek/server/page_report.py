"""What the report's page shows of evaluations: percent with intervals, and what has changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from polyseek.evaluate.charts import svg
from polyseek.evaluate.diagnosis import Chart

SHOWN = ("R@1", "R@5", "R@10")


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A figure that differs from the evaluation before by more than chance; in percent."""

    direction: str
    metric: str
    before: str
    after: str
    better: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """An evaluation as it is shown.

    Attributes:
        number: Of the evaluation.
        time: As people read it, in UTC.
        encoder: Its name.
        rows: A direction's name, its figures in the order of `SHOWN`, the number of its queries,
            where they are from, and what was compared.
        compared: Whether there was one before to compare with.
        changes: Against the one before.
        notes: What to know when reading the figures, and what could not be compared.
        told: The evaluation as the API tells it.
    """

    number: int
    time: str
    encoder: str
    rows: Sequence[Mapping[str, Any]]
    compared: bool
    changes: Sequence[Change]
    notes: Sequence[str]
    told: Mapping[str, Any]

    @property
    def chart(self) -> str:
        """Bars of the figures by direction, as HTML."""
        directions = self.told["directions"]
        return svg(
            Chart(
                title="Queries with a right answer among the first",
                labels=[one["name"] for one in directions],
                series={
                    name: [one["figures"][name]["value"] for one in directions] for name in SHOWN
                },
            )
        )


def measurement(told: Mapping[str, Any]) -> Measurement:
    """An evaluation of the API as the page shows it."""
    comparison = told["comparison"]
    found = comparison or {"differences": [], "notes": []}
    return Measurement(
        number=told["number"],
        time=datetime.fromisoformat(told["time"]).strftime("%Y-%m-%d %H:%M"),
        encoder=told["encoder"].partition("@")[0],
        rows=[_row(one) for one in told["directions"]],
        compared=comparison is not None,
        changes=[
            Change(
                direction=one["direction"],
                metric=one["metric"],
                before=_percent(one["before"]),
                after=_percent(one["after"]),
                better=one["after"] > one["before"],
            )
            for one in found["differences"]
            if one["significant"]
        ],
        notes=[*told["notes"], *found["notes"]],
        told=told,
    )


def _row(direction: Mapping[str, Any]) -> dict[str, Any]:
    figures = direction["figures"]
    return {
        "name": direction["name"],
        "figures": [
            (_percent(one["value"]), f"{_percent(one['low'])} to {_percent(one['high'])}")
            for one in (figures[name] for name in SHOWN)
        ],
        "questions": direction["questions"],
        "source": direction["source"],
        "mode": direction["mode"],
    }


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"
