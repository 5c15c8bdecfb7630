"""A pool of decode processes in which a crash or a hang costs one asset.

Workers are plain subprocesses, so a script that uses polyseek needs no ``if __name__ ==
"__main__"`` guard. Each is driven by a thread of its own that waits for the answer, and killed
when it takes too long.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from polyseek.core.errors import AssetError, DecodeError, PolyseekError
from polyseek.core.runtime import available_cores
from polyseek.core.types import Asset
from polyseek.ingest.decode import Decoded, Toolbox
from polyseek.ingest.worker import READY

AHEAD = 16
"""Assets per worker that are decoded ahead of the encoder."""

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class Workers:
    """Decode processes, started when they are first needed and stopped at the end of the block.

    Args:
        tools: What each worker is given.
        count: Number of processes; 0 for one per core.
        timeout_s: Time one asset may take.
    """

    def __init__(self, tools: Toolbox, *, count: int, timeout_s: float) -> None:
        self._tools = tools
        self._count = count or available_cores()
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(self._count, thread_name_prefix="polyseek-decode")
        self._local = threading.local()
        self._started: list[_Worker] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for worker in self._started:
                worker.stop()
        self._threads.shutdown(wait=True)

    def decode(self, assets: Iterable[Asset]) -> Iterator[Decoded | AssetError]:
        """Decoded assets or their errors, as they are ready; a few per worker ahead of demand."""
        remaining = iter(assets)
        running: set[Future[Decoded | AssetError]] = set()
        while True:
            for asset in remaining:
                running.add(self._threads.submit(self._decode, asset))
                if len(running) >= self._count * AHEAD:
                    break
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()

    def _decode(self, asset: Asset) -> Decoded | AssetError:
        worker: _Worker | None = getattr(self._local, "worker", None)
        if worker is None or not worker.alive:
            worker = _Worker(self._tools)
            with self._lock:
                self._started.append(worker)
            self._local.worker = worker
        return worker.decode(asset, timeout_s=self._timeout_s)


class _Worker:
    """One process. Not thread-safe: one thread drives it."""

    def __init__(self, tools: Toolbox) -> None:
        environment = {**os.environ, **_ONE_THREAD, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "polyseek.ingest.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            # Ctrl-C in the terminal is for the parent, which finishes the batch in hand.
            **_own_process_group(),
        )
        try:
            self._send(tools)
            ready = self._receive()
        except (OSError, EOFError, pickle.UnpicklingError) as error:
            self.stop()
            raise PolyseekError("a decode worker did not start; see the message above") from error
        if ready != READY:
            raise PolyseekError(f"a decode worker answered {ready!r} instead of starting")

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def decode(self, asset: Asset, *, timeout_s: float) -> Decoded | AssetError:
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(timeout_s, give_up)
        timer.start()
        try:
            self._send(asset)
            answer: Decoded | AssetError = self._receive()
        except (OSError, EOFError, pickle.UnpicklingError):
            self.stop()
            reason = f"took longer than {timeout_s:g} s" if late.is_set() else "the decoder crashed"
            return DecodeError(asset.uri, reason)
        finally:
            timer.cancel()
        return answer

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe:
                    pipe.close()

    def _send(self, value: object) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened above, for the type checker
        pickle.dump(value, self._process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()

    def _receive(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - opened above, for the type checker
        return pickle.load(self._process.stdout)  # noqa: S301 - from our own worker


def _own_process_group() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}
