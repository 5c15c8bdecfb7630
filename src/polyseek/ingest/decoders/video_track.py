"""The packets of a video track: which one, when, and how much of it there is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from statistics import median
from typing import Any

from polyseek.ingest.decoders.container import Damage, origin_s, stated_s

SAMPLE_S = 0.5
"""One frame is taken of every stretch of this length."""

PROBE_S = 60.0
"""How much of a file is looked at to learn how far apart its keyframes are."""

_FRAME_S = 0.04  # length of a frame of which the file says nothing
_BACK_S, _AHEAD_S = 1.0, 3600.0  # timestamps that jump further are a new clock
_REORDER_S = 30.0  # packets come in the order of decoding: this far out of the order of time


def video_track(container: Any) -> Any:
    """The first video track that can be decoded and is no cover picture; None if there is none."""
    for track in container.streams.video:
        cover = track.disposition & type(track.disposition).attached_pic
        if track.codec_context is not None and not cover:
            return track
    return None


def keyframe_gap_s(container: Any, track: Any) -> float:
    """Median distance of the keyframes at the start of the file; infinite where there is one."""
    import av

    times: list[float] = []
    last_s = 0.0
    with suppress(av.error.FFmpegError):  # the decoder will find the damage too, and say so
        for packet in container.demux(track):
            stamp = packet.dts if packet.pts is None else packet.pts
            if stamp is None:
                continue
            last_s = float(stamp * packet.time_base)
            if packet.is_keyframe:
                times.append(last_s)
            if times and last_s - times[0] > PROBE_S:
                break
    gaps = [later - earlier for earlier, later in pairwise(times)]
    if times and last_s - times[-1] > max(gaps, default=0):  # the next keyframe is further still
        gaps.append(last_s - times[-1])
    return median(gaps) if gaps else math.inf


class Clock:
    """Seconds since the start of the asset, from timestamps that may be missing or jump.

    Attributes:
        end_s: Where the latest frame or packet ends.
    """

    def __init__(self, origin_s: float, fps: float, *, back_s: float = _BACK_S) -> None:
        self._shift_s, self._frame_s, self._back_s = -origin_s, 1 / fps if fps else _FRAME_S, back_s
        self._latest_s = self._next_s = self.end_s = 0.0

    def start_s(self, timed: Any) -> float:
        """When a frame or packet begins."""
        at_s = self.end_s
        if timed.pts is not None:
            at_s = float(timed.pts * timed.time_base) + self._shift_s
            if not -self._back_s <= at_s - self._latest_s <= _AHEAD_S:
                self._shift_s += self.end_s - at_s
                at_s = self.end_s
        at_s = max(at_s, 0.0)
        self._latest_s = max(self._latest_s, at_s)
        length_s = float((timed.duration or 0) * timed.time_base) if timed.time_base else 0.0
        self.end_s = max(self.end_s, at_s + (length_s or self._frame_s))
        return at_s

    def due(self, start_s: float) -> bool:
        """Whether this is the first frame of its stretch."""
        if start_s < self._next_s:
            return False
        self._next_s = (math.floor(start_s / SAMPLE_S + 1e-6) + 1) * SAMPLE_S
        return True


class Packets:
    """A container as `frames` reads it; it notes the time and may leave all but keyframes out."""

    def __init__(self, container: Any, track: Any, fps: float, *, keyframes: bool) -> None:
        self._container, self._keyframes = container, keyframes
        self.clock = Clock(origin_s(container), fps, back_s=_REORDER_S)
        self._stated_s = stated_s(container, track)

    def check_length(self, damage: Damage) -> None:
        """Note where the track ends before its stated end."""
        damage.check_length(self.clock.end_s, self._stated_s)

    def demux(self, track: Any) -> Iterator[Any]:
        """Packets as PyAV gives them; the last one, empty, makes the decoder finish."""
        for packet in self._container.demux(track):
            if packet.size:
                start_s = self.clock.start_s(packet)
                if self._keyframes and not (packet.is_keyframe and self.clock.due(start_s)):
                    continue
            yield packet
