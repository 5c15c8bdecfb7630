"""PDF, through PDFium: each page's text and each page's picture."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, BinaryIO

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, MetadataValue, Modality, Span, SpanUnit
from polyseek.ingest.reading import MIN_TEXT_CHARS

if TYPE_CHECKING:
    from PIL.Image import Image

SHORT_SIDE = 448
"""Of a page's picture, in pixels."""

LEGIBLE_SIDE = 1400
"""Of the picture of a page that has no text, where the words in it are to be read: about 170 dots
per inch of a letter."""

LONG_SIDE = 4096
"""A ribbon of a page is drawn smaller."""

DRAW_S = 10.0
"""A page that takes longer to draw is shown as far as it was drawn by then."""

MAX_BROKEN = 100
"""After so many unreadable pages the rest is given up: a damaged file may claim a million."""

STRETCH = 256
"""Pages until the file is opened anew: PDFium keeps what it has read of an open one in memory."""

TAIL_BYTES = 4096
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ufeff\uffff]")
_HYPHEN = re.compile(r"\ufffe\s*")  # PDFium's mark of a word divided at the end of a line
_DATE = re.compile(r"(?:D:)?(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:([+-])(\d\d)'?(\d\d)?)?")


class PdfDecoder:
    """A TEXT (where there is any) and an IMAGE for each page, page by page.

    Filled-in form fields are neither drawn nor read.

    Args:
        legible: Draw pages without a text at a scale at which small print can be read.
    """

    suffixes = frozenset({".pdf"})

    def __init__(self, *, legible: bool = False) -> None:
        self._legible = legible

    def legible(self) -> PdfDecoder:
        """See `polyseek.core.protocols.PictureDecoder`."""
        return PdfDecoder(legible=True)

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        ends = _has_end(stream)
        document = _opened(asset, stream)
        try:
            metadata, count, broken = _facts(document), len(document), list[int]()
            if not count:
                raise DecodeError(asset.uri, "has no pages")
            cut = not ends and not _has_valid_index(document)
            for number in range(1, count + 1):
                if number % STRETCH == 0:
                    document.close()
                    document = _opened(asset, stream)
                try:
                    for media in self._page(document, number, metadata):
                        yield replace(media, share=number / count)
                # PDFium's binding raises what it meets (RuntimeError, ValueError, ...).
                except Exception:  # noqa: BLE001 - one page is broken; the others are not
                    broken.append(number)
                    if len(broken) == MAX_BROKEN:
                        break
        finally:
            document.close()
        if cut or broken:
            raise DecodeError(asset.uri, _problem(broken, cut=cut))

    def _page(
        self, document: Any, number: int, metadata: dict[str, MetadataValue]
    ) -> Iterator[Media]:
        span = Span(unit=SpanUnit.PAGE, start=number, end=number + 1)
        page = document[number - 1]
        try:
            text = _text(page)
            if text:
                yield Media(modality=Modality.TEXT, signal=text, span=span, metadata=metadata)
            large = self._legible and len(text) < MIN_TEXT_CHARS
            picture = _picture(page, LEGIBLE_SIDE if large else SHORT_SIDE)
        finally:
            page.close()
        yield Media(modality=Modality.IMAGE, signal=picture, span=span, metadata=metadata)


def page_picture(asset: Asset, stream: BinaryIO, number: int) -> Image:
    """The picture of one page, counted from 1, without drawing the others.

    Raises:
        DecodeError: There is no such page, or it cannot be drawn.
    """
    document = _opened(asset, stream)
    try:
        page = document[number - 1]
        try:
            return _picture(page, SHORT_SIDE)
        finally:
            page.close()
    except Exception as error:  # PDFium's binding raises what it meets
        raise DecodeError(asset.uri, f"page {number} cannot be drawn: {error}") from error
    finally:
        document.close()


def _opened(asset: Asset, stream: BinaryIO) -> Any:
    import pypdfium2
    from pypdfium2 import raw

    with suppress(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(b"?")  # else the error code below may be an earlier file's
    try:
        return pypdfium2.PdfDocument(stream)
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            reason = "is password-protected"
        elif error.err_code == raw.FPDF_ERR_SECURITY:
            reason = "is protected in a way that cannot be read (DRM)"
        else:
            reason = "is no PDF, or a broken one"
        raise DecodeError(asset.uri, reason) from error


def _text(page: Any) -> str:
    """The page's words; the lines of a paragraph joined as far as that can be told."""
    words = page.get_textpage()
    try:
        text = _HYPHEN.sub("", words.get_text_range().replace("\r\n", "\n").replace("\r", "\n"))
    finally:
        words.close()
    lines = (line.strip() for line in _CONTROL.sub("", text).split("\n"))
    # A line that begins in lower case goes on with a sentence.
    flowing = "".join((" " if line[:1].islower() else "\n") + line for line in lines).strip()
    return flowing if any(map(str.isalnum, flowing)) else ""


def _picture(page: Any, short_side: int) -> Image:
    """The page on white."""
    import pypdfium2
    from pypdfium2 import raw

    width, height = page.get_size()
    scale = min(short_side / min(width, height), LONG_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    until = time.monotonic() + DRAW_S
    pause = raw.IFSDK_PAUSE(version=1)
    pause.NeedToPauseNow = type(pause.NeedToPauseNow)(lambda _: time.monotonic() > until)
    bitmap = pypdfium2.PdfBitmap.new_native(*size, raw.FPDFBitmap_BGR)
    try:
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, *size)
        raw.FPDF_RenderPageBitmap_Start(bitmap, page, 0, 0, *size, 0, raw.FPDF_ANNOT, pause)
        raw.FPDF_RenderPage_Close(page)
        image: Image = bitmap.to_pil().convert("RGB")
    finally:
        bitmap.close()
    return image


def _facts(document: Any) -> dict[str, MetadataValue]:
    fields: dict[str, MetadataValue] = {"pages": len(document)}
    with suppress(Exception):  # a broken info block costs its fields, not the pages
        given = document.get_metadata_dict(skip_empty=True)
        for key, name in (("Title", "title"), ("Author", "author")):
            value = " ".join(_CONTROL.sub("", given.get(key, "")).split())
            if value:
                fields[name] = value
        date = pdf_date(given.get("CreationDate", "")) or pdf_date(given.get("ModDate", ""))
        if date:
            fields["date"] = date
    return fields


def pdf_date(text: str) -> datetime | None:
    """``D:20240131120000+01'00'``; without a stated offset the clock is taken as UTC."""
    match = _DATE.match(text.strip())
    if match is None:
        return None
    *numbers, sign, hours, minutes = match.groups()
    year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    with suppress(ValueError, OverflowError):
        zone = timezone(-offset if sign == "-" else offset)
        local = datetime(year, month or 1, day or 1, hour, minute, second, tzinfo=zone)
        return local.astimezone(UTC)
    return None


def _has_end(stream: BinaryIO) -> bool:
    length = stream.seek(0, 2)
    stream.seek(max(0, length - TAIL_BYTES))
    tail = stream.read(TAIL_BYTES)
    stream.seek(0)
    return b"%%EOF" in tail


def _has_valid_index(document: Any) -> bool:
    from pypdfium2 import raw

    return bool(raw.FPDF_DocumentHasValidCrossReferenceTable(document))


def _problem(broken: list[int], *, cut: bool) -> str:
    problems = ["is cut off: its end is missing"] if cut else []
    if len(broken) == MAX_BROKEN:
        problems.append(f"too many pages cannot be read, page {broken[0]} the first")
    elif len(broken) > 4:
        named = ", ".join(map(str, broken[:3]))
        problems.append(f"pages {named} and {len(broken) - 3} more cannot be read")
    elif broken:
        named = " and ".join(filter(None, [", ".join(map(str, broken[:-1])), str(broken[-1])]))
        problems.append(f"page{'s' * (len(broken) > 1)} {named} cannot be read")
    return "; ".join(problems)
