"""The right to write to a collection in a bucket, for one process at a time on any machine.

An object says who has it and is written anew every few seconds, each time on the condition that
nobody else has written it since (If-Match). One that is not renewed any more, because its writer
was killed, expires. Its age is the difference of two times of the server, so no clock of a writer
matters. A writer that was suspended past the expiry notices at its next write; and if it does not,
commits of Lance conflict with each other: this is for order, that for correctness.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyseek.core.errors import CollectionBusyError, StoreError
from polyseek.core.objects import explain, has_no_bucket

if TYPE_CHECKING:
    from obstore.store import ObjectStore

LEASE, CLOCK = ".writer.lease", ".writer.clock"
BEAT_S, EXPIRES_S = 10.0, 60.0


class Lease:
    """One attempt to write.

    Args:
        store: The bucket.
        key: Of the lease in it.
        location: What the user calls the collection.
    """

    def __init__(self, store: ObjectStore, key: str, location: str) -> None:
        self._store, self._key, self._location = store, key, location
        self._version: dict[str, str] = {}
        self._renewed_s = 0.0
        self._lost = False
        self._beats = 0
        self._token = uuid.uuid4().hex

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lease for the length of the block.

        Raises:
            CollectionBusyError: Another process has it.
            StoreError: The bucket cannot be written.
        """
        from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError

        try:
            self._take()
        except (AlreadyExistsError, PreconditionError):
            raise self._busy("another process") from None
        except (BaseError, OSError) as error:
            told = explain(self._location, error)
            raise StoreError(f"{self._location}: cannot be written: {told}") from error
        stop = threading.Event()
        beating = threading.Thread(target=self._beat, args=(stop,), daemon=True)
        beating.start()
        try:
            yield
        finally:
            stop.set()
            beating.join()
            with suppress(BaseError, OSError):  # it expires by itself
                self._write({})

    def check(self) -> None:
        """Raise `StoreError` when the lease was lost."""
        if self._lost or time.monotonic() - self._renewed_s > EXPIRES_S:
            raise StoreError(
                f"{self._location}: this process gave no sign of life for {EXPIRES_S:.0f} s "
                "(suspended, or no network) and lost the right to write; what it has committed "
                "stays, run it again for the rest"
            )

    def _take(self) -> None:
        import obstore

        try:
            found = obstore.get(self._store, self._key)
            holder: dict[str, Any] = json.loads(bytes(found.bytes()) or b"{}")
        except FileNotFoundError as error:
            if has_no_bucket(error):
                raise
            self._write(self._claim(), mode="create")
            return
        except ValueError:
            holder = {}  # nobody's
        self._version = _version(found.meta)
        if holder and not _is_dead(holder):
            age_s = (self._server_now() - found.meta["last_modified"]).total_seconds()
            if age_s < EXPIRES_S:
                who = f"process {holder.get('pid')} on {holder.get('host')}"
                raise self._busy(f"{who}, seen {max(0, age_s):.0f} s ago")
        self._write(self._claim())

    def _claim(self) -> dict[str, Any]:
        self._beats += 1
        return {"token": self._token, "beat": self._beats, **_self()}

    def _write(self, content: dict[str, Any], mode: Any = None) -> None:
        import obstore

        mode = mode or self._version
        put = obstore.put(self._store, self._key, json.dumps(content).encode(), mode=mode)
        self._version, self._renewed_s = _version(put), time.monotonic()

    def _beat(self, stop: threading.Event) -> None:
        from obstore.exceptions import BaseError, PreconditionError

        while not stop.wait(BEAT_S):
            try:
                self._write(self._claim())
            except PreconditionError:
                self._lost = not self._is_ours()
                if self._lost:
                    return
            except (BaseError, OSError):
                continue  # `check` knows how long ago the last one was

    def _is_ours(self) -> bool:
        """Whether the lease was renewed after all, and only the answer did not arrive."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            found = obstore.get(self._store, self._key)
            self._version = _version(found.meta)
            return bool(json.loads(bytes(found.bytes())).get("token") == self._token)
        except (BaseError, OSError, ValueError):
            return False

    def _server_now(self) -> Any:
        import obstore

        key = self._key.removesuffix(LEASE) + CLOCK
        obstore.put(self._store, key, b"")
        return obstore.head(self._store, key)["last_modified"]

    def _busy(self, who: str) -> CollectionBusyError:
        return CollectionBusyError(
            f"{self._location}: {who} is writing to this collection; wait for it (if it was "
            f"killed, {EXPIRES_S:.0f} s), or index into another one with -c"
        )


def _version(meta: Any) -> dict[str, str]:
    """What a conditional write names; clouds differ in which of the two they look at."""
    return {name: meta[name] for name in ("e_tag", "version") if meta[name] is not None}


def _self() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "machine": _machine()}


def _machine() -> str | None:
    """A name for everything that shares our process ids; None where there is none to be had."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _is_dead(holder: dict[str, Any]) -> bool:
    """Whether it was a process beside us that is no more, so that nobody has to wait."""
    if holder.get("machine") is None or holder["machine"] != _machine():
        return False
    try:
        os.kill(int(holder["pid"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, ValueError, KeyError):
        return False
    return False
