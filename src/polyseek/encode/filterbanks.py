"""Clips of a sound -> log mel filterbanks, as Kaldi makes them and the AST after it.

Source: Povey et al., The Kaldi speech recognition toolkit, 2011 (``compute-fbank-feats``), with the
settings of Gong, Chung and Glass, AST: Audio Spectrogram Transformer, arXiv 2104.01778.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import EncoderError
from polyseek.core.types import Floats, Signal, Sound
from polyseek.encode.spec import FilterbankSpec
from polyseek.encode.yamnet import resampled

_WINDOW_S, _HOP_S = 0.025, 0.010
_LOWEST_HZ = 20.0
_PREEMPHASIS = 0.97
_FLOOR = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class FilterbankPrepare:
    """A sound -> ``(clips, 1, bands, frames)`` float32.

    A sound no longer than a clip is one clip; one shorter than a window is filled up with silence.

    Attributes:
        spec: How a clip is made ready.
        clips: Most clips.
    """

    spec: FilterbankSpec
    clips: int

    def __call__(self, signal: Signal) -> Floats:
        """See the class."""
        if not isinstance(signal, Sound):
            raise EncoderError(f"expected a sound, got {type(signal).__name__}")
        rate_hz = self.spec.sample_rate_hz
        samples = resampled(signal, rate_hz).astype(np.float64)
        starts = clip_starts(len(samples) / rate_hz, self.spec.clip_s, self.clips)
        cuts = [
            samples[int(at * rate_hz) : int((at + self.spec.clip_s) * rate_hz)] for at in starts
        ]
        return np.stack([_clip(cut, self.spec) for cut in cuts])


def clip_starts(length_s: float, clip_s: float, count: int) -> list[float]:
    """When clips begin: evenly, so that the last ends with the recording; the same moment once."""
    last_s = max(length_s - clip_s, 0.0)
    if count == 1 or not last_s:
        return [0.0]
    return [last_s * i / (count - 1) for i in range(count)]


def _clip(samples: NDArray[np.float64], spec: FilterbankSpec) -> Floats:
    banks = filterbanks(samples, spec)[: spec.frames]
    filled = np.pad(banks, ((0, spec.frames - len(banks)), (0, 0)))
    values: Floats = ((filled - spec.mean) / spec.std).T[None].astype(np.float32)
    return values


def filterbanks(samples: NDArray[np.float64], spec: FilterbankSpec) -> NDArray[np.float64]:
    """``(frames, bands)``: the logarithm of the energy in each band, window by window."""
    window, hop = (round(each * spec.sample_rate_hz) for each in (_WINDOW_S, _HOP_S))
    samples = np.pad(samples, (0, max(0, window - len(samples))))
    frames = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    fft = 2 ** math.ceil(math.log2(window))
    power = np.abs(np.fft.rfft((frames - _PREEMPHASIS * before) * np.hanning(window), fft)) ** 2
    return np.log(np.maximum(power @ _bands(spec, fft), _FLOOR))


@lru_cache(maxsize=4)
def _bands(spec: FilterbankSpec, fft: int) -> NDArray[np.float64]:
    """``(fft / 2 + 1, bands)`` triangles, straight and evenly spaced on Kaldi's mel scale."""
    edges = np.linspace(_mel(_LOWEST_HZ), _mel(spec.sample_rate_hz / 2), spec.bands + 2)
    mels = _mel(np.linspace(0, spec.sample_rate_hz / 2, fft // 2 + 1))[:, None]
    rising = (mels - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - mels) / (edges[2:] - edges[1:-1])
    return np.maximum(0, np.minimum(rising, falling))


def _mel(hz: float | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1127 * np.log1p(np.asarray(hz, np.float64) / 700))
