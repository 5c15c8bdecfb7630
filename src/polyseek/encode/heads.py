"""The alignment heads of `mini`: from the towers' own spaces into one shared space.

A text's shared embedding is the sum of two views of it: a linear map of its MiniLM vector, which
knows what the sentence means, and the weighted sum of the CLIP vectors of its words, which knows
exactly what each word looks like. A picture's is its CLIP vector minus the mean picture.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from polyseek.core.types import Floats
from polyseek.encode.tokens import MAX_CHARS
from polyseek.encode.towers import unit

HEADS_FILE = "mini_heads.npz"
SOUND_HEAD_FILE = "mini_sound_head.npz"
_WORD = re.compile(r"[a-z]+(?:-[a-z]+)*")


@dataclass(frozen=True, eq=False)
class Heads:
    """Fitted arrays; ``dim`` is one more than the d directions that text and picture share.

    Attributes:
        sentence_map: ``(384, d)`` float32, from unit MiniLM vectors.
        words: The lexicon, one word per row of `word_vectors`.
        word_vectors: ``(n, d)`` int8, direction only.
        word_weights: ``(n,)`` float32, weight of each word's unit vector in the sum.
        word_share: Share of the word view in a text's embedding, 0 to 1.
        basis: ``(512, d)`` float32, orthonormal columns: CLIP space -> shared directions.
        image_mean: ``(512,)`` float32, subtracted from unit CLIP vectors of pictures.
    """

    sentence_map: Floats
    words: Sequence[str]
    word_vectors: NDArray[np.int8]
    word_weights: Floats
    word_share: float
    basis: Floats
    image_mean: Floats

    @property
    def dim(self) -> int:
        """Length of a shared-space embedding."""
        return int(self.basis.shape[1]) + 1

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.words)}

    def text(self, tower: Floats, texts: Sequence[str]) -> Floats:
        """``(n, dim)`` float32 unit length from ``(n, 384)`` MiniLM vectors and their texts."""
        sentences = unit(tower @ self.sentence_map)
        lexical = unit(np.stack([self.word_sum(text) for text in texts]))
        mixed = unit((1 - self.word_share) * sentences + self.word_share * lexical)
        return np.concatenate([mixed, np.zeros((len(mixed), 1), np.float32)], axis=1)

    def image(self, tower: Floats) -> Floats:
        """``(n, dim)`` float32 unit length from ``(n, 512)`` unit CLIP vectors.

        A centred picture keeps its own length, which says how far it stands from the mean
        picture; the last coordinate, zero for texts, fills it up to 1. So cosines with texts are
        ranked by the inner product of the centred vectors. Normalising instead costs 4 points of
        text -> image R@1.
        """
        centred = (tower - self.image_mean) @ self.basis
        centred /= np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1)
        rest = np.sqrt(np.maximum(1 - np.sum(centred**2, axis=1, keepdims=True), 0))
        return np.concatenate([centred, rest], axis=1).astype(np.float32)

    def words_in(self, text: str) -> tuple[Floats, Floats]:
        """``(w, dim)`` unit-length vectors of a text's known words, and ``(w,)`` their weights."""
        rows = self._rows_of(text)
        vectors = unit(self.word_vectors[rows].astype(np.float32))
        filled = np.concatenate([vectors, np.zeros((len(rows), 1), np.float32)], axis=1)
        return filled, self.word_weights[rows]

    def word_sum(self, text: str) -> Floats:
        """``(d,)`` weighted sum of the vectors of a text's known words."""
        rows = self._rows_of(text)
        total: Floats = self.word_weights[rows] @ unit(self.word_vectors[rows].astype(np.float32))
        return total

    def _rows_of(self, text: str) -> list[int]:
        known = (self._row_of.get(word) for word in words_of(text[:MAX_CHARS]))
        return [row for row in known if row is not None]

    def save(self, file: BinaryIO) -> None:
        """Write the arrays as an ``.npz`` that is the same, byte for byte, for the same arrays."""
        np.savez(
            file,
            sentence_map=self.sentence_map.astype(np.float16),
            words=np.frombuffer("\n".join(self.words).encode(), dtype=np.uint8),
            word_vectors=self.word_vectors,
            word_weights=self.word_weights.astype(np.float16),
            word_share=np.float32(self.word_share),
            basis=self.basis.astype(np.float16),
            image_mean=self.image_mean.astype(np.float32),
        )

    @classmethod
    def load(cls, file: BinaryIO) -> Heads:
        """Read what `save` wrote."""
        with np.load(file) as arrays:
            return cls(
                sentence_map=arrays["sentence_map"].astype(np.float32),
                words=arrays["words"].tobytes().decode().split("\n"),
                word_vectors=arrays["word_vectors"],
                word_weights=arrays["word_weights"].astype(np.float32),
                word_share=float(arrays["word_share"]),
                basis=arrays["basis"].astype(np.float32),
                image_mean=arrays["image_mean"],
            )


@dataclass(frozen=True)
class SoundHead:
    """Class scores of a sound -> the shared space, by convex combination of semantic embeddings.

    Attributes:
        class_vectors: ``(521, dim)`` float32 unit length: the classes' names as texts, centred.

    Source: Norouzi et al.: ConSE, ICLR 2014 (arXiv 1312.5650), with roots of the scores.
    """

    class_vectors: Floats

    def __call__(self, scores: Floats) -> Floats:
        """``(n, dim)`` float32 unit length from ``(n, 521)`` scores between 0 and 1.

        Roots, because a sound is more than its loudest class: text -> audio precision@5 +.15.
        """
        return unit(np.sqrt(scores) @ self.class_vectors)

    def save(self, file: BinaryIO) -> None:
        """Write the array as an ``.npz`` that is the same, byte for byte, for the same array."""
        np.savez(file, class_vectors=self.class_vectors.astype(np.float16))

    @classmethod
    def load(cls, file: BinaryIO) -> SoundHead:
        """Read what `save` wrote."""
        with np.load(file) as arrays:
            return cls(class_vectors=unit(arrays["class_vectors"].astype(np.float32)))


def words_of(text: str) -> list[str]:
    """Lower-case words of a text, in order; a hyphenated word stays one word."""
    return _WORD.findall(text.lower())


def shipped() -> Heads:
    """The heads in the package."""
    with (files("polyseek.encode") / "data" / HEADS_FILE).open("rb") as file:
        return Heads.load(cast("BinaryIO", file))


def shipped_sound_head() -> SoundHead:
    """The sound head in the package."""
    with (files("polyseek.encode") / "data" / SOUND_HEAD_FILE).open("rb") as file:
        return SoundHead.load(cast("BinaryIO", file))
