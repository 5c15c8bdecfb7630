"""What runs in a decode worker process: ``python -m polyseek.ingest.worker``.

Pickles come in on standard input (first the toolbox, then assets) and go out on what was standard
output when the process started. The end of the input ends the process, so a worker never outlives
the process that started it.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from polyseek.core.errors import AssetError, DecodeError
from polyseek.core.types import Asset
from polyseek.ingest.decode import Part, Toolbox, decode

READY = "ready"
MEMORY_LIMIT_BYTES = 8 * 1024**3


def main() -> None:
    """Serve decode requests until the input ends."""
    answers = _take_over_stdout()
    _limit_memory()
    tools: Toolbox = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
    _send(answers, READY)
    # Decoding libraries write to standard error from C; what matters comes as an exception.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    with suppress(EOFError, BrokenPipeError):
        while True:
            asset: Asset = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent process
            for answer in _answers(asset, tools):
                _send(answers, answer)


def _answers(asset: Asset, tools: Toolbox) -> Iterator[Part | AssetError]:
    """The asset's parts; the last one, or an error, ends it."""
    try:
        yield from decode(asset, tools)
    except AssetError as error:
        yield error
    except MemoryError:
        yield DecodeError(asset.uri, "needs too much memory to decode")
    except Exception as error:  # noqa: BLE001 - a decoder's bug must cost one asset, not the run
        yield DecodeError(asset.uri, f"decoder failed: {type(error).__name__}: {error}")


def _take_over_stdout() -> BinaryIO:
    """Keep the answer pipe for us: a decoder that prints must not write into it."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _limit_memory() -> None:
    with suppress(ImportError, ValueError, OSError):  # no such limits on Windows
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT_BYTES, MEMORY_LIMIT_BYTES))


def _send(stream: BinaryIO, value: object) -> None:
    pickle.dump(value, stream, protocol=pickle.HIGHEST_PROTOCOL)
    stream.flush()


if __name__ == "__main__":
    main()
