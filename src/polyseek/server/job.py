"""What runs in the process of an index job: ``python -m polyseek.server.job FOLDER``.

The folder has the request in `REQUEST`. Progress goes to `EVENTS`, one JSON object per line; the
last one says how it ended. `LOCK` is held while the process lives, and the file `CANCEL` stops it
as Ctrl-C would: what is in hand is finished, and the next job goes on from there.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote

from filelock import FileLock

from polyseek import api
from polyseek.core.errors import PolyseekError
from polyseek.core.reports import IngestReport, Progress
from polyseek.core.types import asset_id

REQUEST, EVENTS, LOCK, CANCEL = "request.json", "events.jsonl", "lock", "cancel"
EVERY_S = 0.25
MAX_FAILURES = 100


def main() -> None:
    """Do the job and tell how it went."""
    folder = Path(sys.argv[1])
    with FileLock(folder / LOCK), (folder / EVENTS).open("a", encoding="utf-8") as file:
        asked = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
        _stop_when_told(folder / CANCEL)
        try:
            done = _index(asked, _teller(file))
        except PolyseekError as error:
            _tell(file, {"event": "failed", "error": type(error).__name__, "detail": str(error)})
        except KeyboardInterrupt:
            _tell(file, {"event": "cancelled"})
        else:
            _tell(file, {"event": "cancelled" if done.interrupted else "done", **_report(done)})


def _index(asked: dict[str, Any], progress: Callable[[Progress], None]) -> IngestReport:
    opened = api.open(asked["location"], create=False, resident=False)
    return opened.add(*asked["sources"], progress=progress, **asked["options"])


def _teller(file: TextIO) -> Callable[[Progress], None]:
    """A callback that writes no more than a few lines a second."""
    last_s = -EVERY_S
    stage = ""

    def tell(event: Progress) -> None:
        nonlocal last_s, stage
        now_s = time.monotonic()
        if now_s - last_s < EVERY_S and event.stage == stage:
            return
        last_s, stage = now_s, event.stage
        name = unquote(event.label.rsplit("/", 1)[-1])
        _tell(
            file,
            {
                "event": "progress",
                "stage": event.stage,
                "done": event.done,
                "total": event.total,
                "label": name,
            },
        )

    return tell


def _tell(file: TextIO, event: dict[str, Any]) -> None:
    file.write(json.dumps(event) + "\n")
    file.flush()


def _report(done: IngestReport) -> dict[str, Any]:
    failures = [
        {"asset": asset_id(f.uri), "status": str(f.status), "reason": f.reason}
        for f in done.failures[:MAX_FAILURES]
    ]
    return {
        "added": done.added,
        "updated": done.updated,
        "moved": done.moved,
        "unchanged": done.skipped,
        "removed": done.deleted,
        "failed": len(done.failures),
        "failures": failures,
        "elapsed_s": round(done.elapsed_s, 3),
    }


def _stop_when_told(cancel: Path) -> None:
    """Interrupt the main thread when the file appears, or when the server is gone."""
    server = os.getppid()

    def watch() -> None:
        while not cancel.exists() and os.getppid() == server:
            time.sleep(EVERY_S)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main()
