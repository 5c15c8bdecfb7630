"""Texts are split into passages at sentence, paragraph and section borders."""

from __future__ import annotations

import math
from collections.abc import Iterator

from polyseek.core.config import IndexOptions
from polyseek.core.errors import ConfigError
from polyseek.core.types import Asset, Media, Modality, Segment, Span, SpanUnit

BLOCK_CHARS = 20_000
MARKDOWN = (".md", ".markdown")

DIVISIBLE = frozenset({SpanUnit.PAGE, SpanUnit.PART})
"""Units of which a text is split further: its passages get fractions."""


class TextSegmenter:
    """Passages of at most `passage_chars` characters, with the characters they span.

    A page is split too, and its passages span fractions of it: half of page 3 is ``[3, 3.5)``. A
    row of a table and a stretch of a recording stay one segment.
    """

    modality = Modality.TEXT

    def __init__(self, options: IndexOptions) -> None:
        if options.passage_chars < 1:
            raise ConfigError(f"passage_chars must be positive, got {options.passage_chars}")
        self._passage_chars = options.passage_chars

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """See `polyseek.core.protocols.Segmenter`."""
        text = str(media.signal)
        whole = media.span
        if whole is not None and whole.unit not in DIVISIBLE:
            yield self._segment(asset, media, whole, text)
            return
        passages = self._passages(asset, text)
        for start, passage in passages:
            end = start + len(passage)
            if whole is None:
                span = Span(unit=SpanUnit.CHARACTERS, start=start, end=end)
            else:
                alone = len(passages) == 1
                span = whole if alone else fraction(whole, start, end, len(text))
            yield self._segment(asset, media, span, passage)

    def _passages(self, asset: Asset, text: str) -> list[tuple[int, str]]:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter

        markdown = asset.path.lower().endswith(MARKDOWN)
        splitter = (MarkdownSplitter if markdown else TextSplitter)(self._passage_chars)
        return [
            (start + offset, passage)
            for start, block in _blocks(text)
            for offset, passage in splitter.chunk_indices(block)
            if passage
        ]

    def _segment(self, asset: Asset, media: Media, span: Span, text: str) -> Segment:
        return Segment(
            asset_uri=asset.uri,
            modality=Modality.TEXT,
            span=span,
            text=text,
            metadata=media.metadata,
            signal=text,
        )


def fraction(whole: Span, start: int, end: int, length: int) -> Span:
    """Where the characters from `start` to `end`, of `length`, lie in a page or part."""
    width = whole.end - whole.start
    # Enough digits that no two characters of the text share a place: 4 for a common page.
    digits = max(4, len(str(length)) - round(math.log10(width)))
    return Span(
        unit=whole.unit,
        start=round(whole.start + width * start / length, digits),
        end=round(whole.start + width * end / length, digits),
    )


def _blocks(text: str) -> Iterator[tuple[int, str]]:
    """Stretches that end where a line or word does; the splitter takes quadratic time without."""
    start = 0
    while start < len(text):
        end = min(start + BLOCK_CHARS, len(text))
        if end < len(text):
            half = start + BLOCK_CHARS // 2
            ends = (text.rfind(mark, half, end) + 1 for mark in ("\n\n", "\n", " "))
            end = next((place for place in ends if place > 0), end)
        yield start, text[start:end]
        start = end
