"""The last evaluations of a collection, kept with it: to look at, and to compare with."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from polyseek.core.errors import ConfigError, StoreError
from polyseek.core.protocols import Store, StoreReader
from polyseek.evaluate.compare import compare
from polyseek.evaluate.runs import Run, run_of

SHELF = "evaluations"
"""Attachment that lists them; each run is another one."""

KEPT = 8
"""Of more, the oldest are forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """An evaluation that was kept, without its questions.

    Attributes:
        number: Counts all that were ever kept.
        time: When it was kept.
        encoder: Name and revision.
        directions: As `Run.to_dict` gives them, without slices and questions.
        notes: What to know when reading the figures.
        comparison: With the one before, as `Comparison.to_dict` gives it; None for the first.
    """

    number: int
    time: datetime
    encoder: str
    directions: Sequence[Mapping[str, Any]]
    notes: Sequence[str]
    comparison: Mapping[str, Any] | None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "number": self.number,
            "time": self.time.isoformat(timespec="seconds"),
            "encoder": self.encoder,
            "directions": list(self.directions),
            "notes": list(self.notes),
            "comparison": self.comparison,
        }


class Evaluations:
    """What `Collection.evaluations` gives: the newest first."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __iter__(self) -> Iterator[Evaluation]:
        return iter(reversed(self._listed()))

    def __len__(self) -> int:
        return len(self._listed())

    def keep(self, run: Run) -> Evaluation:
        """Keep a run with the collection, and compare it with the one before.

        Raises:
            CollectionBusyError: Another process is writing to the collection.
            StoreError: The collection cannot be written, or is an old version.
        """
        with self._store.writing():
            before = self._listed()
            comparison = None
            if before:
                with suppress(StoreError):  # one that cannot be read is nothing to compare with
                    comparison = compare(self.run(before[-1].number), run).to_dict()
            whole = run.to_dict()
            kept = Evaluation(
                number=before[-1].number + 1 if before else 1,
                time=datetime.now(UTC),
                encoder=run.encoder,
                directions=[_brief(one) for one in whole["directions"]],
                notes=run.notes,
                comparison=comparison,
            )
            self._store.attach(_place(kept.number), gzip.compress(json.dumps(whole).encode()))
            after = [*before, kept]
            listed = [one.to_dict() for one in after[-KEPT:]]
            self._store.attach(SHELF, json.dumps(listed).encode())
            for old in after[:-KEPT]:
                self._store.attach(_place(old.number), None)
        return kept

    def run(self, number: int) -> Run:
        """An evaluation with all its questions.

        Raises:
            ConfigError: It is not kept, or not any more.
            StoreError: It cannot be read.
        """
        data = self._store.attachment(_place(number))
        if data is None:
            known = ", ".join(str(one.number) for one in self) or "none"
            raise ConfigError(f"there is no evaluation {number}; kept: {known}")
        try:
            return run_of(json.loads(gzip.decompress(data)))
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"evaluation {number} cannot be read: {error}") from error

    def _listed(self) -> list[Evaluation]:
        """The oldest first."""
        data = self._store.attachment(SHELF)
        rows = json.loads(data) if data else []
        return [Evaluation(**{**row, "time": datetime.fromisoformat(row["time"])}) for row in rows]


def carry(old: StoreReader, new: Store) -> None:
    """Take them over into another index of the collection. Only call within `writing()`."""
    data = old.attachment(SHELF)
    if data is None:
        return
    for row in json.loads(data):
        new.attach(_place(row["number"]), old.attachment(_place(row["number"])))
    new.attach(SHELF, data)


def _brief(direction: Mapping[str, Any]) -> dict[str, Any]:
    left_out = ("slices", "outcomes")
    return {name: value for name, value in direction.items() if name not in left_out}


def _place(number: int) -> str:
    return f"{SHELF}/{number}"
