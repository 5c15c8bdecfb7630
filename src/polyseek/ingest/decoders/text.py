"""Plain text, Markdown, reStructuredText and HTML."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, MetadataValue, Modality

MAX_BYTES = 64 * 1024 * 1024
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


class TextDecoder:
    """``.txt``, ``.md``, ``.rst`` as they are; ``.html`` without markup, scripts and navigation."""

    suffixes = frozenset({".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".xhtml"})

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        text = read_text(asset, stream)
        metadata: dict[str, MetadataValue] = {}
        if asset.path.lower().endswith((".html", ".htm", ".xhtml")):
            text, title = from_html(text)
            if title:
                metadata["title"] = title
        if not text.strip():
            raise DecodeError(asset.uri, "holds no text")
        yield Media(modality=Modality.TEXT, signal=text, metadata=metadata)


def read_text(asset: Asset, stream: BinaryIO) -> str:
    """All of a text file, its encoding detected, line ends as one newline.

    Raises:
        DecodeError: It is empty, too large, or no text.
    """
    data = stream.read(MAX_BYTES + 1)
    if not data:
        raise DecodeError(asset.uri, "is empty")
    if len(data) > MAX_BYTES:
        raise DecodeError(asset.uri, f"too large: over {MAX_BYTES:,} bytes of text")
    text = _decoded(data)
    if text is None or len(_CONTROL.findall(text[:65536])) > 0.01 * len(text[:65536]):
        raise DecodeError(asset.uri, "is no text in an encoding that is known")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _decoded(data: bytes) -> str | None:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        from charset_normalizer import from_bytes

        # A sample decides: detection is slow, and an encoding does not change inside a file.
        sample = data[:262144]
        matches = from_bytes(sample)
        best = matches.best()
        if best is None:
            return None
        encoding = best.encoding
        # Mostly ASCII: a Western text unless there is evidence of another language.
        if sum(byte > 127 for byte in sample) < len(sample) / 3:
            rank = (best.chaos, best.coherence)
            tied = any(
                match.encoding == "cp1252" and (match.chaos, match.coherence) == rank
                for match in matches
            )
            encoding = "cp1252" if tied or not best.coherence else encoding
        return data.decode(encoding, errors="replace")


def from_html(markup: str) -> tuple[str, str]:
    """The text without markup, scripts and navigation, and the title."""
    from bs4 import BeautifulSoup

    soup = BeautifulSoup(markup, "html.parser")
    title = " ".join(soup.title.get_text().split()) if soup.title else ""
    for tag in soup(["script", "style", "noscript", "template", "nav", "head"]):
        tag.decompose()
    lines = (" ".join(line.split()) for line in soup.get_text("\n").splitlines())
    return "\n".join(line for line in lines if line), title
