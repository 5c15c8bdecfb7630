"""Motion is cut into overlapping windows, as recordings are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from polyseek.core.config import IndexOptions
from polyseek.core.types import Asset, Media, Modality, Motion, Segment, Span, SpanUnit

MIN_S = 0.5
"""A shorter rest of a stretch gets no window of its own."""


class MotionSegmenter:
    """Windows of `window_s` seconds, one every `hop_s`; what is no longer is one segment."""

    modality = Modality.IMU

    def __init__(self, options: IndexOptions) -> None:
        self._window_s, self._hop_s = options.window_s, options.hop_s

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """See `polyseek.core.protocols.Segmenter`."""
        stretches = list(cast("Iterator[Motion]", media.signal))
        whole = len(stretches) == 1
        for stretch in stretches:
            windows = list(self._windows(stretch))
            for window in windows:
                yield Segment(
                    asset_uri=asset.uri,
                    modality=Modality.IMU,
                    span=None if whole and len(windows) == 1 else _span(window),
                    metadata=media.metadata,
                    signal=window,
                )

    def _windows(self, stretch: Motion) -> Iterator[Motion]:
        rate, count = stretch.sample_rate_hz, stretch.samples.shape[1]
        window, hop = (max(1, round(each * rate)) for each in (self._window_s, self._hop_s))
        covered = 0
        for first in range(0, count, hop):
            if first and count - covered < MIN_S * rate:
                return
            covered = min(first + window, count)
            yield Motion(
                samples=stretch.samples[:, first:covered],
                sample_rate_hz=rate,
                start_s=stretch.start_s + first / rate,
            )


def _span(window: Motion) -> Span:
    start, end = round(window.start_s, 3), round(window.end_s, 3)
    return Span(unit=SpanUnit.SECONDS, start=start, end=end)
