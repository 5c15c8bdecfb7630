"""What a server process holds: its open collections, the encoders they share, its threads."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from polyseek import api
from polyseek.api import opening
from polyseek.core.config import Settings, resolve_settings
from polyseek.core.errors import CollectionNotFoundError, PolyseekError, StoreError
from polyseek.core.hits import Clip
from polyseek.core.protocols import Encoder
from polyseek.core.runtime import available_cores
from polyseek.encode.batching import BatchingEncoder, batching
from polyseek.ingest.aside import AsideWorkers
from polyseek.ingest.term import TEXT_PREFIX
from polyseek.server.gate import Gate
from polyseek.server.jobs import Jobs
from polyseek.server.links import Links
from polyseek.server.metrics import Metrics
from polyseek.server.previews import PreviewKey, Previews
from polyseek.server.problems import ProblemError
from polyseek.server.settings import ServerSettings
from polyseek.server.uploads import Uploads

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


class State:
    """One per process, at ``app.state.polyseek``. Collections open at their first use."""

    def __init__(self, server: ServerSettings, settings: Settings | None = None) -> None:
        self.server = server
        self.settings = settings or resolve_settings()
        self.metrics = Metrics()
        decoders = max(2, available_cores() // 2)
        self.aside = AsideWorkers(
            count=decoders,
            timeout_s=server.request_timeout_s / 2,
            patience_s=server.request_timeout_s / 2,
        )
        # Of their own: a page of thumbnails must not keep searches waiting.
        self._drawing = self._gate(threads=decoders)
        self._previews = Previews(self.aside, self.metrics)
        self.uploads = Uploads(self.aside, max_bytes=server.max_body_bytes)
        self.gate = self._gate(threads=server.threads)
        self.examining = Gate(
            threads=1, max_waiting=0, timeout_s=server.doctor_timeout_s, metrics=self.metrics
        )
        self.jobs = Jobs(server.jobs, server.roots)
        self.closing = self.ready = False
        self._opening = threading.Lock()
        self._open: dict[str, api.Collection] = {}
        self._encoders: dict[str, BatchingEncoder] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def warm(self) -> None:
        """Load what the first search would wait for. Blocks, for seconds."""
        for name in self.names:
            try:
                self.with_collection(name, _first_search)
            except PolyseekError as error:
                _log.warning("collection %s cannot be searched: %s", name, error)
        self.aside.warm()
        self.ready = True

    @property
    def names(self) -> list[str]:
        """Of the collections."""
        return sorted(self.server.collections)

    def links(self, name: str) -> Links:
        """How a collection's things are named in answers."""
        return Links(name, show_files=not self.server.exposed)

    def location(self, name: str) -> str:
        """Where a collection is.

        Raises:
            ProblemError: There is none of that name (404).
        """
        if name not in self.server.collections:
            raise ProblemError(404, "unknown-collection", "there is no collection of that name")
        return self.server.collections[name]

    def collection(self, name: str) -> api.Collection:
        """The collection of that name, opened at the first use. Blocks: call it in a thread.

        Raises:
            ProblemError: There is none of that name (404).
            StoreError: It is gone or cannot be read.
        """
        location = self.location(name)
        with self._opening:
            if name not in self._open:
                self._open[name] = self._opened(location)
            return self._open[name]

    async def run(self, work: Callable[[], _T]) -> _T:
        """The result of blocking work, done in a thread. See `Gate.run`."""
        return await self.gate.run(work)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on by itself."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def draw(self, key: PreviewKey) -> Clip | None:
        """A preview, kept for the next time; None where there is nothing to see or hear."""
        return await self._drawing.run(lambda: self._previews.get(key))

    async def use(self, name: str, work: Callable[[api.Collection], _T]) -> _T:
        """The result of blocking work with a collection."""
        return await self.gate.run(lambda: self.with_collection(name, work))

    def with_collection(self, name: str, work: Callable[[api.Collection], _T]) -> _T:
        """As `use`, in this thread. A collection that is gone is opened anew the next time."""
        opened = self.collection(name)
        try:
            return work(opened)
        except StoreError as error:
            with self._opening:
                self._open.pop(name, None)
            self._still_there(name, error)
            raise

    def close(self) -> None:
        """Let go of everything."""
        self.closing = True
        self.jobs.close()
        self.gate.close()
        self._drawing.close()
        self.examining.close()
        self.aside.close()
        for encoder in self._encoders.values():
            encoder.close()

    def _gate(self, *, threads: int) -> Gate:
        return Gate(
            threads=threads,
            max_waiting=self.server.max_waiting,
            timeout_s=self.server.request_timeout_s,
            metrics=self.metrics,
        )

    def _opened(self, location: str) -> api.Collection:
        return api.open(location, create=False, settings=self.settings, loader=self._encoder)

    def _still_there(self, name: str, error: StoreError) -> None:
        try:
            api.open(
                self.location(name), create=False, settings=self.settings, loader=self._encoder
            )
        except CollectionNotFoundError:
            _log.warning("collection %s is gone", name)
            raise CollectionNotFoundError(str(error)) from error
        except StoreError:
            return

    def _encoder(self, name: str, settings: Settings) -> Encoder:
        """One encoder for all collections made with it."""
        if name not in self._encoders:
            self._encoders[name] = batching(
                opening.load_encoder(name, settings),
                batched=self.metrics.batch.observe,
                looked_up=self.metrics.looked_up("embeddings"),
            )
        return self._encoders[name]


def _first_search(collection: api.Collection) -> None:
    collection.search(TEXT_PREFIX + "anything", limit=1, show_all=True)


def get_state(request: Request) -> State:
    """The state of the app that a request came to."""
    state: State = request.app.state.polyseek
    return state


StateDep = Annotated[State, Depends(get_state)]
