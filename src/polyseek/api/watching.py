"""A collection that follows its sources."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyseek.api.options import options_of
from polyseek.core.config import IndexOptions
from polyseek.core.errors import CollectionBusyError, SourceError
from polyseek.core.reports import IngestReport, ProgressCallback

if TYPE_CHECKING:
    from polyseek.api.collection import Collection

_log = logging.getLogger(__name__)


def watch(
    collection: Collection,
    sources: Sequence[str | Path],
    *,
    stop: threading.Event | None,
    progress: ProgressCallback | None,
    options: dict[str, Any],
) -> Iterator[IngestReport]:
    """See `polyseek.api.Collection.watch`."""
    from polyseek.ingest.several import given
    from polyseek.ingest.watch import changes

    chosen = given(sources, options_of(IndexOptions, options))
    stop = stop or threading.Event()
    first = True
    for _ in changes(chosen.sources, collection=collection.location, stop=stop):
        try:
            report = collection.add(*sources, progress=progress, **options)
        except (SourceError, CollectionBusyError) as error:
            if first:
                raise
            _log.warning("%s; watching goes on", error)
            continue
        first = False
        yield report
        if report.interrupted:
            return
