"""Subtitles: SubRip and WebVTT files, and text tracks inside of videos."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, takewhile
from typing import Any, BinaryIO

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, Modality, Span, SpanUnit
from polyseek.ingest.decoders.container import Damage, origin_s
from polyseek.ingest.decoders.text import read_text

PASSAGE_CHARS = 200
"""Cues are joined up to about this length: one alone is often half a sentence."""

MAX_PAUSE_S = 2.0
"""Nor are they joined over a longer silence."""

_TIMES = re.compile(
    r"\s*(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})\s*-->"
    r"\s*(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
)
_MARKUP = re.compile(r"</?[A-Za-z][^<>]*>|<[\d:.]+>|\{\\[^{}]*\}")
_TEXT_CODECS = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})


class SubtitleDecoder:
    """``.srt`` and ``.vtt``: passages with the seconds at which they are spoken."""

    suffixes = frozenset({".srt", ".vtt"})

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        cues, broken = _parse(read_text(asset, stream))
        yield from _media(cues)
        if broken:
            count = "1 cue" if len(broken) == 1 else f"{len(broken):,} cues"
            lines = ", ".join(str(line) for line in broken[:5]) + ", ..." * (len(broken) > 5)
            raise DecodeError(asset.uri, f"{count} cannot be read: line {lines}")
        if not cues:
            raise DecodeError(asset.uri, "holds no subtitles")


@dataclass(frozen=True, slots=True)
class Cue:
    """A text and when it is shown."""

    start_s: float
    end_s: float
    text: str


def passages(cues: Iterable[Cue]) -> Iterator[Cue]:
    """Cues in order of time, joined to passages that start at different times.

    A line that the cue before ends with is not repeated: live captions roll up line by line.
    """
    current: Cue | None = None
    last_line = ""
    for cue in sorted(cues, key=lambda cue: cue.start_s):
        lines = [line for line in cue.text.split("\n") if line]
        if lines and lines[0] == last_line:
            lines = lines[1:]
        last_line = lines[-1] if lines else last_line
        text = " ".join(lines)
        if current is None:
            current = Cue(cue.start_s, cue.end_s, text)
        elif cue.start_s <= current.start_s or not text or _joins(current, cue, text):
            joined = f"{current.text} {text}".strip()
            current = Cue(current.start_s, max(current.end_s, cue.end_s), joined)
        else:
            yield current
            current = Cue(cue.start_s, cue.end_s, text)
    if current is not None:
        yield current


def subtitle_track(container: Any) -> Any:
    """The default text track, or the first one; None when there is none."""
    tracks = [
        track
        for track in container.streams.subtitles
        if track.codec_context is not None and track.codec_context.name in _TEXT_CODECS
    ]
    chosen = [track for track in tracks if track.disposition & type(track.disposition).default]
    return next(iter(chosen + tracks), None)


def embedded_subtitles(asset: Asset, container: Any) -> Iterator[Media]:
    """The passages of the container's subtitle track.

    Raises:
        DecodeError: At the end, when some of it, or all, could not be decoded.
    """
    import av

    damage = Damage()
    cues: list[Cue] = []
    try:
        for packet in container.demux(subtitle_track(container)):
            if packet.pts is not None and packet.size:
                cues += _cues_of(packet, origin_s(container), damage)
    except av.error.FFmpegError as error:  # the file ends in the middle of a packet
        damage.note(error)
    yield from _media(cues)
    if damage.count:
        damage.check(asset, "subtitle track", decoded=bool(cues))


def _cues_of(packet: Any, start_of_file_s: float, damage: Damage) -> Iterator[Cue]:
    import av

    start_s = max(float(packet.pts * packet.time_base) - start_of_file_s, 0.0)
    end_s = start_s + float((packet.duration or 0) * packet.time_base)
    try:
        for subtitle in packet.decode():
            # An ASS event: the text follows eight fields and may hold commas itself.
            fields = bytes(getattr(subtitle, "ass", b"")).decode(errors="replace").split(",", 8)
            text = _plain(re.sub(r"\\[Nn]", "\n", fields[-1]).replace(r"\h", " "))
            if text and end_s > start_s:
                yield Cue(start_s, end_s, text)
    except av.error.FFmpegError as error:
        damage.note(error)


def _joins(current: Cue, cue: Cue, text: str) -> bool:
    short = len(current.text) + 1 + len(text) <= PASSAGE_CHARS
    return short and cue.start_s - current.end_s <= MAX_PAUSE_S


def _media(cues: Iterable[Cue]) -> Iterator[Media]:
    for passage in passages(cues):
        yield Media(
            modality=Modality.TEXT,
            signal=passage.text,
            span=Span(
                unit=SpanUnit.SECONDS,
                start=round(passage.start_s, 3),
                end=round(passage.end_s, 3),
            ),
        )


def _parse(content: str) -> tuple[list[Cue], list[int]]:
    """The cues of a file, and the line numbers of those that cannot be read."""
    cues: list[Cue] = []
    broken: list[int] = []
    lines = content.split("\n")
    marks = [number for number, line in enumerate(lines) if "-->" in line]
    for mark, following in pairwise([*marks, len(lines) + 1]):
        # Up to the first empty line, or to the next cue's number where that line is missing.
        body = lines[mark + 1 : following - 1]
        text = _plain("\n".join(takewhile(str.strip, body)))
        times = _TIMES.match(lines[mark])
        if times is None:
            broken.append(mark + 1)
            continue
        start_s, end_s = _seconds(times.groups()[:4]), _seconds(times.groups()[4:])
        if end_s <= start_s:
            broken.append(mark + 1)
        elif text:
            cues.append(Cue(start_s, end_s, text))
    return cues, broken


def _seconds(parts: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = (part or "0" for part in parts)
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")


def _plain(text: str) -> str:
    """Without markup, each line trimmed; no empty lines."""
    bare = html.unescape(_MARKUP.sub("", text)).replace("\xa0", " ")
    return "\n".join(line for line in (" ".join(line.split()) for line in bare.split("\n")) if line)
