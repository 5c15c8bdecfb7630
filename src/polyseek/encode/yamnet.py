"""YAMNet, mini's audio tower: 521 AudioSet classes and a 1,024-d embedding.

The graph (front end and wiring) is in the package; the weights stay in their pinned file, which
the graph's initialisers point into. Built by ``tools/build_yamnet.py``.

Source: M. Plakal, D. Ellis: YAMNet, github.com/tensorflow/models, research/audioset/yamnet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import EncoderError
from polyseek.core.runtime import session
from polyseek.core.types import Floats, Prepared, Signal, Sound
from polyseek.encode.towers import unit

GRAPH_FILE = "yamnet.onnx"
SAMPLE_RATE_HZ = 16_000
PATCH_SAMPLES = 15_600  # 96 frames of 10 ms and the rest of the last window
PATCH_HOP_SAMPLES = 7_680


@dataclass(frozen=True)
class YamnetPrepare:
    """Sound -> 16 kHz mono float32, padded with silence to whole patches."""

    def __call__(self, signal: Signal) -> Prepared:
        """See `polyseek.core.types.Prepare`."""
        if not isinstance(signal, Sound):
            raise EncoderError(f"expected a sound, got {type(signal).__name__}")
        return padded(resampled(signal, SAMPLE_RATE_HZ))


class YamnetTower:
    """YAMNet, float32.

    Args:
        weights: Finds the weights file when it is first needed.
        threads: Inference threads; 0 for all cores.
    """

    dim = 1024

    def __init__(self, weights: Callable[[], Path], *, threads: int) -> None:
        self._weights, self._threads = weights, threads

    @cached_property
    def _session(self) -> Any:
        graph = (files("polyseek.encode") / "data" / GRAPH_FILE).read_bytes()
        return session(self._weights(), threads=self._threads, graph=graph)

    def encode(self, batch: Sequence[NDArray[np.generic]]) -> tuple[Floats, Floats]:
        """Embeddings and class scores of n waveforms.

        Args:
            batch: ``(samples,)`` float32 each, from `YamnetPrepare`.

        Returns:
            ``(n, 1024)`` unit-length roots of the mean embeddings: a square root keeps the few
            strongest features from drowning the rest (audio -> audio mAP +.01). And ``(n, 521)``
            scores from 0 to 1, half mean, half maximum over the patches, so that a short event
            counts in a long window.
        """
        embeddings, scores = [], []
        for waveform in batch:
            by_patch, classes = self.parts(waveform)
            embeddings.append(by_patch.mean(axis=0))
            scores.append((classes.mean(axis=0) + classes.max(axis=0)) / 2)
        return unit(np.sqrt(np.stack(embeddings))), np.stack(scores)

    def parts(self, waveform: NDArray[np.generic]) -> tuple[Floats, Floats]:
        """``(p, 1024)`` embeddings and ``(p, 521)`` scores of a waveform's patches of .96 s."""
        by_patch, classes = self._session.run(
            ["embeddings", "scores"], {"waveform": waveform.astype(np.float32)}
        )
        return by_patch, classes


def resampled(sound: Sound, rate_hz: int) -> Floats:
    """``(n,)`` float32 samples at another rate."""
    if sound.sample_rate_hz == rate_hz or not len(sound.samples):
        return sound.samples
    import av

    frame = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(sound.samples[None]), format="flt", layout="mono"
    )
    frame.sample_rate = sound.sample_rate_hz
    resampler = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
    pieces = [*resampler.resample(frame), *resampler.resample(None)]
    # Of a handful of samples the resampler may leave nothing.
    parts = [piece.to_ndarray().reshape(-1) for piece in pieces]
    return np.concatenate([np.empty(0, np.float32), *parts])


def padded(waveform: Floats) -> Floats:
    """The waveform with silence at its end, so that the last patch is whole."""
    hops = max(0, -(-(len(waveform) - PATCH_SAMPLES) // PATCH_HOP_SAMPLES))
    return np.pad(waveform, (0, PATCH_SAMPLES + hops * PATCH_HOP_SAMPLES - len(waveform)))
