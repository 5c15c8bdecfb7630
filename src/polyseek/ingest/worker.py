"""What runs in a decode worker process: ``python -m polyseek.ingest.worker``.

Pickles come in on standard input (first the toolbox, then assets to decode with it; or `Aside` and
its requests) and go out on what was standard
output when the process started. The end of the input ends the process, and so does, while it is
decoding, the end of the process that started it, whose id is the argument.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO

from polyseek.core.errors import AssetError, DecodeError, UnsupportedMediaError

READY, ALIVE = "ready", "alive"
BEAT_SECONDS = 0.5
"""An asset that goes forward without giving a segment says so this often."""

MEMORY_LIMIT_BYTES = 8 * 1024**3


def main() -> None:
    """Serve decode requests until the input ends."""
    _end_with(int(sys.argv[1]))
    answers = _take_over_stdout()
    _limit_memory()
    tools = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
    _send(answers, READY)
    # Decoding libraries write to standard error from C; what matters comes as an exception.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with suppress(EOFError, BrokenPipeError):
        while True:
            asset = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
            for answer in _answers(asset, tools, _Pulse(answers)):
                _send(answers, answer)


class _Pulse:
    """Tells the parent now and then that the asset goes forward."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers, self._last_s = answers, time.monotonic()

    def __call__(self) -> None:
        now_s = time.monotonic()
        if now_s - self._last_s > BEAT_SECONDS:
            _send(self._answers, ALIVE)
            self._last_s = now_s


def _answers(asset: Any, tools: Any, pulse: _Pulse) -> Iterator[Any]:
    """The asset's parts; the last one, or an error, ends it."""
    try:
        yield from tools.answers(asset, pulse)
    except AssetError as error:
        yield _plain(asset.uri, error)
    except MemoryError:
        yield DecodeError(asset.uri, "needs too much memory to decode")
    except Exception as error:  # noqa: BLE001 - a decoder's bug must cost one asset, not the run
        yield AssetError(asset.uri, f"decoder failed: {type(error).__name__}: {error}")


def _plain(uri: str, error: AssetError) -> AssetError:
    """A plug-in's own kind of error as the kind of ours it is."""
    kinds = (kind for kind in (UnsupportedMediaError, DecodeError) if isinstance(error, kind))
    return next(kinds, AssetError)(uri, error.reason)


def _take_over_stdout() -> BinaryIO:
    """Keep the answer pipe for us: a decoder that prints must not write into it."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _end_with(parent: int) -> None:
    """End this process, also in the middle of an asset, when the parent is gone."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # no such limits on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


def _send(stream: BinaryIO, value: object) -> None:
    pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


if __name__ == "__main__":
    main()
