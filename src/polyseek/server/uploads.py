"""Queries out of what clients send: texts, files, URLs. Files are decoded in worker processes."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from polyseek.core.hits import Query
from polyseek.core.types import EncoderInfo
from polyseek.ingest.aside import AsideWorkers, Read
from polyseek.ingest.term import TEXT_PREFIX, read_query
from polyseek.server.remote import fetch


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that came with a request: where its bytes are, and what the client calls it."""

    path: Path
    name: str


class Uploads:
    """Reads queries. Blocks: call it in a thread.

    Args:
        workers: Decode files.
        max_bytes: Largest file behind a URL.
    """

    def __init__(self, workers: AsideWorkers, *, max_bytes: int) -> None:
        self._workers, self._max_bytes = workers, max_bytes

    def text(self, text: str) -> Query:
        """A text, whatever it looks like."""
        return read_query(TEXT_PREFIX + text)

    def data(self, encoder: EncoderInfo, data: bytes, *, name: str) -> Query:
        """A media file in memory."""
        with tempfile.NamedTemporaryFile(prefix="polyseek-") as file:
            file.write(data)
            file.flush()
            return self.file(encoder, Path(file.name), name=name)

    def file(self, encoder: EncoderInfo, path: Path, *, name: str) -> Query:
        """A media file; the ending of its name says what it is."""
        plain = os.path.basename(name.replace("\\", "/")) or "file"  # noqa: PTH119 - no path of ours
        return self._workers.read(Read(path=path, name=plain, encoder=encoder))

    def url(self, encoder: EncoderInfo, url: str) -> Query:
        """What a public URL serves.

        Raises:
            QueryError: It cannot be fetched.
        """
        fetched = fetch(url, max_bytes=self._max_bytes)
        return self.data(encoder, fetched.data, name=fetched.name)
