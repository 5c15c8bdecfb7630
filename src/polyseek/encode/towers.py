"""The frozen towers of `mini`: CLIP's image tower and MiniLM, through ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import EncoderError
from polyseek.core.runtime import session
from polyseek.core.types import Floats, Modality, Role, Signal
from polyseek.encode.spec import Pooling, TextSpec
from polyseek.encode.tokens import Tokens, pooled

CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
CLIP_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
MAX_TOKENS = 256


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


def no_tower(name: str, modality: Modality, towers: Iterable[Modality]) -> EncoderError:
    """The error of an encoder that is asked for a modality it does not embed."""
    known = ", ".join(sorted(towers))
    return EncoderError(f"encoder '{name}' has no {modality} tower; it has {known}")


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
        self._model_path, self._threads = model, threads
        self._tokens = Tokens(tokenizer, TextSpec(max_tokens=MAX_TOKENS))

    @cached_property
    def _session(self) -> Any:
        return session(self._model_path(), threads=self._threads)

    def encode(self, batch: Sequence[str]) -> Floats:
        """Unit-length ``(n, 384)`` float32 of n texts; longer ones are cut at 256 tokens."""
        feed = self._tokens(batch, Role.DOCUMENT)
        hidden: Floats = self._session.run(["last_hidden_state"], feed)[0]
        return unit(pooled(hidden, feed["attention_mask"], Pooling.MEAN))


def unit(rows: Floats) -> Floats:
    """Rows scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Floats = (rows / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled
