"""What the doctor says: checks with a verdict, figures and advice, ready for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

Figure: TypeAlias = "float | int | str | bool | Sequence[Figure] | Mapping[str, Figure] | None"
"""A number, a text, or a list or table of them; never NaN: what is not known is None."""


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


_SEVERITY = list(Verdict)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The most severe of them; `Verdict.OK` when there are none."""
    return max(verdicts, key=_SEVERITY.index, default=Verdict.OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Grouped bars.

    Attributes:
        title: What is counted.
        labels: One per group.
        series: Heights by name of the series, one per group.
    """

    title: str
    labels: Sequence[str]
    series: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: Stable, for programs, e.g. ``hubness``.
        verdict: How it came out; what could not be measured is no finding.
        summary: One sentence.
        notes: Details for people, one line each.
        figures: What was measured.
        charts: The same to look at.
        advice: What to do about it; empty when nothing.
    """

    name: str
    verdict: Verdict
    summary: str
    notes: Sequence[str] = ()
    figures: Mapping[str, Figure] = field(default_factory=dict)
    charts: Sequence[Chart] = ()
    advice: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """All checks of one collection, in a fixed order.

    Attributes:
        location: Of the collection.
        encoder: Name and revision.
        checks: What was looked at.
        elapsed_s: How long it took.
    """

    location: str
    encoder: str
    checks: Sequence[Check]
    elapsed_s: float

    def __len__(self) -> int:
        return len(self.checks)

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __getitem__(self, name: str) -> Check:
        """The check of that name.

        Raises:
            KeyError: There is none.
        """
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    @property
    def verdict(self) -> Verdict:
        """The worst of all checks."""
        return worst(check.verdict for check in self.checks)

    @property
    def headline(self) -> str:
        """The verdict in words."""
        counts = {
            verdict: sum(check.verdict is verdict for check in self.checks) for verdict in Verdict
        }
        found = [
            f"{n} {verdict}{'s' if n > 1 else ''}"
            for verdict, n in reversed(counts.items())
            if n and verdict is not Verdict.OK
        ]
        return f"{len(self)} checks: {' and '.join(found) or 'healthy'}"

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "location": self.location,
            "encoder": self.encoder,
            "verdict": str(self.verdict),
            "elapsed_s": round(self.elapsed_s, 3),
            "checks": [{**asdict(check), "verdict": str(check.verdict)} for check in self.checks],
        }
