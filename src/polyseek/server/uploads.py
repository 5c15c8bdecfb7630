"""Queries out of what clients send: texts, files, URLs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from polyseek import api
from polyseek.core.hits import Query
from polyseek.ingest.term import TEXT_PREFIX, read_file, read_query


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that came with a request: where its bytes are, and what the client calls it."""

    path: Path
    name: str


class Uploads:
    """Reads queries. Blocks: call it in a thread."""

    def text(self, text: str) -> Query:
        """A text, whatever it looks like."""
        return read_query(TEXT_PREFIX + text)

    def data(self, collection: api.Collection, data: bytes, *, name: str) -> Query:
        """A media file in memory."""
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return self.file(collection, Path(file.name), name=name)

    def file(self, _: api.Collection, path: Path, *, name: str) -> Query:
        """A media file; the ending of its name says what it is."""
        return read_file(path, name=name)

    def url(self, _: api.Collection, url: str) -> Query:
        """What a public URL serves."""
        return read_query(url)
