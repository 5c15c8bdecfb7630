"""What the page shows of hits, assets and fields: plain words for what the API tells in numbers."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from polyseek.core.types import Span, SpanUnit, asset_id
from polyseek.core.words import read_text_query, words
from polyseek.server.links import Links

PASSAGE_CHARS, LEAD_CHARS = 320, 80
RATIOS = range(2, 11)
"""Widths of tiles in quarters of their height; the style sheet has a class for each."""

NAMES = {
    "image": "Pictures",
    "video": "Videos",
    "audio": "Sounds",
    "text": "Texts",
    "depth": "Depth maps",
    "thermal": "Thermal images",
    "imu": "Movements",
}
ONE = {
    "image": "picture",
    "video": "video",
    "audio": "sound",
    "text": "text",
    "depth": "depth map",
    "thermal": "thermal image",
    "imu": "movement",
}
_LIKELY = [(0.9, "almost certain"), (0.7, "very likely"), (0.5, "likely"), (0.2, "possible")]
_SHOWABLE = frozenset({f"image/{kind}" for kind in ("jpeg", "png", "gif", "webp", "avif", "bmp")})
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(\+|-)\d\d:\d\d")
_WORD = re.compile(r"\w+")
_OWN_FIELDS = ("folder", "tags", "title", "camera", "taken", "year", "modified")
"""Shown first among the filters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A stretch of an asset: how people read it, and where it is played."""

    label: str
    start: float | None = None
    end: float | None = None

    @property
    def fragment(self) -> str:
        """For a media URL, so that it plays this stretch."""
        return "" if self.start is None else f"#t={self.start:g},{self.end:g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One hit as it is shown.

    Attributes:
        key: ``asset.segment``, for more like it.
        name: Of the file.
        modality: Of the segment.
        place: Where in the asset it lies.
        probability: As told; None where not calibrated.
        likely: The same in words.
        passage: Its text in pieces, with whether each is a word that was looked for.
        ratio: Width of its tile in quarters of the height.
        hit: The hit as the API tells it.
    """

    key: str
    name: str
    modality: str
    place: Place | None
    probability: float | None
    likely: str
    passage: Sequence[tuple[str, bool]]
    ratio: int
    hit: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """What it is, for people."""
        return ONE[self.modality]

    @property
    def spoken(self) -> str:
        """All that a tile shows, in one sentence."""
        where = f", {self.place.label}" if self.place else ""
        how = f", {self.percent}, {self.likely}" if self.probability is not None else ""
        return f"{self.name}, {self.kind}{where}{how}"

    @property
    def percent(self) -> str:
        """Never 0 % or 100 %: nothing is certain."""
        p = self.probability
        return "" if p is None else f"{min(max(round(p * 100), 1), 99)} %"

    @property
    def moments(self) -> list[Place]:
        """Other places in the same asset."""
        return [place for one in self.hit.get("moments", ()) if (place := place_of(one["span"]))]


def card_of(hit: Mapping[str, Any], wanted: Set[str]) -> Card:
    """A hit of the API as a card.

    Args:
        hit: With the links of `Links.hit`.
        wanted: Stems of the words that were looked for.
    """
    metadata = hit["metadata"]
    name = str(metadata.get("path") or unquote(urlsplit(hit["uri"]).path)).rsplit("/", 1)[-1]
    return Card(
        key=f"{hit['asset']}.{hit['id']}",
        name=name,
        modality=hit["modality"],
        place=place_of(hit["span"]),
        probability=hit.get("probability"),
        likely=likely(hit.get("probability")),
        passage=list(passage(hit["text"] or "", wanted)),
        ratio=_ratio(hit["modality"], metadata),
        hit=hit,
    )


def likely(probability: float | None) -> str:
    """A probability in words."""
    if probability is None:
        return "not rated"
    return next((word for least, word in _LIKELY if probability >= least), "unlikely")


def place_of(span: Mapping[str, Any] | None) -> Place | None:
    """Where a span of the API lies; None for the whole asset and for mere characters."""
    if span is None or span["unit"] == SpanUnit.CHARACTERS:
        return None
    if span["unit"] == SpanUnit.SECONDS:
        found = Span(unit=SpanUnit.SECONDS, start=span["start_s"], end=span["end_s"])
        return Place(label=found.label(), start=found.start, end=found.end)
    found = Span(unit=SpanUnit(span["unit"]), start=span["start"], end=span["end"])
    return Place(label=found.label())


def stems(text: str) -> frozenset[str]:
    """Of the words that a text query looks for."""
    query = read_text_query(text)
    phrases = (word for phrase in query.phrases for word in phrase.split())
    return frozenset([*query.terms, *query.fuzzy, *phrases])


def passage(text: str, wanted: Set[str]) -> Iterator[tuple[str, bool]]:
    """A stretch of the text around the first wanted word, in pieces; wanted words are marked."""
    text = " ".join(text.split())
    marks = [m.span() for m in _WORD.finditer(text) if not wanted.isdisjoint(words(m[0]))]
    start, end = _stretch(text, marks)
    at = start
    if start:
        yield "… ", False
    for first, last in marks:
        if first >= start and last <= end:
            yield text[at:first], False
            yield text[first:last], True
            at = last
    yield text[at:end] + (" …" if end < len(text) else ""), False


def _stretch(text: str, marks: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Whole words; from the start where that shows the first wanted one, too."""
    first = marks[0][0] if marks else 0
    start = 0 if first < PASSAGE_CHARS - LEAD_CHARS else text.rfind(" ", 0, first - LEAD_CHARS) + 1
    if len(text) - start <= PASSAGE_CHARS:
        return start, len(text)
    end = text.rfind(" ", start, start + PASSAGE_CHARS)
    return start, end if end > start else start + PASSAGE_CHARS


def _ratio(modality: str, metadata: Mapping[str, Any]) -> int:
    width, height = metadata.get("width"), metadata.get("height")
    if modality in ("text", "audio", "imu"):
        return 7 if modality == "text" else 6
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        return 6
    return min(max(round(4 * width / height), RATIOS.start), RATIOS.stop - 1)


def shown_in_full(name: str) -> bool:
    """Whether browsers show a picture of this name themselves."""
    return mimetypes.guess_type(name)[0] in _SHOWABLE


def value_of(name: str, value: Any) -> str:
    """A metadata value as people read it."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if name.endswith("_bytes") and isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, str) and _TIME.fullmatch(value):
        return datetime.fromisoformat(value).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return str(value)


def browsed(hits: Sequence[Mapping[str, Any]], links: Links) -> list[Card]:
    """Cards of what was not searched for, and so has no probability."""
    return [card_of(links.hit(hit), frozenset()) for hit in hits]


def by_name(fields: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Fields for filters: what people know best comes first."""
    known = {name: i for i, name in enumerate(_OWN_FIELDS)}
    return sorted(fields, key=lambda one: (known.get(one["name"], len(known)), one["name"]))


def page_path(collection: str, *more: str) -> str:
    """Of a page of a collection."""
    return "/".join(["/c", quote(collection, safe=""), *more])


def failure(uri: str, reason: str, status: str) -> dict[str, str]:
    """A failed asset: its file's name and folder without the way there."""
    parts = unquote(urlsplit(uri).path).rsplit("/", 2)
    return {
        "asset": asset_id(uri),
        "name": parts[-1],
        "folder": parts[-2] if len(parts) > 1 else "",
        "reason": reason,
        "status": status,
    }
