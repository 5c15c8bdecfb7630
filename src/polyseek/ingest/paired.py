"""Files that are named one by one, as vectors: what a tower is fitted on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

import numpy as np

from polyseek.core.errors import AssetError
from polyseek.core.protocols import FileReader
from polyseek.core.reports import Progress, ProgressCallback
from polyseek.core.types import Asset, Floats
from polyseek.ingest.decode import Toolbox
from polyseek.ingest.sources.files import local_path
from polyseek.ingest.sources.locate import open_uri
from polyseek.ingest.workers import Workers

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class _Named:
    """See `polyseek.core.protocols.Source`: whatever it is asked for."""

    def list(self) -> Iterator[Asset | AssetError]:
        yield from ()

    def open(self, asset: Asset) -> BinaryIO:
        return open_uri(asset.uri)

    def covers(self, uri: str) -> bool:
        return bool(uri)


def vectors_of(
    uris: Sequence[str], reader: FileReader, progress: ProgressCallback | None = None
) -> tuple[dict[str, Floats], list[AssetError]]:
    """What a reader makes of files, by uri, and what went wrong.

    It runs in decode worker processes, as in a run of `index`: a crash costs one file.
    """
    tools = Toolbox(
        source=_Named(),
        decoders={},
        segmenters={},
        prepare={reader.modality: np.asarray},
        readers=[reader],
    )
    found: dict[str, Floats] = {}
    failed: list[AssetError] = []
    with Workers(tools, count=0, timeout_s=TIMEOUT_S) as workers:
        for answer in workers.decode(_asset(uri) for uri in uris):
            if isinstance(answer, AssetError):
                failed.append(answer)
            else:
                for segment in answer.segments:
                    found[answer.asset.uri] = np.asarray(segment.signal, np.float32)
            if progress:
                done = len(found) + len(failed)
                progress(Progress(stage="read", done=done, total=len(uris), label=""))
    return found, failed


def _asset(uri: str) -> Asset:
    path = unquote(urlsplit(uri).path)
    return Asset(uri=uri, path=path, size_bytes=_size(uri), modified=datetime.now(UTC), etag="")


def _size(uri: str) -> int:
    """0 for an empty local file, which is an error of its own; else anything."""
    try:
        return local_path(uri).stat().st_size if uri.startswith("file:") else 1
    except OSError:
        return 1  # opening it says what is wrong
