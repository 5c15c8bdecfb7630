"""When does a browser first paint the page?

    python benchmarks/first_paint.py COLLECTION --out benchmarks/results/first_paint.json

`polyseek serve` runs on loopback with one worker. First contentful paint counts from the start of
the navigation, as the browser itself reports it:

- `first page of a new browser`: a process and a profile of their own each time, so nothing is
  cached, not even the browser's own code for drawing; the server is ready;
- `another page of the same browser`: a new context, so its cache is empty;
- `just started server`: a new browser that asks as soon as the port answers, while models are
  loaded.

Needs Playwright and a chromium (`apt-get install chromium`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from time import sleep
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

ARGUMENTS = (
    "--no-sandbox --disable-gpu --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
FIGURES = """() => {
  const page = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  const own = performance.getEntriesByType("resource").filter(e => e.name.includes("/static/"));
  return {
    paint_ms: paint.startTime, first_byte_ms: page.responseStart, parsed_ms: page.domInteractive,
    html_bytes: page.encodedBodySize,
    static_bytes: own.reduce((sum, e) => sum + e.encodedBodySize, 0),
  };
}"""


@contextmanager
def serving(collection: Path, *, ready: bool) -> Iterator[str]:
    """The address of a server that answers, and has loaded everything where it should."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    code = "from polyseek.cli import main; main()"
    command = [sys.executable, "-c", code, "serve", "-c", f"c={collection}", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not answers(port, "/readyz" if ready else "/healthz"):
            if process.poll() is not None:
                raise SystemExit("the server did not start")
            sleep(0.02)
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def answers(port: int, path: str) -> bool:
    """Whether the server says so."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def painted(page: Page, address: str) -> dict[str, float]:
    """Open an address, and what the browser measured."""
    page.goto(address)
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    figures: dict[str, float] = page.evaluate(FIGURES)
    return figures


def row(what: str, found: list[dict[str, float]]) -> dict[str, Any]:
    """The figures of some pages together."""
    paints = np.array([one["paint_ms"] for one in found])
    shown = {
        "what": what,
        "pages": len(found),
        "paint_p50_ms": round(float(np.median(paints))),
        "paint_max_ms": round(float(paints.max())),
        "first_byte_p50_ms": round(float(np.median([one["first_byte_ms"] for one in found]))),
        "parsed_p50_ms": round(float(np.median([one["parsed_ms"] for one in found]))),
        "html_bytes": int(found[0]["html_bytes"]),
        "static_bytes": int(found[0]["static_bytes"]),
        "load": round(os.getloadavg()[0], 1),
    }
    print(shown)
    return shown


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("collection", type=Path)
    parser.add_argument("--pages", type=int, default=10)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        raise SystemExit("no chromium: apt-get install chromium")
    with sync_playwright() as playwright:

        def launched() -> Browser:
            return playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)

        def first(address: str) -> dict[str, float]:
            browser = launched()
            try:
                return painted(browser.new_page(), address)
            finally:
                browser.close()

        browser = launched()
        version = browser.version
        browser.close()
        rows = []
        with serving(given.collection, ready=True) as address:
            cold = [first(address) for _ in range(given.pages)]
            rows.append(row("first page of a new browser", cold))
            browser = launched()
            painted(browser.new_page(), address)
            warm = [painted(browser.new_context().new_page(), address) for _ in range(given.pages)]
            browser.close()
            rows.append(row("another page of the same browser", warm))
        early = []
        for _ in range(max(3, given.pages // 3)):
            with serving(given.collection, ready=False) as address:
                early.append(first(address))
        rows.append(row("just started server", early))
    report = {
        "rows": rows,
        "chromium": version,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    if given.out:
        given.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
