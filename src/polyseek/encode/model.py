"""The encoder that a `Spec` describes: prepares, runs its towers, pools and scales to length 1."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from polyseek.core.errors import DimensionError, EncoderError
from polyseek.core.model_files import ModelFiles
from polyseek.core.types import (
    Embeddings,
    EncoderInfo,
    Floats,
    Modality,
    Prepare,
    Prepared,
    Role,
    Tower,
)
from polyseek.encode.filterbanks import FilterbankPrepare
from polyseek.encode.maps import MapPrepare
from polyseek.encode.motions import MotionPrepare
from polyseek.encode.pictures import ClipsPrepare, PicturePrepare, ShotPrepare, pixel_values
from polyseek.encode.sounds import SpectrogramPrepare, is_longer
from polyseek.encode.spec import Spec, TowerSpec, preparing
from polyseek.encode.tokens import pooled
from polyseek.encode.towers import as_text, no_tower, unit

Feed: TypeAlias = "Mapping[str, NDArray[np.generic]]"
Run: TypeAlias = "Callable[[Feed], Floats]"
"""A tower's network: named arrays -> ``(n, dim)`` embeddings or ``(n, tokens, dim)`` vectors."""

Tokenise: TypeAlias = "Callable[[Sequence[str], Role], Feed]"


class ModelEncoder:
    """One space for all its towers: a tower's own embedding is the shared one.

    Args:
        files: The model's files.
        spec: How signals are made ready and outputs pooled.
        runs: The towers' networks, loaded when they are first called.
        tokenise: What makes token ids of texts, where there is a text tower.
    """

    def __init__(
        self,
        files: ModelFiles,
        spec: Spec,
        runs: Mapping[Modality, Run],
        *,
        tokenise: Tokenise | None = None,
    ) -> None:
        self.spec, self.runs, self.tokenise = spec, runs, tokenise
        self.info = EncoderInfo(
            name=files.name,
            revision=files.revision,
            dim=spec.dim,
            towers={
                modality: Tower(
                    dim=spec.dim, prepare=prepare_of(modality, tower), batch_size=tower.batch_size
                )
                for modality, tower in spec.towers.items()
            },
            checksums={**files.checksums, "preprocessing": preparing(spec)},
        )

    def encode(self, modality: Modality, batch: Sequence[Prepared], *, role: Role) -> Embeddings:
        """Embed prepared signals; see `polyseek.core.protocols.Encoder`."""
        tower = self.spec.towers.get(modality)
        if tower is None:
            raise no_tower(self.info.name, modality, self.spec.towers)
        size = 1 if tower.one_by_one else tower.batch_size
        if tower.clips or (modality is Modality.VIDEO and not tower.frames):
            rows = self._mean_parts(modality, batch, tower, size)
        else:
            parts = [batch[i : i + size] for i in range(0, len(batch), size)]
            rows = self._joined([self._embed(modality, tower, part, role) for part in parts])
        return Embeddings(shared=rows, tower=rows)

    def _embed(
        self, modality: Modality, tower: TowerSpec, batch: Sequence[Prepared], role: Role
    ) -> Floats:
        feed = self.feed(tower, batch, role)
        hidden = self.runs[modality](feed)
        rows = pooled(hidden, feed.get("attention_mask"), tower.pooling)
        if rows.shape != (len(batch), self.spec.dim):
            raise DimensionError(
                f"encoder '{self.info.name}': the {modality} tower gives arrays of shape "
                f"{rows.shape}, expected ({len(batch)}, {self.spec.dim}); correct dim, output or "
                "pooling in its description"
            )
        return unit(rows)

    def feed(self, tower: TowerSpec, batch: Sequence[Prepared], role: Role) -> Feed:
        """What a tower's network is given for prepared signals."""
        if tower.text is not None:
            assert self.tokenise is not None  # noqa: S101 - every text tower comes with one
            return self.tokenise([str(text) for text in batch], role)
        arrays = cast("Sequence[NDArray[np.generic]]", batch)
        if tower.picture is not None:
            if tower.frames:  # a still picture is a clip in which nothing moves
                arrays = [a if a.ndim == 4 else np.stack([a] * tower.frames) for a in arrays]
            return pixel_values(arrays, tower.picture)
        if tower.map is not None:
            return {"pixel_values": np.stack(arrays)}
        if tower.motion is not None:
            return {"samples": np.stack(arrays)}
        if tower.filterbank is not None:
            return {"input_features": np.stack(arrays)}
        longer = np.array([[is_longer(each)] for each in arrays])
        return {"input_features": np.stack(arrays), "is_longer": longer}

    def _mean_parts(
        self, modality: Modality, batch: Sequence[Prepared], tower: TowerSpec, size: int
    ) -> Floats:
        """The mean of each signal's frames or clips, as unit vectors of their own."""
        parts = [part for whole in batch for part in cast("NDArray[np.generic]", whole)]
        together = [parts[i : i + size] for i in range(0, len(parts), size)]
        rows = self._joined(
            [self._embed(modality, tower, each, Role.DOCUMENT) for each in together]
        )
        ends = np.cumsum([len(cast("Any", whole)) for whole in batch])[:-1]
        return self._joined(
            [unit(each.mean(axis=0, keepdims=True)) for each in np.split(rows, ends) if len(each)]
        )

    def _joined(self, parts: Sequence[Floats]) -> Floats:
        return np.concatenate([np.empty((0, self.spec.dim), np.float32), *parts])


def prepare_of(modality: Modality, tower: TowerSpec) -> Prepare:
    """A tower's preprocessing of one signal."""
    if tower.text is not None:
        return as_text
    if tower.sound is not None:
        return SpectrogramPrepare(tower.sound)
    if tower.filterbank is not None:
        return FilterbankPrepare(tower.filterbank, tower.clips)
    if tower.motion is not None:
        return MotionPrepare(tower.motion, tower.clips)
    if tower.map is not None:
        return MapPrepare(tower.map)
    if tower.picture is None:
        raise EncoderError(f"the {modality} tower does not say how signals are made ready for it")
    if modality is not Modality.VIDEO:
        return PicturePrepare(tower.picture)
    if tower.clips:
        return ClipsPrepare(tower.picture, tower.frames, tower.clips)
    return ShotPrepare(PicturePrepare(tower.picture), tower.frames)
