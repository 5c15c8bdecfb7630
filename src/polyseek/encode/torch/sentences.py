"""The ``sentence_transformers`` family: any of its text, image, audio and video encoders.

The library makes signals ready itself, prompts included; only pictures and sounds are decoded
before. A text encoder alone is welcome: it searches texts with texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from polyseek.core.config import Settings
from polyseek.core.errors import EncoderError, ModelLoadError
from polyseek.core.model_files import ModelFiles
from polyseek.core.torch_runtime import (
    device_of,
    first_line,
    quiet,
    refuse_code,
    require,
    torch_files,
)
from polyseek.core.types import (
    Embeddings,
    EncoderInfo,
    Floats,
    Modality,
    Prepare,
    Prepared,
    Role,
    Signal,
    Sound,
    Tower,
)
from polyseek.encode.tokens import MAX_CHARS
from polyseek.encode.torch.sentence_texts import LoadedSentences
from polyseek.encode.towers import as_text, no_tower, unit
from polyseek.encode.yamnet import resampled

MARKER = "modules.json"
_RATE_HZ = 16_000
_READS = (Modality.TEXT, Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)


@dataclass(frozen=True)
class SentenceFamily:
    """See `polyseek.core.protocols.EncoderFamily`."""

    name: str = "sentence_transformers"

    def wanted(self, names: Sequence[str]) -> Sequence[str]:
        """All of PyTorch's files; of a folder's weights the safe ones."""
        return torch_files(names) if MARKER in names else []

    def look(self, folder: Path) -> None:
        """Its modules must be the library's own: code that comes with a model is never run."""
        require("sentence_transformers", "a model of the sentence-transformers family")
        refuse_code(folder)

    def load(self, files: ModelFiles, settings: Settings) -> SentenceEncoder:
        """The encoder, its weights on the device."""
        return SentenceEncoder(files, self._model(files, settings))

    def loaded(self, files: ModelFiles, settings: Settings) -> LoadedSentences:
        """See `polyseek.encode.torch.loaded.LoadedFamily`."""
        return LoadedSentences(files, lambda: self._model(files, settings))

    def _model(self, files: ModelFiles, settings: Settings) -> Any:
        self.look(files.folder)
        library = require("sentence_transformers", "a model of the sentence-transformers family")
        device = device_of(settings)
        try:
            with quiet():
                return library.SentenceTransformer(
                    str(files.folder), device=str(device), local_files_only=True
                )
        # The library and those below it raise what they meet.
        except Exception as error:
            raise ModelLoadError(
                f"{files.folder}: sentence-transformers cannot load this model "
                f"({first_line(error)})"
            ) from error


@dataclass(frozen=True)
class WholePicture:
    """A picture as it is."""

    def __call__(self, signal: Signal) -> NDArray[np.uint8]:
        """``(height, width, 3)`` uint8 of a PIL image."""
        from PIL import Image

        if not isinstance(signal, Image.Image):
            raise EncoderError(f"expected a picture, got {type(signal).__name__}")
        return np.asarray(signal if signal.mode == "RGB" else signal.convert("RGB"))


@dataclass(frozen=True)
class WholeShot:
    """The frames of a shot as they are, brought to the size of the first."""

    def __call__(self, signal: Signal) -> NDArray[np.uint8]:
        """``(frames, height, width, 3)`` uint8 of a sequence of PIL images."""
        if not isinstance(signal, list | tuple) or not signal:
            raise EncoderError(f"expected the frames of a shot, got {type(signal).__name__}")
        size = signal[0].size
        return np.stack([WholePicture()(frame.resize(size)) for frame in signal])


@dataclass(frozen=True)
class WholeSound:
    """A sound at the model's rate."""

    sample_rate_hz: int

    def __call__(self, signal: Signal) -> Prepared:
        """``(samples,)`` float32."""
        if not isinstance(signal, Sound):
            raise EncoderError(f"expected a sound, got {type(signal).__name__}")
        return resampled(signal, self.sample_rate_hz)


class SentenceEncoder:
    """One space for all that the library's model reads.

    Args:
        files: The model's files.
        model: The ``SentenceTransformer``.
    """

    def __init__(self, files: ModelFiles, model: Any) -> None:
        self.model = model
        extractor = getattr(getattr(model[0], "processor", None), "feature_extractor", None)
        self._rate_hz = int(getattr(extractor, "sampling_rate", _RATE_HZ))
        prepares: dict[Modality, Prepare] = {
            Modality.TEXT: as_text,
            Modality.IMAGE: WholePicture(),
            Modality.AUDIO: WholeSound(self._rate_hz),
            Modality.VIDEO: WholeShot(),
        }
        reads = {each for each in model.modalities if isinstance(each, str)}
        dim = self._dim()
        sizes = {Modality.TEXT: 32, Modality.VIDEO: 2}
        self.info = EncoderInfo(
            name=files.name,
            revision=files.revision,
            dim=dim,
            towers={
                m: Tower(dim=dim, prepare=prepares[m], batch_size=sizes.get(m, 8))
                for m in _READS
                if m in reads or (m is Modality.VIDEO and Modality.IMAGE in reads)
            },
            checksums=files.checksums,
        )
        self._own_video = Modality.VIDEO in reads

    def encode(self, modality: Modality, batch: Sequence[Prepared], *, role: Role) -> Embeddings:
        """Embed prepared signals; see `polyseek.core.protocols.Encoder`."""
        if modality not in self.info.towers:
            raise no_tower(self.info.name, modality, self.info.towers)
        if not batch:
            rows = np.empty((0, self.info.dim), np.float32)
        elif modality is Modality.VIDEO and not self._own_video:
            rows = self._mean_frames(cast("Sequence[NDArray[np.generic]]", batch), role)
        else:
            rows = self._rows([self._given(modality, each) for each in batch], role)
        return Embeddings(shared=rows, tower=rows)

    def _given(self, modality: Modality, prepared: Prepared) -> Any:
        """As the library takes it."""
        from PIL import Image

        if modality is Modality.TEXT:
            return str(prepared)[:MAX_CHARS]
        if modality is Modality.IMAGE:
            return Image.fromarray(cast("NDArray[np.uint8]", prepared))
        if modality is Modality.AUDIO:
            return {"array": prepared, "sampling_rate": self._rate_hz}
        return [Image.fromarray(frame) for frame in cast("NDArray[np.uint8]", prepared)]

    def _rows(self, signals: Sequence[Any], role: Role) -> Floats:
        encode = self.model.encode_query if role is Role.QUERY else self.model.encode_document
        with quiet():
            found = encode(list(signals), convert_to_numpy=True, show_progress_bar=False)
        return unit(np.asarray(found, np.float32))

    def _mean_frames(self, shots: Sequence[NDArray[np.generic]], role: Role) -> Floats:
        frames = [self._given(Modality.IMAGE, frame) for shot in shots for frame in shot]
        rows = np.split(self._rows(frames, role), np.cumsum([len(s) for s in shots])[:-1])
        return unit(np.stack([each.mean(axis=0) for each in rows]))

    def _dim(self) -> int:
        return int(self._rows(["a"], Role.QUERY).shape[1])
