"""Videos are cut into shots, each with a few frames that stand for it."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, cast

import numpy as np

from polyseek.core.config import IndexOptions
from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Floats, Frame, Media, Modality, Segment, Span, SpanUnit
from polyseek.ingest.segmenters.stream import until_broken

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_SHOT_S = 0.9
"""A shorter shot becomes part of the next one, at the end of the one before. A second, less what
sampling may take from it."""

MAX_SHOT_S = 15.0
"""A longer shot is split into equal parts."""

SHOT_FRAMES = 4
"""Frames that stand for a shot, evenly spaced; of nearly identical ones only the first."""

_KEPT = 16  # frames held of an open shot of up to 2 x MAX_SHOT_S: `SHOT_FRAMES` each and choice
_ALIKE = 0.02
_ALIKE_PLACE = 0.05  # where words are to be read: of two slides only a few places differ

# Measured on films, pans over photos and noise, two frames a second: within a shot a change is
# below 0.3, at a cut mostly above 0.4; in shots full of motion all changes are larger.
_CUT = 0.25
_MARGIN, _MOTION, _USUAL = 0.12, 1.3, 0.14
_MEMORY = 8
_COLUMNS, _ROWS, _BINS, _BLOCK = 64, 36, 16, 4
_SPREAD, _WEIGHTS = np.array([[1, 3, 3], [1, 2, 2]], dtype=np.float32)  # chroma varies less


class VideoSegmenter:
    """One segment per shot, or per equal part of a long one; the signal is a list of pictures.

    Only what is shown at sampled moments is known: a cut is placed at the first frame after it.
    A single frame that is shown for long is not split.
    """

    modality = Modality.VIDEO

    def __init__(self, options: IndexOptions) -> None:
        self._legible = bool(options.ocr)

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """See `polyseek.core.protocols.Segmenter`."""
        broken: list[DecodeError] = []
        frames = until_broken(cast("Iterator[Frame]", media.signal), broken)
        for shot in _merged(_shots(frames)):
            for start_s, end_s, pictures in shot.parts(legible=self._legible):
                yield Segment(
                    asset_uri=asset.uri,
                    modality=Modality.VIDEO,
                    span=Span(unit=SpanUnit.SECONDS, start=round(start_s, 3), end=round(end_s, 3)),
                    metadata=media.metadata,
                    signal=pictures,
                )
        if broken:
            raise broken[0]


@dataclass(eq=False)
class _Shot:
    """A shot with a thinned-out choice of its frames."""

    start_s: float
    end_s: float
    frames: list[Frame]
    stride: int = 1
    _seen: int = field(default=1, init=False)

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s

    def add(self, frame: Frame) -> None:
        self.end_s = frame.end_s
        if self._seen % self.stride == 0:
            self.frames.append(frame)
        self._seen += 1
        if len(self.frames) > _KEPT:
            self.frames, self.stride = self.frames[::2], 2 * self.stride

    def parts(self, *, legible: bool) -> Iterator[tuple[float, float, list[Image]]]:
        """Start, end and pictures of the equal parts of the shot."""
        # To the microsecond: 15 s in thirtieths of a second are not a part too long.
        count = min(math.ceil(round(self.length_s / MAX_SHOT_S, 6)), len(self.frames)) or 1
        borders = np.linspace(self.start_s, self.end_s, count + 1).tolist()
        for start_s, end_s in pairwise(borders):
            yield start_s, end_s, self._pictures(start_s, end_s, legible=legible)

    def _pictures(self, start_s: float, end_s: float, *, legible: bool) -> list[Image]:
        kept: list[Image] = []
        looks: list[Floats] = []
        step_s = (end_s - start_s) / SHOT_FRAMES
        for number in range(SHOT_FRAMES):
            at_s = start_s + (number + 0.5) * step_s
            # The nearest frame by its middle; at the borders of a shot a blend is likely.
            frame = min(self.frames, key=lambda f: abs((f.start_s + f.end_s) / 2 - at_s))
            look = _thumbnail(frame.image)
            if all(_differ(look, other, legible=legible) for other in looks):
                kept.append(frame.image)
                looks.append(look)
        return kept


def _differ(look: Floats, other: Floats, *, legible: bool) -> bool:
    """Whether two thumbnails show different things, or, where that counts, different words."""
    change = np.abs(look - other)
    return float(change.mean()) > _ALIKE or (legible and float(change.max()) > _ALIKE_PLACE)


def _shots(frames: Iterator[Frame]) -> Iterator[_Shot]:
    """Shots of at least `MIN_SHOT_S`, but for the last; of very long ones the first part."""
    finder = _CutFinder()
    shot: _Shot | None = None
    for frame in frames:
        cut = finder.cut_before(frame.image)
        if shot is not None and cut and shot.length_s >= MIN_SHOT_S:
            yield shot
            shot = None
        if shot is None:
            shot = _Shot(frame.start_s, frame.end_s, [frame])
        else:
            shot.add(frame)
        if shot.length_s >= 2 * MAX_SHOT_S:
            head, shot = _divided(shot)
            yield head
    if shot is not None:
        yield shot


def _divided(shot: _Shot) -> tuple[_Shot, _Shot | None]:
    """The first `MAX_SHOT_S` of a shot, and the rest; all of it where no frame is left for that."""
    at_s = shot.start_s + MAX_SHOT_S
    early = [frame for frame in shot.frames if frame.start_s < at_s]
    late = shot.frames[len(early) :]
    if not early or not late:
        return shot, None
    return _Shot(shot.start_s, at_s, early), _Shot(at_s, shot.end_s, late, shot.stride)


def _merged(shots: Iterator[_Shot]) -> Iterator[_Shot]:
    """The shots, a last one that is too short as the end of the one before."""
    before: _Shot | None = None
    for shot in shots:
        if before is None:
            before = shot
        elif shot.length_s < MIN_SHOT_S:
            before.end_s = shot.end_s
        else:
            yield before
            before = shot
    if before is not None:
        yield before


class _CutFinder:
    """Compares each frame with the one before: its colours as a whole, and place by place."""

    def __init__(self) -> None:
        self._before: tuple[Floats, Floats] | None = None
        self._changes: deque[float] = deque([_USUAL], _MEMORY)

    def cut_before(self, image: Image) -> bool:
        """Whether this frame shows something else than the last one, motion aside."""
        before, self._before = self._before, _features(image)
        if before is None:
            return False
        colours, places = (
            float(np.abs(new - old).sum(axis=-1).mean())
            for new, old in zip(self._before, before, strict=True)
        )
        change = colours / 2 + places / 2
        cut = change > max(_CUT, _MARGIN + _MOTION * median(self._changes))
        if not cut:
            self._changes.append(change)
        return cut


def _features(image: Image) -> tuple[Floats, Floats]:
    """Histograms of luma and chroma, ``(3, bins)``; block means, ``(blocks, 3)``."""
    pixels = _thumbnail(image)
    spread = ((pixels - 0.5) * _SPREAD + 0.5).clip(0, 1)
    histograms = np.stack([_histogram(spread[..., channel]) for channel in range(3)])
    rows, columns = _ROWS // _BLOCK, _COLUMNS // _BLOCK
    blocks = pixels.reshape(rows, _BLOCK, columns, _BLOCK, 3).mean(axis=(1, 3)).reshape(-1, 3)
    weighted: Floats = (blocks * _WEIGHTS).astype(np.float32)
    return histograms, weighted


def _thumbnail(image: Image) -> Floats:
    """``(36, 64, 3)`` luma and chroma from 0 to 1."""
    from PIL import Image as Pillow

    small = image.resize((_COLUMNS, _ROWS), Pillow.Resampling.BOX).convert("YCbCr")
    pixels: Floats = np.asarray(small, dtype=np.float32) / np.float32(255)
    return pixels


def _histogram(values: Floats) -> Floats:
    """Shares of the values; one between two bins counts for both, so a drift is no jump."""
    place = values.ravel() * (_BINS - 1)
    low = np.minimum(place.astype(np.int64), _BINS - 2)
    share = place - low
    counted = np.bincount(low, 1 - share, _BINS) + np.bincount(low + 1, share, _BINS)
    shares: Floats = (counted / values.size).astype(np.float32)
    return shares
