"""The one ingest road. Every entry point (CLI, Python, server) goes through `ingest`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from types import FrameType

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError
from polyseek.core.protocols import Encoder, Source, Store
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Failure,
    IngestReport,
    Progress,
    ProgressCallback,
)
from polyseek.ingest.batch import Batcher
from polyseek.ingest.decode import Decoded, toolbox
from polyseek.ingest.plan import Plan, failed_record, make_plan
from polyseek.ingest.workers import Workers

COMMIT_SEGMENTS = 512
COMMIT_SECONDS = 20.0


def ingest(
    source: Source,
    *,
    encoder: Encoder,
    store: Store,
    options: IndexOptions,
    progress: ProgressCallback | None = None,
) -> IngestReport:
    """Bring a collection up to date with a source.

    List -> skip what is unchanged -> decode in worker processes -> encode in batches -> store.
    Killed at any point, the next run goes on from the last commit. Ctrl-C finishes the batch in
    hand; a second one stops at once.

    Raises:
        SourceError: The source cannot be listed.
        CollectionBusyError: Another process is writing to the collection.
    """
    started = perf_counter()
    with store.writing(), _interruptible() as stop:
        plan = make_plan(source, store.records(), options, progress)
        run = _Run(plan=plan, encoder=encoder, store=store)
        announcements = plan.announcements()
        if announcements:
            store.upsert(announcements, [])
        if plan.todo:
            tools = toolbox(source, encoder.info, options)
            with Workers(tools, count=options.workers, timeout_s=options.timeout_s) as workers:
                for done, answer in enumerate(workers.decode(plan.todo), 1):
                    run.take(answer)
                    if progress:
                        uri = answer.uri if isinstance(answer, AssetError) else answer.asset.uri
                        progress(
                            Progress(stage="index", done=done, total=len(plan.todo), label=uri)
                        )
                    if stop.is_set():
                        break
            run.commit(flush=True)
        if plan.deleted and not stop.is_set():
            store.delete(plan.deleted)
            run.deleted = len(plan.deleted)
        if announcements or plan.todo or run.deleted:
            if progress:
                progress(Progress(stage="tidy", done=0, total=None))
            store.optimize()
    return run.report(interrupted=stop.is_set(), elapsed_s=perf_counter() - started)


@dataclass(kw_only=True)
class _Run:
    """What has happened so far in one run."""

    plan: Plan
    encoder: Encoder
    store: Store
    added: int = 0
    updated: int = 0
    moved: int = 0
    deleted: int = 0
    segments: int = 0
    failures: list[Failure] = field(default_factory=list)
    _failed: list[AssetRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._batcher = Batcher(self.encoder)
        self._assets = {asset.uri: asset for asset in self.plan.todo}
        self._committed = perf_counter()
        self.failures.extend(self.plan.failures())

    def take(self, answer: Decoded | AssetError) -> None:
        """Encode a decoded asset, or note its failure; commit when enough has come together."""
        if isinstance(answer, AssetError):
            record = failed_record(answer.uri, answer, self._assets[answer.uri])
            self._failed.append(record)
            self._note(record)
        else:
            self._count(answer, reused=self._reuse(answer))
        late = perf_counter() - self._committed > COMMIT_SECONDS
        if late or self._batcher.segments + len(self._failed) >= COMMIT_SEGMENTS:
            self.commit()

    def commit(self, *, flush: bool = False) -> None:
        """Make finished assets durable; `flush` first encodes batches that are not full."""
        if flush:
            self._batcher.flush()
        encoded = self._batcher.take()
        records = encoded.records + self._failed
        if records:
            self.store.upsert(records, encoded.batches)
        for record in encoded.records:
            self._note(record)
        self.segments += sum(len(batch) for batch in encoded.batches)
        self._failed = []
        self._committed = perf_counter()

    def report(self, *, interrupted: bool, elapsed_s: float) -> IngestReport:
        return IngestReport(
            added=self.added,
            updated=self.updated,
            moved=self.moved,
            skipped=self.plan.skipped,
            deleted=self.deleted,
            segments=self.segments,
            failures=tuple(self.failures),
            interrupted=interrupted,
            elapsed_s=elapsed_s,
        )

    def _reuse(self, decoded: Decoded) -> bool:
        """Whether equal content in the collection lent its embeddings: a move, copy or touch."""
        same = self.plan.by_content.get(decoded.content_hash)
        return same is not None and self._batcher.reuse(decoded, self.store.fetch([same.uri]))

    def _count(self, decoded: Decoded, *, reused: bool) -> None:
        before = self.plan.known.get(decoded.asset.uri)
        if not reused:
            self._batcher.add(decoded)
        if before and before.status is not AssetStatus.PENDING:
            self.updated += 1
        elif reused:
            self.moved += 1
        else:
            self.added += 1

    def _note(self, record: AssetRecord) -> None:
        if record.reason:
            self.failures.append(
                Failure(uri=record.uri, status=record.status, reason=record.reason)
            )


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C sets; the second one raises `KeyboardInterrupt`."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()

    before = signal.signal(signal.SIGINT, note)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
