"""Recordings are cut into overlapping windows; silent ones are left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import numpy as np

from polyseek.core.config import IndexOptions
from polyseek.core.errors import DecodeError, EmptyMediaError
from polyseek.core.types import Asset, Floats, Media, Modality, Segment, Sound, Span, SpanUnit
from polyseek.ingest.segmenters.stream import until_broken

MAX_GAP_S = 0.5
"""A larger hole starts a new window."""

MIN_NEW_S = 0.5
"""A rest shorter than this gets no window of its own: the one before has nearly all of it."""

SILENCE_DBFS = -70.0
"""Root mean square over a window; a quiet field recording is about -60."""


class AudioSegmenter:
    """Windows of `window_s` seconds, one every `hop_s`; a short sound is one segment.

    The last window is as long as the recording has left.
    """

    modality = Modality.AUDIO

    def __init__(self, options: IndexOptions) -> None:
        self._window_s, self._hop_s = options.window_s, options.hop_s

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """See `polyseek.core.protocols.Segmenter`."""
        heard = False
        broken: list[DecodeError] = []
        sounds = until_broken(cast("Iterator[Sound]", media.signal), broken)
        for window, whole in self._windows(sounds):
            if loudness_dbfs(window.samples) > SILENCE_DBFS:
                heard = True
                yield Segment(
                    asset_uri=asset.uri,
                    modality=Modality.AUDIO,
                    span=None if whole else _span(window),
                    metadata=media.metadata,
                    signal=window,
                )
        if broken:
            raise broken[0]
        if not heard:
            raise EmptyMediaError(asset.uri, "holds only silence")

    def _windows(self, sounds: Iterator[Sound]) -> Iterator[tuple[Sound, bool]]:
        """Windows, and whether one is the whole recording."""
        several = False
        buffer: Sound | None = None
        new_s = 0.0  # seconds at the end of the buffer that no window has had
        for sound in sounds:
            length_s = sound.end_s - sound.start_s
            if buffer is not None and _follows(sound, buffer):
                buffer, new_s = _joined(buffer, sound), new_s + length_s
            else:  # the first, or the first after a hole in the recording
                if buffer is not None:
                    several = True
                    if new_s >= MIN_NEW_S:
                        yield buffer, False
                buffer, new_s = sound, max(length_s, MIN_NEW_S)
            while buffer.end_s - buffer.start_s >= self._window_s:
                several = True
                yield _cut(buffer, 0, self._window_s), False
                new_s = buffer.end_s - buffer.start_s - self._window_s
                buffer = _cut(buffer, self._hop_s, None)
        if buffer is not None and new_s >= MIN_NEW_S:
            yield buffer, not several


def _span(window: Sound) -> Span:
    start, end = round(window.start_s, 3), round(window.end_s, 3)
    return Span(unit=SpanUnit.SECONDS, start=start, end=end)


def loudness_dbfs(samples: Floats) -> float:
    """Root mean square in decibels below full scale."""
    power = float(np.vecdot(samples, samples)) / max(len(samples), 1)
    return 10 * float(np.log10(max(power, 1e-20)))


def _follows(sound: Sound, buffer: Sound) -> bool:
    gap_s = abs(sound.start_s - buffer.end_s)
    return sound.sample_rate_hz == buffer.sample_rate_hz and gap_s < MAX_GAP_S


def _joined(first: Sound, second: Sound) -> Sound:
    return Sound(
        samples=np.concatenate([first.samples, second.samples]),
        sample_rate_hz=first.sample_rate_hz,
        start_s=first.start_s,
    )


def _cut(sound: Sound, start_s: float, end_s: float | None) -> Sound:
    rate = sound.sample_rate_hz
    start = round(start_s * rate)
    stop = None if end_s is None else round(end_s * rate)
    return Sound(
        samples=sound.samples[start:stop],
        sample_rate_hz=rate,
        start_s=sound.start_s + start / rate,
    )
