"""Depth maps and thermal images -> what a tower of one channel is fed with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyseek.core.errors import EncoderError
from polyseek.core.types import Floats, Signal
from polyseek.encode.pictures import short_side
from polyseek.encode.spec import MapSpec


@dataclass(frozen=True)
class MapPrepare:
    """``(height, width)`` float32 -> ``(1, side, side)`` float32: resized, the centre cut out."""

    spec: MapSpec

    def __call__(self, signal: Signal) -> Floats:
        """See the class."""
        from PIL import Image

        if not isinstance(signal, np.ndarray) or signal.ndim != 2 or not signal.size:
            raise EncoderError(
                f"expected a map of (height, width), got {getattr(signal, 'shape', type(signal))}"
            )
        values = signal.astype(np.float32)
        if self.spec.nearness:
            values = _nearness(values, self.spec.nearness)
        side = self.spec.side
        columns, rows = short_side(values.shape[1], values.shape[0], side)
        resized = np.asarray(
            Image.fromarray(values).resize((columns, rows), Image.Resampling.BICUBIC)
        )
        top, left = round((rows - side) / 2), round((columns - side) / 2)
        cut = resized[top : top + side, left : left + side]
        made: Floats = (cut - np.float32(self.spec.mean)) / np.float32(self.spec.std)
        return made[None]


def _nearness(metres: Floats, at_one: float) -> Floats:
    known = np.isfinite(metres) & (metres > 0)
    near = np.divide(at_one, metres, out=np.zeros_like(metres), where=known)
    found: Floats = np.minimum(near, np.float32(1))
    return found
