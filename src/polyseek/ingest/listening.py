"""The words spoken in a recording, as timed passages, while the recording streams by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from polyseek.core.protocols import SpeechRecogniser
from polyseek.core.types import (
    Floats,
    Metadata,
    Modality,
    Segment,
    Sound,
    Span,
    SpanUnit,
    Utterance,
)
from polyseek.ingest.decoders.subtitles import Cue
from polyseek.ingest.decoders.subtitles import passages as joined

RATE_HZ = 16_000

STRETCH_S = 29.0
"""What a recogniser is given at once: what Whisper looks at, less what rounding may add."""

MIN_STRETCH_S = 15.0
"""A stretch ends at the quietest moment after this: in a pause, not in a word."""

MIN_CONFIDENCE = 0.45
"""Below this, what is written down is mostly music and noise taken for words: of 282 short
recordings without speech, none had a text above."""

_QUIET_S = 0.2
_MAX_GAP_S = 0.5


class Listening:
    """What is said in one recording.

    Whatever reads the recording reads it through `through`; in between, `passages` has what was
    heard meanwhile. No more than a stretch is kept.

    Args:
        recogniser: The engine.
        asset_uri: Whose segments the passages are.
        metadata: Of the recording.
    """

    def __init__(self, recogniser: SpeechRecogniser, asset_uri: str, metadata: Metadata) -> None:
        self._recogniser, self._asset_uri = recogniser, asset_uri
        self._metadata = {**metadata, "text_source": "asr"}
        self._stretch: list[Floats] = []
        self._start_s, self._length = 0.0, 0
        self._heard: list[Segment] = []
        self.error: Exception | None = None

    def through(self, sounds: Iterator[Sound]) -> Iterator[Sound]:
        """The same sounds."""
        resampler = _Resampler()
        for sound in sounds:
            hole = abs(sound.start_s - self._end_s) > _MAX_GAP_S
            if hole or not self._stretch:
                self._take(resampler.rest())
                self._finish()
                resampler, self._start_s = _Resampler(), sound.start_s
            self._take(resampler(sound))
            yield sound
        self._take(resampler.rest())

    def passages(self, *, ended: bool = False) -> Iterator[Segment]:
        """What was heard since the last call; at the end of the recording, all the rest."""
        if ended:
            self._finish()
        heard, self._heard = self._heard, []
        yield from heard

    @property
    def _end_s(self) -> float:
        return self._start_s + self._length / RATE_HZ

    def _take(self, samples: Floats) -> None:
        self._stretch.append(samples)
        self._length += len(samples)
        while self._length >= STRETCH_S * RATE_HZ:
            whole = np.concatenate(self._stretch)
            cut = _quietest(whole[: int(STRETCH_S * RATE_HZ)])
            self._listen(whole[:cut])
            self._stretch, self._length = [whole[cut:]], len(whole) - cut
            self._start_s += cut / RATE_HZ

    def _finish(self) -> None:
        if self._length:
            self._listen(np.concatenate(self._stretch))
        self._start_s, self._stretch, self._length = self._end_s, [], 0

    def _listen(self, samples: Floats) -> None:
        sound = Sound(samples=samples, sample_rate_hz=RATE_HZ, start_s=self._start_s)
        try:
            said = self._recogniser.transcribe(sound)
        except Exception as error:  # noqa: BLE001 - an engine's failure costs its stretch
            self.error = self.error or error
            return
        cues = [Cue(u.start_s, u.end_s, u.text) for u in said if _sure(u)]
        self._heard += [self._segment(cue) for cue in joined(cues)]

    def _segment(self, cue: Cue) -> Segment:
        return Segment(
            asset_uri=self._asset_uri,
            modality=Modality.TEXT,
            span=Span(unit=SpanUnit.SECONDS, start=round(cue.start_s, 3), end=round(cue.end_s, 3)),
            text=cue.text,
            metadata=self._metadata,
            signal=cue.text,
        )


class _Resampler:
    """Sounds of one rate, one after the other, at `RATE_HZ`."""

    def __init__(self) -> None:
        from av import AudioResampler

        self._resampler: Any = AudioResampler(format="flt", layout="mono", rate=RATE_HZ)

    def __call__(self, sound: Sound) -> Floats:
        from av import AudioFrame

        samples = np.ascontiguousarray(sound.samples.reshape(1, -1))
        frame = AudioFrame.from_ndarray(samples, format="flt", layout="mono")
        frame.sample_rate = sound.sample_rate_hz
        return self._joined(frame)

    def rest(self) -> Floats:
        """What the filter still holds."""
        return self._joined(None)

    def _joined(self, frame: Any) -> Floats:
        pieces = [piece.to_ndarray().reshape(-1) for piece in self._resampler.resample(frame)]
        return np.concatenate([np.zeros(0, np.float32), *pieces])


def _quietest(samples: Floats) -> int:
    """Where to cut: the middle of the quietest fifth of a second after `MIN_STRETCH_S`."""
    first, width = int(MIN_STRETCH_S * RATE_HZ), int(_QUIET_S * RATE_HZ)
    late = samples[first:]
    count = len(late) // width
    power = np.square(late[: count * width]).reshape(count, width).sum(axis=1)
    # Of equally quiet ones the last: stretches as long as can be.
    return first + (count - 1 - int(power[::-1].argmin())) * width + width // 2


def _sure(said: Utterance) -> bool:
    words = any(map(str.isalnum, said.text))
    return words and said.confidence >= MIN_CONFIDENCE and said.end_s > said.start_s
