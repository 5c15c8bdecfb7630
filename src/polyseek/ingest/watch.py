"""Waiting until sources change: the system tells of folders, anything else is looked at in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from polyseek.core.objects import scheme_of
from polyseek.core.protocols import Source
from polyseek.ingest.sources.files import FileSource

POLL_S = 30.0
"""How often a bucket is listed anew."""

DEBOUNCE_MS = 1000
"""Files that are still being copied come in one run, not in many."""

_STEP_MS = 500


def changes(
    sources: Sequence[Source],
    *,
    collection: str,
    stop: threading.Event,
    poll_s: float = POLL_S,
) -> Iterator[None]:
    """One item at once and whenever there may be something to index, until `stop` is set.

    What changes while an item is being dealt with is in the next one.
    What hidden files, `include` and `exclude`, or the collection's own files do is no change.

    Args:
        sources: What is watched.
        collection: Location of the collection, which may be inside of a source.
        stop: Ends the waiting, within half a second.
        poll_s: Time between two looks at sources that are not on this machine.
    """
    import watchfiles

    folders = [source for source in sources if isinstance(source, FileSource)]
    polled = len(folders) < len(sources)
    own = None if scheme_of(collection) else Path(collection).absolute()

    def matters(_change: watchfiles.Change, path: str) -> bool:
        if own is not None and Path(path).is_relative_to(own):
            return False
        return any(source.covers(Path(path).as_uri()) for source in folders)

    if not folders:
        yield
        while not stop.wait(poll_s):
            yield
        return
    # A file that an editor replaces is another one: its folder knows.
    roots = {source.root if source.root.is_dir() else source.root.parent for source in folders}
    looked_s = float("-inf")
    for found in watchfiles.watch(
        *roots,
        watch_filter=matters,
        debounce=DEBOUNCE_MS,
        step=_STEP_MS,
        stop_event=stop,
        rust_timeout=_STEP_MS,
        yield_on_timeout=True,
        ignore_permission_denied=True,
    ):
        due = polled and time.monotonic() - looked_s >= poll_s
        if found or due or looked_s == float("-inf"):
            yield
            looked_s = time.monotonic()
