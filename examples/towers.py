"""Two towers without any model: what `polyseek adapt --tower` joins to a collection.

Each is a function from a binary file to a vector. They know nothing of words; pairs teach a
collection what their numbers mean:

    polyseek adapt --tower ./towers.py:sound --modality audio --pairs sounds.csv
    polyseek adapt --tower ./towers.py:heat --modality thermal --pairs thermal.csv
"""

from typing import BinaryIO

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image

RATE_HZ, WINDOW, HOP, MELS = 22_050, 1024, 512, 64


def sound(file: BinaryIO) -> NDArray[np.float32]:
    """``(320,)`` how a log-mel spectrogram is spread over time: levels, change, and loudness."""
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(file) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    mono = np.concatenate([frame.to_ndarray().ravel() for frame in frames])
    mono = np.pad(mono, (0, max(0, 2 * WINDOW - len(mono))))
    windows = np.lib.stride_tricks.sliding_window_view(mono, WINDOW)[::HOP] * np.hanning(WINDOW)
    power = np.abs(np.fft.rfft(windows)) ** 2
    levels = np.log(power @ mel_bands() + 1e-6)
    low, middle, high = np.percentile(levels, (10, 50, 90), axis=0)
    change = np.abs(np.diff(levels, axis=0)).mean(axis=0)
    return np.concatenate([low, middle, high, levels.std(axis=0), change]).astype(np.float32)


def mel_bands() -> NDArray[np.float64]:
    """``(WINDOW / 2 + 1, MELS)`` triangles that overlap by half, evenly on the mel scale."""
    top = 2595 * np.log10(1 + RATE_HZ / 2 / 700)
    edges = 700 * (10 ** (np.linspace(0, top, MELS + 2) / 2595) - 1)
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE_HZ)[:, None]
    rising = (hertz - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - hertz) / (edges[2:] - edges[1:-1])
    return np.clip(np.minimum(rising, falling), 0, None)


def heat(file: BinaryIO) -> NDArray[np.float32]:
    """``(768,)`` of a one-channel picture: where it is bright, and which way its edges run."""
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("L").resize((64, 64)), np.float32) / 255
    layout = pixels.reshape(16, 4, 16, 4).mean(axis=(1, 3)).ravel()
    down, across = np.gradient(pixels)
    strength = np.hypot(down, across)
    way = (np.arctan2(down, across) % np.pi / np.pi * 8).astype(int) % 8
    cells = np.stack([np.where(way == i, strength, 0) for i in range(8)])
    edges = cells.reshape(8, 8, 8, 8, 8).sum(axis=(2, 4)).ravel()
    return np.concatenate([layout, np.sqrt(edges)]).astype(np.float32)


sound.files = ("*.wav", "*.flac", "*.ogg", "*.mp3")  # type: ignore[attr-defined]
heat.files = ("*.thermal.png", "*.thermal.tiff")  # type: ignore[attr-defined]
