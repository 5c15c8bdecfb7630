"""`mini-multilingual`: `mini`, with a second text tower for texts that are not English.

English texts are embedded as by `mini`; any other one by the Universal Sentence Encoder, which
knows sixteen languages, and a linear map into the space that `mini`'s pictures and sounds share.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.resources import files
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from polyseek.core.artifacts import ensure
from polyseek.core.config import Settings
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
from polyseek.encode import catalogue, heads, mini
from polyseek.encode.tokens import MAX_CHARS
from polyseek.encode.towers import MiniLmTower, as_text, unit
from polyseek.encode.use import UseTower

NAME = "mini-multilingual"
REVISION = "1"
HEAD_FILE = "mini_multilingual_head.npz"

ENGLISH = 0.5
"""A text is English from this share of its letters in English words on."""

SECOND_SHARE = 1 / 3
"""Share of the multilingual tower in the cosine of two English texts."""


@dataclass(frozen=True, eq=False)
class MultilingualHead:
    """From the multilingual tower into the space of `mini`.

    Attributes:
        sentence_map: ``(512, d)`` float32, from unit vectors of the tower; ``d`` as in `Heads`.
        function_words: English words that `mini`'s lexicon leaves out because they show nothing.
    """

    sentence_map: Floats
    function_words: frozenset[str]

    def __call__(self, tower: Floats) -> Floats:
        """``(n, dim)`` float32 unit length from ``(n, 512)``; pictures' coordinate is zero."""
        mapped = unit(tower @ self.sentence_map)
        return np.concatenate([mapped, np.zeros((len(mapped), 1), np.float32)], axis=1)

    def save(self, file: BinaryIO) -> None:
        """Write an ``.npz`` that is the same, byte for byte, for the same arrays."""
        words = "\n".join(sorted(self.function_words))
        np.savez(
            file,
            sentence_map=self.sentence_map.astype(np.float16),
            function_words=np.frombuffer(words.encode(), dtype=np.uint8),
        )

    @classmethod
    def load(cls, file: BinaryIO) -> MultilingualHead:
        """Read what `save` wrote."""
        with np.load(file) as arrays:
            return cls(
                sentence_map=arrays["sentence_map"].astype(np.float32),
                function_words=frozenset(arrays["function_words"].tobytes().decode().split("\n")),
            )


class MultilingualEncoder:
    """See `polyseek.core.protocols.Encoder`. The second tower loads when it is first needed."""

    def __init__(self, settings: Settings) -> None:
        entry = catalogue.get(NAME)
        self._mini = mini.MiniEncoder(settings)
        self._second = UseTower(
            partial(ensure, entry.artifact("sentences"), settings),
            partial(ensure, entry.artifact("pieces"), settings),
        )
        own = self._mini.info
        text = Tower(dim=MiniLmTower.dim + UseTower.dim + 1, prepare=as_text, batch_size=32)
        self.info = EncoderInfo(
            name=NAME,
            revision=f"{REVISION} on mini {own.revision}",
            dim=own.dim,
            towers={**own.towers, Modality.TEXT: text},
            checksums={
                **own.checksums,
                **{a.name: a.sha256 for a in entry.artifacts},
                HEAD_FILE: mini.checksum(HEAD_FILE),
            },
        )

    def encode(self, modality: Modality, batch: Sequence[Prepared], *, role: Role) -> Embeddings:
        """Embed prepared signals; see `polyseek.core.protocols.Encoder`."""
        if modality is not Modality.TEXT:
            return self._mini.encode(modality, batch, role=role)
        texts = [str(text) for text in batch]
        english = np.array([self._english(text) for text in texts], dtype=bool)
        shared = np.empty((len(texts), self.info.dim), np.float32)
        first = np.zeros((len(texts), MiniLmTower.dim), np.float32)
        second = self._second.encode(texts)
        if english.any():
            known = [text for text, is_english in zip(texts, english, strict=True) if is_english]
            found = self._mini.encode(modality, known, role=role)
            shared[english], first[english] = found.shared, found.tower
        shared[~english] = self._head(second[~english])
        return Embeddings(shared=shared, tower=own_space(first, second, english, role))

    def patches(self, picture: Signal) -> Floats:
        """Parts of a picture; see `polyseek.core.protocols.PatchEncoder`."""
        return self._mini.patches(picture)

    def words(self, text: str) -> tuple[Floats, Floats]:
        """What a text's English words look like; see `polyseek.core.protocols.PatchEncoder`."""
        return self._mini.words(text)

    def sound_patches(self, sound: Signal) -> Floats:
        """Parts of a sound; see `polyseek.core.protocols.SoundPatchEncoder`."""
        return self._mini.sound_patches(sound)

    def _english(self, text: str) -> bool:
        return english_share(text[:MAX_CHARS], self._words) >= ENGLISH

    @cached_property
    def _words(self) -> frozenset[str]:
        return self._head.function_words.union(heads.shipped().words)

    @cached_property
    def _head(self) -> MultilingualHead:
        with (files("polyseek.encode") / "data" / HEAD_FILE).open("rb") as file:
            return MultilingualHead.load(cast("BinaryIO", file))


def english_share(text: str, words: frozenset[str]) -> float:
    """Share of a text's letters that are in English words; 1 for a text without letters."""
    letters = sum(map(str.isalpha, text))
    english = [
        word for word in heads.words_of(text) if word in words or words.issuperset(word.split("-"))
    ]
    return sum(len(word.replace("-", "")) for word in english) / letters if letters else 1.0


def own_space(first: Floats, second: Floats, english: NDArray[np.bool_], role: Role) -> Floats:
    """``(n, 897)`` float32 unit length: where texts are compared with texts.

    English texts have both views, side by side; others the multilingual one alone. As documents
    these are filled up to unit length by a coordinate that no query has: for a query in another
    language, a document in that language and an English one then score on one scale.
    """
    share = np.sqrt(SECOND_SHARE)
    whole = english if role is Role.DOCUMENT else np.ones_like(english)
    weight = np.where(english | (role is Role.DOCUMENT), share, 1.0)
    filled = np.where(whole, 0.0, np.sqrt(1 - SECOND_SHARE))
    columns = [first * np.sqrt(1 - SECOND_SHARE), second * weight[:, None], filled[:, None]]
    return np.concatenate(columns, axis=1).astype(np.float32)


def load(settings: Settings) -> MultilingualEncoder:
    """Entry point of the ``polyseek.encoders`` group."""
    return MultilingualEncoder(settings)
