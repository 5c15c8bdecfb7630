"""Texts are split into passages at sentence, paragraph and section borders."""

from __future__ import annotations

from collections.abc import Iterator

from polyseek.core.config import IndexOptions
from polyseek.core.errors import ConfigError
from polyseek.core.types import Asset, Media, Modality, Segment, Span, SpanUnit

MARKDOWN = (".md", ".markdown")


class TextSegmenter:
    """Passages of at most `passage_chars` characters, with the characters they span.

    A media that is already a part of its asset (a row of a table) stays one segment.
    """

    modality = Modality.TEXT

    def __init__(self, options: IndexOptions) -> None:
        if options.passage_chars < 1:
            raise ConfigError(f"passage_chars must be positive, got {options.passage_chars}")
        self._passage_chars = options.passage_chars

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """See `polyseek.core.protocols.Segmenter`."""
        text = str(media.signal)
        if media.span is not None:
            yield self._segment(asset, media, media.span, text)
            return
        for start, passage in self._passages(asset, text):
            span = Span(unit=SpanUnit.CHARACTERS, start=start, end=start + len(passage))
            yield self._segment(asset, media, span, passage)

    def _passages(self, asset: Asset, text: str) -> list[tuple[int, str]]:
        from semantic_text_splitter import MarkdownSplitter, TextSplitter

        markdown = asset.path.lower().endswith(MARKDOWN)
        splitter = (MarkdownSplitter if markdown else TextSplitter)(self._passage_chars)
        return [(start, passage) for start, passage in splitter.chunk_indices(text) if passage]

    def _segment(self, asset: Asset, media: Media, span: Span, text: str) -> Segment:
        return Segment(
            asset_uri=asset.uri,
            modality=Modality.TEXT,
            span=span,
            text=text,
            metadata=media.metadata,
            signal=text,
        )
