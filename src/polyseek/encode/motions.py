"""Clips of motion -> what a tower for it is fed with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from polyseek.core.errors import EncoderError
from polyseek.core.types import Floats, Motion, Signal
from polyseek.encode.filterbanks import clip_starts
from polyseek.encode.spec import MotionSpec


@dataclass(frozen=True)
class MotionPrepare:
    """Motion of any rate -> ``(clips, 6, steps)`` float32.

    Samples are taken at evenly spaced moments of a clip, straight lines between those there are.
    What is shorter than a clip stays as it ended.

    Attributes:
        spec: How a clip is made ready.
        clips: Most clips.
    """

    spec: MotionSpec
    clips: int

    def __call__(self, signal: Signal) -> Floats:
        """See the class."""
        if not isinstance(signal, Motion) or not signal.samples.shape[1]:
            raise EncoderError(f"expected motion, got {type(signal).__name__}")
        length = signal.samples.shape[1]
        starts = clip_starts(length / signal.sample_rate_hz, self.spec.clip_s, self.clips)
        steps = np.arange(self.spec.steps) * (self.spec.clip_s / self.spec.steps)
        moments = np.array(starts)[:, None] + steps
        at = moments * signal.sample_rate_hz
        rows = [np.interp(at, np.arange(length), row) for row in signal.samples]
        made: Floats = np.stack(rows, axis=1).astype(np.float32)
        return made
