"""What audio and video files share: opening a container, its facts, its packets, its errors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, MetadataValue

_TAGS = ("title", "artist", "album", "genre", "comment", "description", "lyrics", "date")
_TEXT_TAGS = ("title", "artist", "album", "comment", "description", "lyrics")
MAX_TAG_CHARS = 2000

_SHORT_S, _SHORT = 1.0, 0.05  # a track that ends this much early is broken off
_SAME_RATE = 0.02


@contextmanager
def opened(asset: Asset, stream: BinaryIO) -> Iterator[Any]:
    """An open PyAV container on the asset's bytes.

    Raises:
        DecodeError: The bytes are no container that can be read.
    """
    import av

    stream.seek(0)
    try:
        # Playlists and session descriptions under a media name must not open anything else.
        container = av.open(
            stream, mode="r", metadata_errors="replace", options={"protocol_whitelist": "none"}
        )
    except (av.error.FFmpegError, ValueError, OverflowError) as error:
        raise DecodeError(asset.uri, f"cannot be opened: {reason_of(error)}") from error
    try:
        yield container
    finally:
        container.close()


def facts(container: Any) -> dict[str, MetadataValue]:
    """Length and tags, as metadata fields."""
    found: dict[str, MetadataValue] = {}
    length = duration_s(container)
    if length is not None:
        found["duration_s"] = round(length, 3)
    tags = _tags(container)
    found.update({name: tags[name] for name in _TAGS if name in tags})
    return found


def tag_text(container: Any) -> str:
    """The words in the tags, one tag per line; empty when there are none."""
    tags = _tags(container)
    return "\n".join(dict.fromkeys(tags[name] for name in _TEXT_TAGS if name in tags))


def duration_s(container: Any, stream: Any = None) -> float | None:
    """Length in seconds, where the file tells."""
    if stream is not None and stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / 1_000_000 if container.duration else None


def stated_s(container: Any, track: Any) -> float | None:
    """Length of a track by the file's headers; None where they say nothing reliable."""
    if container.format.name in ("mpegts", "mpeg", "aac", "ac3", "eac3", "ogg"):  # estimated
        return None
    if container.format.name == "mp3" and _estimated(container, track):
        return None
    if container.format.name == "avi":  # estimated as well, but frames of pictures are counted
        counted = track.type == "video" and track.average_rate
        return track.frames / float(track.average_rate) if counted else None
    known = [float(track.duration * track.time_base)] if track.duration else []
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", track.metadata.get("DURATION", ""))
    if tag:
        known.append(int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]))
    # The track may be trimmed: then the file as a whole is shorter.
    whole = duration_s(container)
    return min(*known, whole) if known and whole else None


def _estimated(container: Any, track: Any) -> bool:
    """Whether a length is no more than the file's size over its bit rate: no header tells it."""
    stated, real = track.codec_context.bit_rate, container.bit_rate
    return not stated or abs(real / stated - 1) < _SAME_RATE


def origin_s(container: Any) -> float:
    """What the file's clock shows at its start: broadcasts begin at any time."""
    return max(container.start_time or 0, 0) / 1_000_000


def frames(container: Any, stream: Any, damage: Damage) -> Iterator[Any]:
    """Decoded frames of one stream; packets that do not decode are counted and left out."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:  # the file ends in the middle of a packet
            damage.note(error)
            return
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError as error:
            damage.note(error)


class Damage:
    """Counts what could not be decoded."""

    def __init__(self) -> None:
        self.count = 0
        self.first = ""

    def note(self, error: Exception) -> None:
        """One more damaged place."""
        self.count += 1
        self.first = self.first or reason_of(error)

    def check_length(self, end_s: float, stated_s: float | None) -> None:
        """Note where a track ends before its stated end; FFmpeg is silent in some formats."""
        if stated_s is not None and end_s < stated_s - max(_SHORT_S, _SHORT * stated_s):
            self.note(ValueError(f"it ends after {end_s:.1f} s of {stated_s:.1f} s"))

    def check(self, asset: Asset, what: str, *, decoded: bool) -> None:
        """Say at the end of a stream what is missing of it.

        Raises:
            DecodeError: Something is.
        """
        if not decoded:
            detail = f": {self.first}" if self.first else ""
            raise DecodeError(asset.uri, f"the {what} cannot be decoded{detail}")
        if self.count:
            places = "1 place" if self.count == 1 else f"{self.count:,} places"
            raise DecodeError(asset.uri, f"the {what} is damaged in {places}: {self.first}")


def reason_of(error: Exception) -> str:
    """FFmpeg's own words, without its function names and file names."""
    return str(getattr(error, "strerror", None) or error).strip() or type(error).__name__


def _tags(container: Any) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for holder in (container, *container.streams.audio, *container.streams.video):
        for name, value in holder.metadata.items():
            text = " ".join(str(value).split("\x00")).strip()
            if text:
                found.setdefault(name.lower(), text[:MAX_TAG_CHARS])
    return found
