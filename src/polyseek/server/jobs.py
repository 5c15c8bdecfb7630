"""Index jobs: each a process of its own with a folder, so that every worker can tell how it goes.

A process of its own has an encoder of its own: searches keep theirs, and a job that crashes takes
nothing along.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from polyseek.core.errors import SourceError
from polyseek.server.job import CANCEL, EVENTS, LOCK, REQUEST
from polyseek.server.problems import ProblemError

START_S = 60.0
"""A process that has said nothing for so long after its start never came up."""

STOP_S = 10.0
KEPT_JOBS = 100


class JobState(StrEnum):
    """How far a job has come."""

    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self is not JobState.RUNNING


_ENDS = {"done": JobState.DONE, "cancelled": JobState.CANCELLED, "failed": JobState.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """An index job as it is now.

    Attributes:
        id: Of the job.
        collection: Its name.
        sources: What is indexed, as the client named it.
        started: Seconds since the epoch.
        state: How far it is.
        events: What it has told so far, the last one last.
    """

    id: str
    collection: str
    sources: Sequence[str]
    started: float
    state: JobState
    events: Sequence[Mapping[str, Any]] = field(repr=False)


class Jobs:
    """Starts jobs, and tells how those of all workers go. Blocks, for milliseconds.

    Args:
        folder: In which the workers share their state; None for one of its own, which goes with it.
        roots: Folders that jobs may read.
    """

    def __init__(self, folder: Path | None, roots: Sequence[Path]) -> None:
        self._folder = folder or Path(tempfile.mkdtemp(prefix="polyseek-jobs-"))
        self._tidy: Callable[[], object] = (
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            if folder is None
            else lambda: None
        )
        self._roots = [root.expanduser().resolve() for root in roots]
        self._lock = threading.Lock()
        self._own: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self,
        collection: str,
        location: str,
        sources: Sequence[str],
        options: Mapping[str, Any],
    ) -> Job:
        """Start a job.

        Raises:
            ProblemError: A source is outside of the roots (403), or a job is running (409).
            SourceError: A source is not there.
        """
        paths = [str(self._allowed(source)) for source in sources]
        with self._lock:
            if any(not job.state.over for job in self.list(collection)):
                raise ProblemError(409, "collection-busy", "a job is running; cancel it, or wait")
            id_ = f"{int(time.time()):x}-{secrets.token_hex(8)}"
            made = self._folder / id_
            made.mkdir(parents=True, mode=0o700)
            asked = {
                "collection": collection, "location": location, "sources": paths,
                "named": list(sources), "options": dict(options), "started": time.time(),
            }  # fmt: skip
            (made / REQUEST).write_text(json.dumps(asked), encoding="utf-8")
            (made / EVENTS).touch()
            self._own[id_] = _spawn(made)
        return self.get(collection, id_)

    def get(self, collection: str, id_: str) -> Job:
        """A job.

        Raises:
            ProblemError: The collection has none of this id (404).
        """
        job = self._read(self._folder / id_) if id_.replace("-", "").isalnum() else None
        if job is None or job.collection != collection:
            raise ProblemError(404, "unknown-job", "there is no job of that id")
        return job

    def list(self, collection: str) -> list[Job]:
        """A collection's jobs, the newest first."""
        folders = sorted(self._folder.glob("*-*"), reverse=True)[:KEPT_JOBS]
        found = [job for job in map(self._read, folders) if job is not None]
        return [job for job in found if job.collection == collection]

    def cancel(self, collection: str, id_: str) -> Job:
        """Ask a job to finish what it has in hand and stop. Raises as `get` does."""
        self.get(collection, id_)
        (self._folder / id_ / CANCEL).touch()
        return self.get(collection, id_)

    def close(self) -> None:
        """Stop the jobs that were started here; another run goes on where they stopped."""
        for id_, process in self._own.items():
            if process.poll() is None:
                with suppress(OSError):
                    (self._folder / id_ / CANCEL).touch()
        for process in self._own.values():
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._tidy()

    def _allowed(self, source: str) -> Path:
        """The source's real path: a link out of the roots is outside."""
        if not self._roots:
            raise ProblemError(
                403, "no-roots", "this server indexes nothing on request (--index-root FOLDER)"
            )
        for root in self._roots:
            path = Path(os.path.realpath(root / source))
            if path.is_relative_to(root):
                if path.exists():
                    return path
                raise SourceError(f"{path}: no such file or folder")
        raise ProblemError(403, "outside-roots", "the source is outside of the server's folders")

    def _read(self, folder: Path) -> Job | None:
        own = self._own.get(folder.name)
        if own is not None:
            own.poll()  # no zombies
        try:
            asked = json.loads((folder / REQUEST).read_text(encoding="utf-8"))
            lines = (folder / EVENTS).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            return None
        events = [json.loads(line) for line in lines if line.endswith("}")]
        state = _ENDS.get(events[-1]["event"] if events else "", JobState.RUNNING)
        if state is JobState.RUNNING and not _alive(folder, started=asked["started"]):
            state = JobState.FAILED
            events.append({"event": "failed", "detail": "the job ended without a word"})
        return Job(
            id=folder.name,
            collection=asked["collection"],
            sources=asked["named"],
            started=asked["started"],
            state=state,
            events=events,
        )


def _alive(folder: Path, *, started: float) -> bool:
    """Whether a job's process is there, or has only just been asked for."""
    if not (folder / LOCK).exists():
        return time.time() - started < START_S
    try:
        with FileLock(folder / LOCK).acquire(timeout=0):
            pass
    except Timeout:
        return True
    # It may have ended between the look at its events and the one at its lock.
    last = (folder / EVENTS).read_text(encoding="utf-8").splitlines()[-1:]
    return any(json.loads(line)["event"] in _ENDS for line in last)


def _spawn(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-m", "polyseek.server.job", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,  # Ctrl-C in the terminal is for the server, which then asks for it
        )
