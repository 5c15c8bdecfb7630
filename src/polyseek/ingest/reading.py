"""The words in pictures, as passages: TEXT segments that lie where their picture lies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from polyseek.core.protocols import TextRecogniser
from polyseek.core.types import Line, Modality, Segment, Span, SpanUnit
from polyseek.ingest.segmenters.text import fraction

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_CONFIDENCE = 0.7
"""Below this, lines are mostly textures and ornaments taken for words."""

MIN_LINE_CHARS = 2
"""A letter that stands alone is mostly none: a wheel, a window, a lamp post."""

MIN_TEXT_CHARS = 40
"""A page with a shorter text layer is read as well: scanning apps stamp their name on pages."""


def passages(
    segment: Segment, recogniser: TextRecogniser, *, passage_chars: int
) -> Iterator[Segment]:
    """The words in a segment's picture, or in the pictures of its shot; nothing where are none.

    Each passage has whole lines. Their boxes are the field ``text_boxes``, one ``left top right
    bottom`` a line, as shares of the picture.
    """
    signal = segment.signal
    pictures = cast("Sequence[Image]", signal if isinstance(signal, list) else [signal])
    lines = list(_new(line for picture in pictures for line in recogniser.read(picture)))
    length = sum(len(line.text) + 1 for line in lines)
    start = 0
    for group in _groups(lines, passage_chars):
        text = "\n".join(line.text for line in group)
        end = start + len(text) + 1
        alone = len(group) == len(lines)
        yield replace(
            segment,
            modality=Modality.TEXT,
            span=segment.span if alone else _part(segment.span, start, end, length),
            text=text,
            metadata={
                **segment.metadata,
                "text_source": "ocr",
                "text_boxes": [_written(line) for line in group],
            },
            signal=text,
        )
        start = end


def _new(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines that are words for sure; what several frames of a shot show is one line."""
    seen: set[str] = set()
    for line in lines:
        text = " ".join(line.text.split())
        key = "".join(filter(str.isalnum, text.casefold()))
        sure = line.confidence >= MIN_CONFIDENCE and len(key) >= MIN_LINE_CHARS
        if sure and key not in seen:
            seen.add(key)
            yield replace(line, text=text)


def _groups(lines: Iterable[Line], passage_chars: int) -> Iterator[list[Line]]:
    group: list[Line] = []
    length = 0
    for line in lines:
        if group and length + len(line.text) > passage_chars:
            yield group
            group, length = [], 0
        group.append(line)
        length += len(line.text) + 1
    if group:
        yield group


def _part(whole: Span | None, start: int, end: int, length: int) -> Span | None:
    """Where some of the characters lie: in a photo by their count, in a page as a share of it."""
    if whole is None:
        return Span(unit=SpanUnit.CHARACTERS, start=start, end=end)
    if whole.unit is SpanUnit.SECONDS:
        return whole  # they are shown all the time
    return fraction(whole, start, end, length)


def _written(line: Line) -> str:
    return " ".join(f"{side:.4f}" for side in line.box)
