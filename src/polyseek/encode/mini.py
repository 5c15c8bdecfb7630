"""`mini`, the default encoder: CLIP's image tower and MiniLM, joined by closed-form heads.

It needs a package index and no model hub; see ``data/mini.md`` for the model card.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from polyseek.core.artifacts import ensure
from polyseek.core.config import Settings
from polyseek.core.errors import EncoderError
from polyseek.core.types import Embeddings, EncoderInfo, Modality, Prepared, Role, Tower
from polyseek.encode import catalogue, heads
from polyseek.encode.towers import ClipImageTower, ClipPrepare, MiniLmTower, as_text

NAME = "mini"
REVISION = "1"
DIM = 384


class MiniEncoder:
    """The default encoder. Model files are fetched and loaded when they are first needed."""

    def __init__(self, settings: Settings) -> None:
        entry = catalogue.get(NAME)

        def file(name: str) -> Callable[[], Path]:
            return lambda: ensure(entry.artifact(name), settings)

        self._image = ClipImageTower(file("image"), threads=settings.threads)
        self._text = MiniLmTower(file("text"), file("tokenizer"), threads=settings.threads)
        self.info = EncoderInfo(
            name=NAME,
            revision=REVISION,
            dim=DIM,
            towers={
                Modality.IMAGE: Tower(dim=ClipImageTower.dim, prepare=ClipPrepare(), batch_size=8),
                Modality.TEXT: Tower(dim=MiniLmTower.dim, prepare=as_text, batch_size=32),
            },
            checksums={
                **{a.name: a.sha256 for a in entry.artifacts},
                "heads": _heads_checksum(),
            },
        )

    @cached_property
    def _heads(self) -> heads.Heads:
        return heads.shipped()

    def encode(
        self,
        modality: Modality,
        batch: Sequence[Prepared],
        *,
        role: Role,  # noqa: ARG002 - both sides are embedded alike
    ) -> Embeddings:
        """Embed prepared signals; see `polyseek.core.protocols.Encoder`."""
        tower = self.info.towers.get(modality)
        if tower is None:
            known = ", ".join(sorted(self.info.towers))
            raise EncoderError(f"encoder '{NAME}' has no {modality} tower; it has {known}")
        if not batch:
            return Embeddings(
                shared=np.empty((0, DIM), np.float32), tower=np.empty((0, tower.dim), np.float32)
            )
        if modality is Modality.TEXT:
            texts = [str(text) for text in batch]
            own = self._text.encode(texts)
            return Embeddings(shared=self._heads.text(own, texts), tower=own)
        own = self._image.encode(cast("Sequence[NDArray[np.generic]]", batch))
        return Embeddings(shared=self._heads.image(own), tower=own)


def load(settings: Settings) -> MiniEncoder:
    """Entry point of the ``polyseek.encoders`` group."""
    return MiniEncoder(settings)


def _heads_checksum() -> str:
    data = (files("polyseek.encode") / "data" / heads.HEADS_FILE).read_bytes()
    return hashlib.sha256(data).hexdigest()
