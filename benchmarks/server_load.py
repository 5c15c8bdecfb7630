"""What does the server cost, and what does it hold under load, against search in one process?

    python benchmarks/server_load.py COLLECTION --out benchmarks/results/server_load.json

`polyseek serve` runs in a process of its own on loopback, with one worker. Every query is a
different sentence of the generic bank, so no embedding is remembered from before, except in the row
that asks the same sentences again. The same number of queries is searched in this process, by one
thread, in turns with the server: block by block, so that a busy neighbour hits both alike.
The number of requests is bounded, and everything goes to 127.0.0.1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from threading import local
from time import perf_counter, sleep
from typing import Any

import numpy as np

import polyseek
from polyseek.learn.bank import generic_queries

BLOCKS = 3
LIMIT = 10
_kept = local()


class Server:
    """`polyseek serve` on a free port."""

    def __init__(self, collection: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        code = "from polyseek.cli import main; main()"
        command = [sys.executable, "-c", code, "serve", "-c", f"c={collection}"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)], stderr=subprocess.DEVNULL
        )
        while not self._ready():
            if self.process.poll() is not None:
                raise SystemExit("the server did not start")
            sleep(0.2)

    def _ready(self) -> bool:
        try:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def search(self, text: str) -> int:
        """The status of the answer; each thread keeps its connection."""
        if getattr(_kept, "port", None) != self.port:
            _kept.port = self.port
            _kept.connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = json.dumps({"terms": [{"text": text}], "limit": LIMIT})
        _kept.connection.request(
            "POST", "/v1/collections/c/search", body, {"Content-Type": "application/json"}
        )
        response = _kept.connection.getresponse()
        response.read()
        return int(response.status)

    def memory_mb(self) -> float:
        """Resident memory of the server's process."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


@contextmanager
def serving(collection: Path) -> Iterator[Server]:
    """A server for the length of the block."""
    server = Server(collection)
    try:
        yield server
    finally:
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(60)


def timed(ask: Callable[[str], int], texts: Sequence[str], clients: int) -> dict[str, Any]:
    """Ask all of them; times in milliseconds and statuses."""

    def one(text: str) -> tuple[float, int]:
        started = perf_counter()
        status = ask(text)
        return (perf_counter() - started) * 1e3, status

    started = perf_counter()
    with ThreadPoolExecutor(clients) as pool:
        answers = list(pool.map(one, texts))
    return {
        "times": [ms for ms, _ in answers],
        "statuses": Counter(status for _, status in answers),
        "wall_s": perf_counter() - started,
    }


def row(name: str, clients: int, parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of all blocks together."""
    times = np.concatenate([part["times"] for part in parts])
    statuses: Counter[int] = sum((part["statuses"] for part in parts), Counter())
    found = {
        "what": name,
        "clients": clients,
        "requests": len(times),
        "errors": len(times) - statuses[200],
        **{f"p{q}_ms": round(float(np.percentile(times, q)), 1) for q in (50, 95, 99)},
        "per_second": round(len(times) / sum(part["wall_s"] for part in parts), 1),
    }
    print(found)
    return found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("collection", type=Path)
    parser.add_argument("--requests", type=int, default=100, help="of each kind and block")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    opened = polyseek.open(asked.collection, create=False)
    opened.search("text:warm up")
    texts = iter(generic_queries())

    def take() -> list[str]:
        return [next(texts) for _ in range(asked.requests)]

    def here(text: str) -> int:
        opened.search("text:" + text, limit=LIMIT)
        return 200

    kinds: list[tuple[str, int]] = [("server", 1), ("server", 8), ("server", 32)]
    parts: dict[tuple[str, int], list[dict[str, Any]]] = {}
    with serving(asked.collection) as server:
        server.search("warm up")
        for _ in range(BLOCKS):
            parts.setdefault(("in process", 1), []).append(timed(here, take(), 1))
            for kind in kinds:
                again = take()
                parts.setdefault(kind, []).append(timed(server.search, again, kind[1]))
            parts.setdefault(("server, asked before", 8), []).append(timed(server.search, again, 8))
        memory = server.memory_mb()
    result = {
        "assets": len(opened),
        "rows": [row(name, clients, each) for (name, clients), each in parts.items()],
        "server_memory_mb": round(memory),
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "load_average": os.getloadavg(),
        },
    }
    if asked.out:
        asked.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
