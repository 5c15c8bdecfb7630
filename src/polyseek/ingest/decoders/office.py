"""Word and PowerPoint documents (.docx, .pptx), read from their XML."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO
from xml.etree.ElementTree import Element

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, MetadataValue, Modality
from polyseek.ingest.decoders.documents import (
    Archive,
    dublin_core,
    local_name,
    only_decode_errors,
    pages,
    resolved,
)

_UNSEEN = frozenset({"pPr", "rPr", "tblPr", "Fallback", "del", "moveFrom", "fld"})
"""Formatting, second versions, deleted text, and fields such as the number of a slide."""

_SPACES = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-", "ptab": "\t"}


class OfficeDecoder:
    """``.docx`` as one text; ``.pptx`` as a text for each slide with its notes, by number.

    A page's headers, comments, charts and embedded pictures are not read.
    """

    suffixes = frozenset({".docx", ".pptx"})

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        with only_decode_errors(asset):
            archive = Archive(asset, stream)
            parts = _references(archive, "")
            main = _first(parts, "officeDocument")
            if main is None:
                raise DecodeError(asset.uri, "is no office document")
            metadata = _facts(archive, _first(parts, "core-properties"))
            if asset.path.lower().endswith(".docx"):
                yield Media(
                    modality=Modality.TEXT,
                    signal=_word_text(asset, archive, main),
                    metadata=metadata,
                )
            else:
                yield from _slides(asset, archive, main, metadata)


@dataclass(frozen=True, slots=True)
class _Reference:
    kind: str
    target: str


def _references(archive: Archive, part: str) -> Mapping[str, _Reference]:
    """What a part of the document refers to, by the id it uses; "" is the document itself."""
    folder, _, name = part.rpartition("/")
    listing = f"{folder}/_rels/{name}.rels".lstrip("/")
    if listing not in archive:
        return {}
    return {
        each.get("Id", ""): _Reference(
            each.get("Type", "").rsplit("/", 1)[-1], resolved(part, each.get("Target", ""))
        )
        for each in archive.xml(listing)
        if each.get("TargetMode") != "External"
    }


def _first(references: Mapping[str, _Reference], kind: str) -> str | None:
    return next((each.target for each in references.values() if each.kind == kind), None)


def _facts(archive: Archive, part: str | None) -> dict[str, MetadataValue]:
    with suppress(DecodeError):  # broken properties cost their fields, not the text
        return dublin_core(archive.xml(part)) if part else {}
    return {}


def _word_text(asset: Asset, archive: Archive, main: str) -> str:
    references = _references(archive, main)
    headings = _headings(archive, _first(references, "styles"))
    lines = list(_lines(archive.xml(main), headings))
    for kind in ("footnotes", "endnotes"):
        notes = _first(references, kind)
        if notes:
            lines += _lines(archive.xml(notes), headings)
    text = "\n".join(lines).strip()
    if not text:
        raise DecodeError(asset.uri, "holds no text")
    return text


def _headings(archive: Archive, part: str | None) -> frozenset[str]:
    """Ids of the heading styles; the ids are translated, the names are not."""
    found = set()
    with suppress(DecodeError):
        for style in archive.xml(part) if part else ():
            names = (_value(each) for each in style if local_name(each) == "name")
            if next(names, "").lower().startswith(("heading", "title")):
                found.add(next((v for k, v in style.items() if k.endswith("styleId")), ""))
    return frozenset(found)


def _slides(
    asset: Asset, archive: Archive, main: str, metadata: dict[str, MetadataValue]
) -> Iterator[Media]:
    references = _references(archive, main)
    listed = [each for each in archive.xml(main).iter() if local_name(each) == "sldId"]
    texts = (
        (number, partial(_slide_text, asset, archive, references, slide))
        for number, slide in enumerate(listed, 1)
    )
    return pages(asset, texts, metadata=metadata, named="slides")


def _slide_text(
    asset: Asset, archive: Archive, references: Mapping[str, _Reference], slide: Element
) -> str:
    found = [references.get(value) for key, value in slide.items() if key.endswith("}id")]
    if not found or found[0] is None:
        raise DecodeError(asset.uri, "lists a slide that it does not hold")
    part = found[0].target
    lines = list(_lines(archive.xml(part)))
    notes = _first(_references(archive, part), "notesSlide")
    if notes:
        lines += ["", *_lines(archive.xml(notes))]
    return "\n".join(lines).strip()


def _lines(element: Element, headings: frozenset[str] = frozenset()) -> Iterator[str]:
    """Paragraphs and table rows in order; a heading comes after an empty line."""
    for child in element:
        match local_name(child):
            case "p":
                if headings and _style(child) in headings:
                    yield ""
                yield from _paragraph(child)
            case "tr":
                cells = (" ".join(filter(None, _lines(cell))) for cell in child)
                row = " | ".join(filter(None, cells))
                if row:
                    yield row
            case name if name not in _UNSEEN:
                yield from _lines(child, headings)


def _paragraph(paragraph: Element) -> list[str]:
    """Its line or lines; those of text boxes anchored in it come after."""
    words: list[str] = []
    boxes: list[str] = []

    def collect(element: Element) -> None:
        for child in element:
            name = local_name(child)
            if name == "t":
                words.append(child.text or "")
            elif name in _SPACES:
                words.append(_SPACES[name])
            elif name in ("txbxContent", "txBody"):
                boxes.extend(_lines(child))
            elif name not in _UNSEEN:
                collect(child)

    collect(paragraph)
    line = "".join(words).strip()
    return [*([line] if line else []), *boxes]


def _style(paragraph: Element) -> str:
    for properties in paragraph:
        if local_name(properties) == "pPr":
            return next((_value(e) for e in properties if local_name(e) == "pStyle"), "")
    return ""


def _value(element: Element) -> str:
    return next((value for key, value in element.items() if key.endswith("val")), "")
