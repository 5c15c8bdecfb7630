"""The one ingest road. Every entry point (CLI, Python, server) goes through `ingest`."""

from __future__ import annotations

import signal
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter
from types import FrameType

from polyseek.core.config import IndexOptions, Settings
from polyseek.core.errors import AssetError
from polyseek.core.hits import HubBiases
from polyseek.core.protocols import Encoder, Source, SparseEncoder, Store
from polyseek.core.reports import Failure, IngestReport, Progress, ProgressCallback
from polyseek.core.types import AssetRecord, AssetStatus, SegmentBatch
from polyseek.ingest.batch import Batcher, Lent, lent, without
from polyseek.ingest.decode import Part, toolbox
from polyseek.ingest.plan import Plan, failed_record, make_plan
from polyseek.ingest.recognise import Recognisers, recognisers
from polyseek.ingest.reuse import Reuse
from polyseek.ingest.sparse import with_sparse
from polyseek.ingest.workers import Workers

COMMIT_SEGMENTS = 512
COMMIT_SECONDS = 20.0


def ingest(
    source: Source,
    *,
    encoder: Encoder,
    store: Store,
    options: IndexOptions,
    hub_biases: HubBiases | None = None,
    progress: ProgressCallback | None = None,
    settings: Settings | None = None,
    sparse: SparseEncoder | None = None,
    reuse: Reuse | None = None,
) -> IngestReport:
    """Bring a collection up to date with a source.

    List -> skip what is unchanged -> decode in worker processes -> encode in batches -> store.
    Killed at any point, the next run goes on from the last commit; a long recording is decoded
    again and encoded from where it broke off. Ctrl-C finishes the batch in hand; a second one
    stops at once.

    Args:
        source: What to index.
        encoder: The collection's encoder.
        store: The collection's rows.
        options: How.
        hub_biases: Computes the hub biases stored beside each embedding; None for none.
        progress: Called with every step.
        settings: Where recognisers find their models; defaults as for every process.
        sparse: The collection's sparse encoder, for all that has words; None for none.
        reuse: What recognisers have read before, instead of having them read again.

    Raises:
        MissingExtraError: A recogniser that is asked for is not installed; nothing was done.
        ConfigError: A tower that was joined to the encoder is not there; nothing was done.
        SourceError: The source cannot be listed, or suddenly lists nothing.
        CollectionBusyError: Another process is writing to the collection.
    """
    started = perf_counter()
    for reader in encoder.info.readers:
        reader.ready()
    with store.writing(), _interruptible() as stop:
        records = list(store.records())
        engines = Recognisers() if reuse else recognisers(options, records, settings)
        marks = reuse.marks if reuse else engines.marks
        plan = make_plan(source, records, options, progress, encoder=encoder.info, marks=marks)
        run = _Run(
            plan=plan, encoder=encoder, store=store, hub_biases=hub_biases, sparse=sparse,
            reuse=reuse,
        )  # fmt: skip
        announcements = plan.announcements()
        if announcements:
            store.upsert(announcements, [])
        if plan.todo:
            tools = toolbox(source, encoder.info, options, engines)
            with Workers(tools, count=options.workers, timeout_s=options.timeout_s) as workers:
                for answer in workers.decode(plan.todo):
                    run.take(answer)
                    if progress:
                        progress(run.progress(answer))
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
    hub_biases: HubBiases | None
    sparse: SparseEncoder | None = None
    reuse: Reuse | None = None
    added: int = 0
    updated: int = 0
    moved: int = 0
    deleted: int = 0
    segments: int = 0
    done: int = 0
    failures: list[Failure] = field(default_factory=list)
    _failed: list[AssetRecord] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._batcher = Batcher(self.encoder, self._lend, whole=self.plan.whole)
        self._assets = {asset.uri: asset for asset in self.plan.todo}
        self._committed = perf_counter()
        self.failures.extend(self.plan.failures())

    def take(self, answer: Part | AssetError) -> None:
        """Encode a part of an asset, or note a failure; commit when enough has come together."""
        if not isinstance(answer, AssetError):
            self._batcher.add(self.reuse.added(answer) if self.reuse else answer)
        elif not self._batcher.fail(answer):
            self._failed.append(failed_record(answer.uri, answer, self._assets[answer.uri]))
        self.done += isinstance(answer, AssetError) or answer.last
        late = perf_counter() - self._committed > COMMIT_SECONDS
        if late or self._batcher.segments + len(self._failed) >= COMMIT_SEGMENTS:
            self.commit()

    def commit(self, *, flush: bool = False) -> None:
        """Make what is encoded durable; `flush` first encodes batches that are not full."""
        if flush:
            self._batcher.flush()
        encoded = self._batcher.take()
        begun = self._batcher.unfinished()
        for uri, ids in encoded.left.items():
            self._drop(uri, ids)
        records = encoded.records + self._failed
        if records or begun.records:
            batches = [self._corrected(batch) for batch in encoded.batches + begun.batches]
            self.store.upsert(records + begun.records, batches, keep=encoded.kept | begun.kept)
        for record in encoded.records:
            self._count(record, borrowed=record.uri in encoded.borrowed)
        for record in records:
            self._note(record)
        self.segments += sum(record.segments for record in encoded.records)
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

    def progress(self, answer: Part | AssetError) -> Progress:
        """Where the run stands after this answer; inside a long recording, its share."""
        if isinstance(answer, AssetError):
            label = answer.uri
        else:
            within = answer.share is not None and not answer.last
            label = answer.asset.uri + (f" {answer.share:.0%}" if within else "")
        return Progress(stage="index", done=self.done, total=len(self.plan.todo), label=label)

    def _lend(self, uri: str, content_hash: str) -> Lent:
        """Embeddings of equal content in the collection: a move, a copy, a run that broke off."""
        own = self.plan.known.get(uri)
        if own and own.segments and own.content_hash == content_hash:
            return lent(self.store.fetch([uri]), begun=uri not in self.plan.whole)
        same = self.plan.by_content.get(content_hash)
        return lent(self.store.fetch([same.uri])) if same else Lent()

    def _drop(self, uri: str, ids: Collection[str]) -> None:
        """Take segments of a run that broke off away: this one, of other options, lacks them."""
        stored = without(self.store.fetch([uri]), ids)
        pending = replace(self.plan.known[uri], segments=sum(map(len, stored)))
        self.store.upsert([pending], stored)

    def _corrected(self, batch: SegmentBatch) -> SegmentBatch:
        if self.sparse is not None:
            batch = with_sparse(batch, self.sparse)
        if self.hub_biases is None:
            return batch
        return replace(batch, hub_bias=self.hub_biases(batch.modality, batch.embeddings))

    def _count(self, record: AssetRecord, *, borrowed: bool) -> None:
        before = self.plan.known.get(record.uri)
        if before and before.status is not AssetStatus.PENDING:
            self.updated += 1
        elif borrowed and not (before and before.segments):
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
