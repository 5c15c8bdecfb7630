"""`mini`, the default encoder: CLIP's image tower, MiniLM and YAMNet, joined by closed-form heads.

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
from polyseek.encode import catalogue, heads
from polyseek.encode.patches import ClipPatchTower
from polyseek.encode.pictures import ShotPrepare
from polyseek.encode.towers import (
    ClipImageTower,
    ClipPrepare,
    MiniLmTower,
    as_text,
    no_tower,
    unit,
)
from polyseek.encode.yamnet import GRAPH_FILE, YamnetPrepare, YamnetTower

NAME = "mini"
REVISION = "1"
DIM = 384
PACKAGED = (heads.HEADS_FILE, heads.SOUND_HEAD_FILE, GRAPH_FILE)
"""Files of this package that decide the embeddings."""


class MiniEncoder:
    """The default encoder. Model files are fetched and loaded when they are first needed."""

    def __init__(self, settings: Settings) -> None:
        entry = catalogue.get(NAME)

        def file(name: str) -> Callable[[], Path]:
            return lambda: ensure(entry.artifact(name), settings)

        threads = settings.threads
        self._image = ClipImageTower(file("image"), threads=threads)
        self._parts = ClipPatchTower(file("image"), threads=threads)
        self._text = MiniLmTower(file("text"), file("tokenizer"), threads=threads)
        self._audio = YamnetTower(file("audio"), threads=threads)
        prepare = ClipPrepare()
        self.info = EncoderInfo(
            name=NAME,
            revision=REVISION,
            dim=DIM,
            towers={
                Modality.IMAGE: Tower(dim=ClipImageTower.dim, prepare=prepare, batch_size=8),
                Modality.TEXT: Tower(dim=MiniLmTower.dim, prepare=as_text, batch_size=32),
                Modality.AUDIO: Tower(dim=YamnetTower.dim, prepare=YamnetPrepare(), batch_size=8),
                Modality.VIDEO: Tower(
                    dim=ClipImageTower.dim, prepare=ShotPrepare(prepare), batch_size=4
                ),
            },
            checksums={
                **{a.name: a.sha256 for a in entry.artifacts},
                **{name: checksum(name) for name in PACKAGED},
            },
        )

    @cached_property
    def _heads(self) -> heads.Heads:
        return heads.shipped()

    @cached_property
    def _sound_head(self) -> heads.SoundHead:
        return heads.shipped_sound_head()

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
            raise no_tower(NAME, modality, self.info.towers)
        if not batch:
            return Embeddings(
                shared=np.empty((0, DIM), np.float32), tower=np.empty((0, tower.dim), np.float32)
            )
        if modality is Modality.TEXT:
            texts = [str(text) for text in batch]
            own = self._text.encode(texts)
            return Embeddings(shared=self._heads.text(own, texts), tower=own)
        arrays = cast("Sequence[NDArray[np.generic]]", batch)
        if modality is Modality.AUDIO:
            own, scores = self._audio.encode(arrays)
            return Embeddings(shared=self._sound_head(scores), tower=own)
        own = self._image.encode(arrays) if modality is Modality.IMAGE else self._frames(arrays)
        return Embeddings(shared=self._heads.image(own), tower=own)

    def patches(self, picture: Signal) -> Floats:
        """Parts of a picture; see `polyseek.core.protocols.PatchEncoder`."""
        pixels = self.info.towers[Modality.IMAGE].prepare(picture)
        return self._heads.image(self._parts.encode(cast("NDArray[np.generic]", pixels)))

    def words(self, text: str) -> tuple[Floats, Floats]:
        """What a text's words look like; see `polyseek.core.protocols.PatchEncoder`."""
        return self._heads.words_in(text)

    def sound_patches(self, sound: Signal) -> Floats:
        """Parts of a sound; see `polyseek.core.protocols.SoundPatchEncoder`."""
        waveform = self.info.towers[Modality.AUDIO].prepare(sound)
        _, scores = self._audio.parts(cast("NDArray[np.generic]", waveform))
        return self._sound_head(scores)

    def _frames(self, batch: Sequence[NDArray[np.generic]]) -> Floats:
        """Unit-length ``(n, 512)``: the mean picture of each shot's frames."""
        flat = [frame for frames in batch for frame in frames]
        rows = np.split(self._image.encode(flat), np.cumsum([len(f) for f in batch])[:-1])
        return unit(np.stack([frames.mean(axis=0) for frames in rows]))


def load(settings: Settings) -> MiniEncoder:
    """Entry point of the ``polyseek.encoders`` group."""
    return MiniEncoder(settings)


def checksum(name: str) -> str:
    """SHA-256 of a file of this package's data."""
    data = (files("polyseek.encode") / "data" / name).read_bytes()
    return hashlib.sha256(data).hexdigest()
