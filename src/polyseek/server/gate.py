"""Blocking work off the event loop: so many threads, so many waiting, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from polyseek.server.metrics import Metrics
from polyseek.server.problems import ProblemError

_T = TypeVar("_T")

RETRY_AFTER_S = 1


class Gate:
    """Runs functions in threads.

    Work that is over its time goes on in its thread and keeps its place there until it ends.

    Args:
        threads: Functions that run at once.
        max_waiting: Functions that may wait for a thread.
        timeout_s: Time from the request to the answer.
        metrics: Counts those that wait and those that are refused.
    """

    def __init__(
        self, *, threads: int, max_waiting: int, timeout_s: float, metrics: Metrics
    ) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="polyseek")
        self._most = threads + max_waiting
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._inside = 0

    async def run(self, work: Callable[[], _T]) -> _T:
        """The function's result.

        Raises:
            ProblemError: Too many are waiting (503).
            TimeoutError: It took too long.
        """
        if self._inside >= self._most:
            self._metrics.refused.labels("busy").inc()
            raise ProblemError(
                503,
                "busy",
                "the server has as many requests as it can hold; try again shortly",
                {"Retry-After": str(RETRY_AFTER_S)},
            )
        self._inside += 1
        self._metrics.inside.inc()
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._leave)
        async with asyncio.timeout(self._timeout_s):
            return await asyncio.shield(future)

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._pool.shutdown(cancel_futures=True)

    def _leave(self, future: asyncio.Future[_T]) -> None:
        self._inside -= 1
        self._metrics.inside.dec()
        if not future.cancelled():
            future.exception()  # read it: nobody may be waiting any more
