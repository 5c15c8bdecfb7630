"""What long-lived programs decode between runs, in worker processes: queries and previews.

Files that strangers send, and files that are looked at again, are as dangerous here as they are in
a run: the same limits hold, and a crash or a hang costs one request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from queue import Empty, LifoQueue
from typing import TypeAlias

from polyseek.core.errors import AssetError, ConfigError
from polyseek.core.hits import Clip, Hit, Query
from polyseek.core.types import EncoderInfo, Modality
from polyseek.ingest.preview import picture, preview
from polyseek.ingest.term import read_file
from polyseek.ingest.workers import Worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """Make a query of a file.

    Attributes:
        path: Where it is.
        name: What it is called; the ending decides how it is read.
        encoder: Whose towers decide what it is, and prepare it.
    """

    path: Path
    name: str
    encoder: EncoderInfo

    @property
    def uri(self) -> str:
        """What errors name."""
        return self.name

    def answer(self) -> Query:
        """The query, as far as it can be made without the encoder itself."""
        try:
            query = read_file(self.path, name=self.name, encoder=self.encoder)
        except ConfigError as error:  # it names files of this machine
            reason = (
                "the tower that reads such files cannot be used here; 'polyseek doctor' says why"
            )
            raise AssetError(self.name, reason) from error
        tower = self.encoder.towers.get(query.modality)
        if tower is None or query.modality is Modality.TEXT:
            return replace(query, signals=query.signals if tower else ())
        return replace(query, signals=[tower.prepare(s) for s in query.signals], prepared=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """Make a preview of a hit: a still picture, or what `preview` gives."""

    hit: Hit
    still: bool

    @property
    def uri(self) -> str:
        """What errors name."""
        return self.hit.uri

    def answer(self) -> Clip | None:
        """The preview; None where there is nothing to see or hear."""
        return picture(self.hit) if self.still else preview(self.hit)


Request: TypeAlias = "Read | Show"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The one answer to a request."""

    value: Query | Clip | None
    last: bool = True


class Aside:
    """What a worker does with requests; see `decode.Toolbox`."""

    def answers(self, request: Request, _: Callable[[], None]) -> Iterator[Answer]:
        """One answer."""
        yield Answer(value=request.answer())


class AsideWorkers:
    """A few processes that wait for requests. They start when they are first needed.

    Safe to share between threads, each of which waits for its answer.

    Args:
        count: Processes, and so requests that are worked on at once.
        timeout_s: Time one request may take.
        patience_s: Time a request may wait for a process.
    """

    def __init__(self, *, count: int, timeout_s: float, patience_s: float) -> None:
        self._timeout_s, self._patience_s = timeout_s, patience_s
        self._idle: LifoQueue[Worker | None] = LifoQueue()
        for _ in range(count):
            self._idle.put(None)
        self._count = count

    def read(self, request: Read) -> Query:
        """The query that a file stands for.

        Raises:
            AssetError: It cannot be decoded; also when that takes too long or crashes.
            TimeoutError: All processes are busy.
        """
        found = self._ask(request)
        assert isinstance(found, Query)  # noqa: S101 - what `Read` answers
        return found

    def show(self, request: Show) -> Clip | None:
        """A preview. Raises as `read` does."""
        found = self._ask(request)
        assert found is None or isinstance(found, Clip)  # noqa: S101 - what `Show` answers
        return found

    def warm(self) -> None:
        """Start one process, so that the first request need not wait for it."""
        worker = self._idle.get()
        try:
            worker = worker or Worker(Aside())
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes, once each has nothing in hand."""
        taken = [self._idle.get() for _ in range(self._count)]
        for worker in taken:
            if worker is not None:
                worker.stop()
            self._idle.put(None)

    def _ask(self, request: Request) -> Query | Clip | None:
        try:
            worker = self._idle.get(timeout=self._patience_s)
        except Empty:
            raise TimeoutError("all decode workers are busy") from None
        try:
            if worker is not None and not worker.alive:
                worker.stop()
                worker = None
            worker = worker or Worker(Aside())
            answer = next(worker.decode(request, timeout_s=self._timeout_s))
        finally:
            self._idle.put(worker)
        if isinstance(answer, AssetError):
            raise answer
        value: Query | Clip | None = answer.value
        return value
