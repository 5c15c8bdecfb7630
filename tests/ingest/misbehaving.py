"""Decoders that do what broken native decoders do; imported by the worker processes."""

import os
import signal
import time

import numpy as np
from PIL import Image

from polyseek.core.errors import DecodeError
from polyseek.core.types import Media, Modality, Sound


class OwnError(DecodeError):
    """One that does not unpickle, and does not know the asset."""

    def __init__(self, number, reason):
        super().__init__(f"own:{number}", reason)


class Bomb:
    """Goes off where it is unpickled."""

    def __reduce__(self):
        return int, ("tick",)


def samples_of(sound):
    return sound.samples


def silence(seconds):
    """Comes slowly, and gives no segment."""
    for i in range(seconds * 5):
        time.sleep(0.2)
        yield Sound(samples=np.zeros(3200, np.float32), sample_rate_hz=16_000, start_s=i / 5)


def odd_media(word):
    if word == "bomb":
        yield Media(modality=Modality.TEXT, signal="tick", metadata={"x": Bomb()})
    if word == "twice":
        yield Media(modality=Modality.IMAGE, signal=Image.new("RGB", (8, 8)))
        yield Media(modality=Modality.IMAGE, signal=Image.new("RGB", (8, 8), "red"))
    if word == "silence":
        yield Media(modality=Modality.AUDIO, signal=silence(seconds=4))


class MisbehavingDecoder:
    """Acts on the first word of the file."""

    suffixes = frozenset({".bad"})

    def open(self, asset, stream):
        word = stream.read().decode().split()[0]
        if word == "hang":
            time.sleep(60)
        if word == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "exit":
            os._exit(3)
        if word == "bug":
            raise KeyError("oops")
        if word == "own":
            raise OwnError(7, "is not to its taste")
        yield from odd_media(word)
        if word == "print":
            print("this must not reach the answer pipe", flush=True)
            os.write(1, b"nor this")
        yield Media(modality=Modality.TEXT, signal=f"the word is {word}")
        if word == "half":
            raise DecodeError(asset.uri, "the second half is broken")
