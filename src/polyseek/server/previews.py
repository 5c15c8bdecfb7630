"""Previews that were drawn, kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

from polyseek.core.hits import Clip, Hit
from polyseek.ingest.aside import AsideWorkers, Show
from polyseek.server.metrics import Metrics

KEPT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewKey:
    """Which preview: of a segment, as its asset was with this etag."""

    hit: Hit
    still: bool
    etag: str

    def __repr__(self) -> str:
        """The same for the same preview, in every process."""
        return f"{self.hit.id} {self.still} {self.etag}"


class Previews:
    """Draws previews in worker processes. Safe to share between threads."""

    def __init__(self, workers: AsideWorkers, metrics: Metrics) -> None:
        self._workers = workers
        self._looked_up = metrics.looked_up("previews")
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Clip] = OrderedDict()
        self._bytes = 0

    def get(self, key: PreviewKey) -> Clip | None:
        """The preview; None where there is nothing to see or hear. Blocks.

        Raises:
            AssetError: It took too long.
            TimeoutError: All processes are busy.
        """
        name = repr(key)
        with self._lock:
            found = self._kept.get(name)
            self._looked_up(found is not None)
            if found is not None:
                self._kept.move_to_end(name)
                return found
        drawn = self._workers.show(Show(hit=key.hit, still=key.still))
        if drawn is not None:
            self._keep(name, drawn)
        return drawn

    def _keep(self, name: str, clip: Clip) -> None:
        with self._lock:
            before = self._kept.pop(name, None)
            self._bytes += len(clip.data) - (len(before.data) if before else 0)
            self._kept[name] = clip
            while self._bytes > KEPT_BYTES:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped.data)
