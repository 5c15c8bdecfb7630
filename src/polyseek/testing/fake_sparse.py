"""A sparse encoder without a model, for tests of everything around sparse encoders."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence

from polyseek.core.sparse import SparseVector
from polyseek.core.types import Role
from polyseek.core.words import words

VOCABULARY = 30_000
_SYNONYMS = {"auto": "car", "automobil": "car", "hound": "dog"}


class FakeSparseEncoder:
    """Counts words, each at an index of its own; knows that an automobile is a car."""

    name, revision = "fake-sparse", "1"

    def encode(
        self,
        texts: Sequence[str],
        *,
        role: Role,  # noqa: ARG002 - both sides alike
    ) -> Sequence[SparseVector]:
        """See `polyseek.core.protocols.SparseEncoder`."""
        return [
            SparseVector.of(Counter(_index(_SYNONYMS.get(word, word)) for word in words(text)))
            for text in texts
        ]


def _index(word: str) -> int:
    return zlib.crc32(word.encode()) % VOCABULARY
