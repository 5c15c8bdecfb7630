"""Tiny pictures and sounds, as bytes."""

import io
import wave

import numpy as np
from PIL import Image


def png(colour, side=32):
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


def noise(side):
    """A PNG of three bytes per pixel."""
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=0)
    return file.getvalue()


def tone(seconds, rate_hz=48_000):
    """A sine at 440 Hz as 16-bit WAV."""
    moments = np.arange(int(seconds * rate_hz)) / rate_hz
    samples = (16_000 * np.sin(2 * np.pi * 440 * moments)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, rate_hz, len(samples), "NONE", ""))
        sound.writeframes(samples.tobytes())
    return file.getvalue()
