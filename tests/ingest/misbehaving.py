"""Decoders that do what broken native decoders do; imported by the worker processes."""

import os
import signal
import time

from polyseek.core.errors import DecodeError
from polyseek.core.types import Media, Modality


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
        if word == "print":
            print("this must not reach the answer pipe", flush=True)
            os.write(1, b"nor this")
        yield Media(modality=Modality.TEXT, signal=f"the word is {word}")
        if word == "half":
            raise DecodeError(asset.uri, "the second half is broken")
