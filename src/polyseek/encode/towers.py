"""The frozen towers of `mini`: CLIP's image tower and MiniLM, through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import EncoderError, ModelLoadError
from polyseek.core.runtime import session
from polyseek.core.types import Floats, Signal

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
MAX_TOKENS = 256
MAX_CHARS = 20_000  # more than the tokens can hold; tokenising megabytes takes gigabytes


@dataclass(frozen=True, slots=True)
class ClipPrepare:
    """CLIP's preprocessing up to the pixel values: short side to `size`, then the centre square.

    Source: Radford et al., Learning Transferable Visual Models From Natural Language Supervision,
    2021 (bicubic, antialiased; extreme panoramas keep at least one pixel per side).
    """

    size: int = 224

    def __call__(self, signal: Signal) -> NDArray[np.uint8]:
        """``(size, size, 3)`` uint8 of a PIL image of any mode that converts to RGB."""
        from PIL import Image

        if not isinstance(signal, Image.Image):
            raise EncoderError(f"expected a picture, got {type(signal).__name__}")
        image = signal if signal.mode == "RGB" else signal.convert("RGB")
        width, height = image.size
        # Resize only what the centre crop keeps: the same pixels, without the wide ends.
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        image = image.resize(
            (self.size, self.size),
            Image.Resampling.BICUBIC,
            box=(left, top, left + side, top + side),
        )
        return np.asarray(image)


@dataclass(frozen=True, slots=True)
class FramesPrepare:
    """The same for the frames of a video shot."""

    each: ClipPrepare

    def __call__(self, signal: Signal) -> NDArray[np.uint8]:
        """``(frames, size, size, 3)`` uint8 of a sequence of PIL images."""
        if not isinstance(signal, list | tuple) or not signal:
            raise EncoderError(f"expected the frames of a shot, got {type(signal).__name__}")
        return np.stack([self.each(frame) for frame in signal])


def as_text(signal: Signal) -> str:
    """The preprocessing of texts: none."""
    return str(signal)


class ClipImageTower:
    """CLIP ViT-B/16 image tower, int8.

    Args:
        path: Finds the ONNX file when it is first needed.
        threads: Inference threads; 0 for all cores.
    """

    dim = 512

    def __init__(self, path: Callable[[], Path], *, threads: int) -> None:
        self._path, self._threads = path, threads

    @cached_property
    def _session(self) -> Any:
        return session(self._path(), threads=self._threads)

    def encode(self, batch: Sequence[NDArray[np.generic]]) -> Floats:
        """Unit-length ``(n, 512)`` float32 of n arrays ``(224, 224, 3)`` uint8.

        Pictures go through one by one: the int8 graph scales activations over the whole batch,
        so a neighbour would change a picture's embedding (cosines down to .946 were seen).
        """
        return unit(np.concatenate([self._embed(pixels) for pixels in batch]))

    def _embed(self, pixels: NDArray[np.generic]) -> Floats:
        found = self._session.run(["image_embeds"], {"pixel_values": pixel_values(pixels)})
        embedding: Floats = found[0]
        return embedding


def pixel_values(pixels: NDArray[np.generic]) -> Floats:
    """``(1, 3, size, size)`` float32, CLIP's input, of a prepared picture."""
    scaled = (pixels.astype(np.float32) / 255 - CLIP_MEAN) / CLIP_STD
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None])


class MiniLmTower:
    """all-MiniLM-L6-v2 text tower, int8: the mean of the token vectors.

    Args:
        model: Finds the ONNX file when it is first needed.
        tokenizer: Finds the tokenizer file when it is first needed.
        threads: Inference threads; 0 for all cores.
    """

    dim = 384

    def __init__(
        self, model: Callable[[], Path], tokenizer: Callable[[], Path], *, threads: int
    ) -> None:
        self._model_path, self._tokenizer_path, self._threads = model, tokenizer, threads

    @cached_property
    def _session(self) -> Any:
        return session(self._model_path(), threads=self._threads)

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        path = self._tokenizer_path()
        try:
            tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises bare Exception
            raise ModelLoadError(f"{path}: not readable as a tokenizer: {error}") from error
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding()
        return tokenizer

    def encode(self, batch: Sequence[str]) -> Floats:
        """Unit-length ``(n, 384)`` float32 of n texts; longer ones are cut at 256 tokens."""
        encodings = self._tokenizer.encode_batch([text[:MAX_CHARS] for text in batch])
        ids = np.array([e.ids for e in encodings], dtype=np.int64)
        mask = np.array([e.attention_mask for e in encodings], dtype=np.int64)
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden: Floats = self._session.run(["last_hidden_state"], feed)[0]
        weights = mask[..., None].astype(np.float32)
        return unit((hidden * weights).sum(axis=1) / weights.sum(axis=1))


def unit(rows: Floats) -> Floats:
    """Rows scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Floats = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
