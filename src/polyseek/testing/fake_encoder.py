"""A deterministic encoder without model files, for tests of everything around encoders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import EncoderError
from polyseek.core.types import (
    Embeddings,
    EncoderInfo,
    Floats,
    Modality,
    Prepared,
    Role,
    Signal,
    Tower,
)

COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}
WORD_DIMENSIONS = 64


@dataclass(frozen=True)
class MeanColour:
    """Preprocessing of a picture: 8 x 8 pixels."""

    def __call__(self, signal: Signal) -> NDArray[np.uint8]:
        """``(8, 8, 3)`` uint8 of a PIL image."""
        from PIL import Image

        if not isinstance(signal, Image.Image):
            raise EncoderError(f"expected a picture, got {type(signal).__name__}")
        return np.asarray(signal.convert("RGB").resize((8, 8)))


def _as_text(signal: Signal) -> str:
    return str(signal)


class FakeEncoder:
    """Knows six colours: "a red car" is near red pictures. Everything else is a word hash.

    The shared space has one dimension per colour and one for "none of them", the text tower
    counts hashed words, the picture tower compares pixels.

    Args:
        revision: Change it to make collections incompatible.
    """

    def __init__(self, revision: str = "1") -> None:
        self.calls = 0
        self.info = EncoderInfo(
            name="fake",
            revision=revision,
            dim=len(COLOURS) + 1,
            towers={
                Modality.IMAGE: Tower(dim=8 * 8 * 3, prepare=MeanColour(), batch_size=4),
                Modality.TEXT: Tower(dim=WORD_DIMENSIONS, prepare=_as_text, batch_size=4),
            },
        )

    def encode(
        self,
        modality: Modality,
        batch: Sequence[Prepared],
        *,
        role: Role,  # noqa: ARG002 - both sides alike
    ) -> Embeddings:
        """See `polyseek.core.protocols.Encoder`."""
        self.calls += 1
        if modality is Modality.TEXT:
            pairs = [_embed_text(str(text)) for text in batch]
        elif modality is Modality.IMAGE:
            pairs = [_embed_picture(np.asarray(pixels)) for pixels in batch]
        else:
            raise EncoderError(f"encoder 'fake' has no {modality} tower; it has image and text")
        return Embeddings(
            shared=_rows([shared for shared, _ in pairs], self.info.dim),
            tower=_rows([tower for _, tower in pairs], self.info.towers[modality].dim),
        )


def _embed_text(text: str) -> tuple[Floats, Floats]:
    words = re.findall(r"\w+", text.lower())
    shared = np.zeros(len(COLOURS) + 1)
    for i, colour in enumerate(COLOURS):
        shared[i] = words.count(colour)
    tower = np.zeros(WORD_DIMENSIONS)
    for word in words:
        # Python's own hash differs from process to process.
        tower[sum(ord(c) * 31**i for i, c in enumerate(word)) % WORD_DIMENSIONS] += 1
    return _unit(shared), _unit(tower)


def _embed_picture(pixels: NDArray[np.generic]) -> tuple[Floats, Floats]:
    values = pixels.astype(np.float64)
    mean = values.reshape(-1, 3).mean(axis=0)
    distances = np.linalg.norm(np.array(list(COLOURS.values())) - mean, axis=1)
    shared = np.append(np.exp(-distances / 60), 1e-3)
    return _unit(shared), _unit(values.ravel() + 1)


def _rows(vectors: Sequence[Floats], dim: int) -> Floats:
    return np.stack(vectors) if vectors else np.zeros((0, dim), np.float32)


def _unit(row: NDArray[np.float64]) -> Floats:
    if not row.any():
        row = row.copy()
        row[-1] = 1
    return (row / np.linalg.norm(row)).astype(np.float32)
