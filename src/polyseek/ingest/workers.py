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
from contextlib import suppress
from dataclasses import dataclass
from queue import Full, Queue
from typing import Any

from polyseek.core.errors import AssetError, ConfigError, PolyseekError
from polyseek.core.runtime import available_cores
from polyseek.core.types import Asset
from polyseek.ingest.decode import Part, Toolbox
from polyseek.ingest.worker import READY

AHEAD = 16
"""Parts per worker that are decoded ahead of the encoder."""

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class Workers:
    """Decode processes, started when they are first needed and stopped at the end of the block.

    Args:
        tools: What each worker is given.
        count: Number of processes; 0 for one per core.
        timeout_s: Time that may pass between two steps forward inside an asset.

    Raises:
        ConfigError: A source, decoder or segmenter cannot be pickled.
    """

    def __init__(self, tools: Toolbox, *, count: int, timeout_s: float) -> None:
        try:
            self._tools = _pickled(tools)
        except Exception as error:  # pickling raises what it meets
            raise ConfigError(
                "a source, decoder, segmenter or encoder plug-in cannot be sent to the decode "
                f"workers: {error}; all of them must be picklable"
            ) from error
        self._count = count or available_cores()
        self._timeout_s = timeout_s
        self._ready: Queue[Part | AssetError | _End] = Queue(self._count * AHEAD)
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._started: list[Worker] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        with self._lock:
            for worker in self._started:
                worker.kill()
        for thread in self._threads:
            thread.join()
        # Only now does no thread read from them any more.
        for worker in self._started:
            worker.stop()

    def decode(self, assets: Iterable[Asset]) -> Iterator[Part | AssetError]:
        """Parts of decoded assets, or their errors, as they are ready.

        Parts of one asset come in order, those of several assets interleaved; a few per worker are
        decoded ahead of demand. An error ends its asset, also after some of its parts.
        """
        remaining = iter(assets)
        for _ in range(self._count):
            thread = threading.Thread(target=self._drive, args=(remaining,), daemon=True)
            self._threads.append(thread)
            thread.start()
        running = self._count
        while running:
            answer = self._ready.get()
            if not isinstance(answer, _End):
                yield answer
                continue
            running -= 1
            if answer.error:
                raise answer.error

    def _drive(self, remaining: Iterator[Asset]) -> None:
        """Decode assets one after the other in a process of this thread's own."""
        end = _End()
        try:
            self._decode_all(remaining)
        except PolyseekError as error:
            end.error = error
        except Exception as error:  # noqa: BLE001 - `decode` raises it, in the caller's thread
            end.error = PolyseekError(f"decoding stopped: {type(error).__name__}: {error}")
            end.error.__cause__ = error
        finally:
            self._put(end)

    def _decode_all(self, remaining: Iterator[Asset]) -> None:
        worker = None
        while (asset := self._next(remaining)) is not None:
            if worker is None or not worker.alive:
                worker = self._start()
            for answer in worker.decode(asset, timeout_s=self._timeout_s):
                self._put(answer)

    def _next(self, remaining: Iterator[Asset]) -> Asset | None:
        with self._lock:
            return None if self._stopping.is_set() else next(remaining, None)

    def _start(self) -> Worker:
        worker = Worker(self._tools)
        with self._lock:
            self._started.append(worker)
            if self._stopping.is_set():
                worker.kill()
        return worker

    def _put(self, answer: Part | AssetError | _End) -> None:
        """Wait for room, unless nobody takes any more."""
        while not self._stopping.is_set():
            with suppress(Full):
                self._ready.put(answer, timeout=0.2)
                return


@dataclass
class _End:
    """A thread has no more assets, or its worker cannot start."""

    error: PolyseekError | None = None


class Worker:
    """One process. Not thread-safe: one thread drives it.

    Args:
        tools: What it works with, pickled or not: an object whose ``answers(asset, alive)`` gives
            what `decode` gives.
    """

    def __init__(self, tools: object) -> None:
        # Modules in the working folder are files to index, not code to run.
        path = os.pathsep.join(filter(os.path.isabs, sys.path))
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-P", "-m", "polyseek.ingest.worker", str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
                # Ctrl-C in the terminal is for the parent, which finishes the batch in hand.
                **_own_process_group(),
            )
        except OSError as error:
            raise PolyseekError(
                f"a decode worker cannot be started: {error.strerror}; ask for fewer (--workers)"
            ) from error
        try:
            self._send(tools if isinstance(tools, bytes) else _pickled(tools))
            ready = self._receive()
        except Exception as error:
            self.stop()
            raise PolyseekError("a decode worker did not start; see the message above") from error
        if ready != READY:
            self.stop()
            raise PolyseekError(f"a decode worker answered {ready!r} instead of starting")

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.poll() is None

    def decode(self, asset: Any, *, timeout_s: float) -> Iterator[Any]:
        """What comes of an asset, or of a request of another kind; an error ends it, too."""
        try:
            self._send(_pickled(asset))
        except OSError:
            self.stop()
            yield AssetError(asset.uri, "the decoder crashed")
            return
        while True:
            answer = self._answer(asset, timeout_s)
            if isinstance(answer, str):  # a sign of life
                continue
            yield answer
            if isinstance(answer, AssetError) or answer.last:
                return

    def _answer(self, asset: Any, timeout_s: float) -> Any:
        late = threading.Event()

        def give_up() -> None:
            late.set()
            self._process.kill()

        timer = threading.Timer(timeout_s, give_up)
        timer.start()
        try:
            return self._receive()
        except (OSError, EOFError, pickle.UnpicklingError):
            self.stop()
            reason = f"took longer than {timeout_s:g} s" if late.is_set() else "the decoder crashed"
            return AssetError(asset.uri, reason)
        except Exception as error:  # noqa: BLE001 - unpickling raises what it meets
            self.stop()
            problem = f"{type(error).__name__}: {error}"
            return AssetError(asset.uri, f"what the decoder gave cannot be read: {problem}")
        finally:
            timer.cancel()

    def kill(self) -> None:
        """End it, also while a thread waits for its answer."""
        self._process.kill()

    def stop(self) -> None:
        """End it and wait for that."""
        self.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if pipe:
                    pipe.close()

    def _send(self, pickled: bytes) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened above, for the type checker
        self._process.stdin.write(pickled)
        self._process.stdin.flush()

    def _receive(self) -> Any:
        assert self._process.stdout is not None  # noqa: S101 - opened above, for the type checker
        return pickle.load(self._process.stdout)  # noqa: S301 - from our own worker


def _pickled(value: object) -> bytes:
    return pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)


def _own_process_group() -> dict[str, Any]:
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"process_group": 0}
