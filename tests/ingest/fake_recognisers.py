"""Recognisers without models; imported by the worker processes."""

import time

from polyseek.core.types import Line, Utterance


class FakeTextRecogniser:
    """Finds on every picture the lines it was given; a word of its width in pixels as well."""

    name = "fake"

    def __init__(self, *lines, sizes=False, error=None, seconds=0):
        self.lines, self.sizes, self.error, self.seconds = lines, sizes, error, seconds

    def read(self, picture):
        time.sleep(self.seconds)
        if self.error:
            raise self.error
        found = [line(text) if isinstance(text, str) else text for text in self.lines]
        return found + [line(f"width {picture.width}")] * self.sizes


class FakeSpeechRecogniser:
    """Hears one sentence a stretch, which tells how long the stretch is and how loud."""

    name = "fake"

    def __init__(self, *, confidence=0.9, error=None):
        self.confidence, self.error = confidence, error
        self.stretches = []

    def transcribe(self, sound):
        if self.error:
            raise self.error
        self.stretches.append(sound)
        length_s = len(sound.samples) / sound.sample_rate_hz
        return [
            Utterance(
                text=f"{length_s:.1f} seconds",
                start_s=sound.start_s,
                end_s=sound.end_s,
                confidence=self.confidence,
            )
        ]


def line(text, confidence=0.95, box=(0.1, 0.2, 0.5, 0.25)):
    return Line(text=text, box=box, confidence=confidence)
