"""Sounds -> log-mel spectrograms, as CLAP's own feature extractor makes them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import EncoderError
from polyseek.core.types import Floats, Signal, Sound
from polyseek.encode.spec import SoundSpec
from polyseek.encode.yamnet import resampled

_FLOOR = 1e-10
_BREAK_HZ, _LOG_STEP = 1000.0, np.log(6.4) / 27  # of Slaney's scale: linear below, then 27 steps


@dataclass(frozen=True)
class SpectrogramPrepare:
    """A sound -> ``(channels, frames, mels)`` float32 decibels.

    A sound longer than the model takes is cut at its beginning or, with fusion, looked at in three
    places and as a whole; the reference takes random places instead. An empty sound is silence.
    """

    spec: SoundSpec

    def __call__(self, signal: Signal) -> NDArray[np.float32]:
        """See the class."""
        if not isinstance(signal, Sound):
            raise EncoderError(f"expected a sound, got {type(signal).__name__}")
        samples = resampled(signal, self.spec.sample_rate_hz).astype(np.float64)
        length = int(self.spec.max_s * self.spec.sample_rate_hz)
        if len(samples) > length and self.spec.fusion:
            return _fused(log_mel(samples, self.spec), length // self.spec.hop + 1)
        mel = log_mel(_filled(samples[:length], length, self.spec.fill), self.spec)
        return np.stack([mel] * 4) if self.spec.fusion else mel[None]


def is_longer(features: NDArray[np.generic]) -> bool:
    """Whether these four channels are of a sound longer than the model takes."""
    return len(features) == 4 and not np.array_equal(features[0], features[1])


def log_mel(samples: NDArray[np.float64], spec: SoundSpec) -> Floats:
    """``(frames, mels)`` float32: 10 log10 of the mel power spectrum, windows centred."""
    padded = np.pad(samples, spec.fft // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, spec.fft)[:: spec.hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.fft) / spec.fft)
    power = np.abs(np.fft.rfft(windows * hann)).astype(np.float64) ** 2
    mels = np.maximum(_FLOOR, power @ mel_filters(spec))
    found: Floats = (10 * np.log10(mels)).astype(np.float32)
    return found


@lru_cache(maxsize=8)
def mel_filters(spec: SoundSpec) -> NDArray[np.float64]:
    """``(fft / 2 + 1, mels)`` triangles, evenly spaced on the mel scale.

    Source: HTK's scale 2595 log10(1 + f / 700), or Slaney, Auditory Toolbox, 1998.
    """
    low, high = (_to_mel(hz, slaney=spec.slaney) for hz in (spec.min_hz, spec.max_hz))
    edges = _to_hz(np.linspace(low, high, spec.mels + 2), slaney=spec.slaney)
    bins = np.linspace(0, spec.sample_rate_hz // 2, spec.fft // 2 + 1)
    slopes = edges[None, :] - bins[:, None]
    rising = -slopes[:, :-2] / np.diff(edges)[:-1]
    falling = slopes[:, 2:] / np.diff(edges)[1:]
    filters = np.maximum(0, np.minimum(rising, falling))
    if spec.slaney:
        filters = filters * (2 / (edges[2:] - edges[:-2]))
    return filters


def _to_mel(hz: float, *, slaney: bool) -> float:
    if not slaney:
        return float(2595 * np.log10(1 + hz / 700))
    if hz < _BREAK_HZ:
        return 3 * hz / 200
    return float(15 + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _to_hz(mels: NDArray[np.float64], *, slaney: bool) -> NDArray[np.float64]:
    if not slaney:
        return 700 * (10 ** (mels / 2595) - 1)
    return np.where(mels < 15, 200 * mels / 3, _BREAK_HZ * np.exp(_LOG_STEP * (mels - 15)))


def _filled(samples: NDArray[np.float64], length: int, fill: str) -> NDArray[np.float64]:
    if fill == "repeat" and 0 < len(samples) < length:
        samples = np.tile(samples, length // len(samples))
    return np.pad(samples, (0, length - len(samples)))


def _fused(mel: Floats, frames: int) -> Floats:
    """Source: Wu et al., Large-scale contrastive language-audio pretraining, arXiv 2211.06687."""
    if len(mel) <= frames:
        return np.stack([mel[:frames]] * 4)
    middle, end = (len(mel) - frames) // 2, len(mel) - frames
    places = [mel[at : at + frames] for at in (0, middle, end)]
    return np.stack([_shrunk(mel, frames), *places])


def _shrunk(mel: Floats, frames: int) -> Floats:
    """Bilinear along time, pixel centres aligned as in `torch.nn.functional.interpolate`."""
    at = np.clip((np.arange(frames) + 0.5) * len(mel) / frames - 0.5, 0, len(mel) - 1)
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(mel) - 1)
    share = (at - low)[:, None].astype(np.float32)
    mixed: Floats = mel[low] * (1 - share) + mel[high] * share
    return mixed
