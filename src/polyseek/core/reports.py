"""What a long operation tells while it runs and when it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from polyseek.core.types import AssetStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An asset that is not fully searchable, and why."""

    uri: str
    status: AssetStatus
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestReport:
    """What one ingest run did, in assets.

    Attributes:
        added: New assets indexed.
        updated: Changed assets indexed again.
        moved: Assets that took over the embeddings of equal content.
        skipped: Unchanged assets.
        deleted: Assets no longer in the source, removed from the collection.
        segments: Segments written.
        failures: Assets recorded as failed, partial or unsupported in this run.
        interrupted: True when the run was stopped early; the next run goes on from there.
        elapsed_s: Wall time in seconds.
    """

    added: int = 0
    updated: int = 0
    moved: int = 0
    skipped: int = 0
    deleted: int = 0
    segments: int = 0
    failures: Sequence[Failure] = ()
    interrupted: bool = False
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Which assets a search could not see: `searched`, `failed` and `pending` count assets."""

    searched: int
    failed: int
    pending: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a long operation is; `total` is None while unknown, `label` the current item."""

    stage: str
    done: int
    total: int | None
    label: str = ""


ProgressCallback: TypeAlias = Callable[[Progress], None]
