"""The ``imagebind`` family: pictures, videos, texts, sounds, depth, thermal images and motion.

Reads the checkpoint as its authors publish it. The networks are polyseek's own, from the paper and
the names in the checkpoint; the authors' package is not needed. What they publish of preprocessing
is followed; of depth, thermal images and motion it is nothing, see `_DEPTH` and below.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from polyseek.core.artifacts import Artifact, ensure
from polyseek.core.config import Settings
from polyseek.core.errors import ModelLoadError
from polyseek.core.model_files import ModelFiles, check_licence, is_noncommercial, read_json
from polyseek.core.torch_runtime import device_of, require
from polyseek.core.types import Modality, Role
from polyseek.encode.model import Feed, ModelEncoder, Run, Tokenise
from polyseek.encode.spec import (
    FilterbankSpec,
    MapSpec,
    MotionSpec,
    PictureSpec,
    Spec,
    TextSpec,
    TowerSpec,
)
from polyseek.encode.torch.device import TorchRun, lazily
from polyseek.encode.torch.memo import encoder_of
from polyseek.encode.torch.texts import BackendTokens, clip_tokens
from polyseek.encode.towers import CLIP_MEAN, CLIP_STD

LICENCE = "CC-BY-NC-SA-4.0"
"""Of the published weights; held to be that of any others that name none."""

VOCABULARY = Artifact(
    name="vocabulary",
    source="pypi:open-clip-torch==3.3.0#open_clip/bpe_simple_vocab_16e6.txt.gz",
    sha256="924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a",
    size_bytes=1_356_917,
)
"""CLIP's byte pairs, which the checkpoint does not hold."""

_OWN = re.compile(r"[^/]*imagebind[^/]*\.(pth|pt|bin|safetensors)$", re.IGNORECASE)
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_KIND = {
    Modality.TEXT: "text",
    Modality.IMAGE: "vision",
    Modality.VIDEO: "vision",
    Modality.AUDIO: "audio",
    Modality.DEPTH: "depth",
    Modality.THERMAL: "thermal",
    Modality.IMU: "imu",
}
_HUGE = {
    "vision": (1280, 16),
    "text": (1024, 16),
    "audio": (768, 12),
    "depth": (384, 8),
    "thermal": (768, 12),
    "imu": (512, 8),
}
"""Dimension and attention heads of the published model's towers."""

_CLIPS = {Modality.VIDEO: 5, Modality.AUDIO: 3, Modality.IMU: 2}
_CROPS = 3
_AUDIO_MEAN, _AUDIO_STD = -4.268, 9.138
# The authors' Omnivore makes disparities of SUN RGB-D (github.com/facebookresearch/omnivore, issue
# 12): 0.075 m x 519 pixels / depth, up to 75, then these two numbers. It reads 1/1000 of what the
# files hold, which is eight times the depth in metres.
_DEPTH = {"nearness": 0.075 * 519 / 8 / 75, "mean": 0.0418, "std": 0.0295}


@dataclass(frozen=True)
class ImageBindFamily:
    """See `polyseek.core.protocols.LicensedFamily`."""

    name: str = "imagebind"
    licence: str = LICENCE

    def wanted(self, names: Sequence[str]) -> Sequence[str]:
        """One file of weights, and the configuration and tokenizer where there are any."""
        own = sorted(name for name in names if _OWN.match(name))
        if not own and "config.json" in names:
            own = [name for name in _WEIGHTS if name in names]
        if not own:
            return []
        return [own[0], *(n for n in ("config.json", "tokenizer.json") if n in names)]

    def look(self, folder: Path) -> None:
        """A configuration must be one of ImageBind's."""
        require("torch", "ImageBind")
        config = read_json(folder / "config.json")
        kind = config.get("model_type", "imagebind")
        if config and (kind != "imagebind" or not any(_key(each) in config for each in _HUGE)):
            raise ModelLoadError(
                f"{folder}: config.json is not ImageBind's; expected {_key('vision')} and the like"
            )

    def load(self, files: ModelFiles, settings: Settings) -> ModelEncoder:
        """The encoder; weights are read when they are first needed."""
        return encoder_of(self.loaded(files, settings), settings)

    def loaded(self, files: ModelFiles, settings: Settings) -> LoadedImageBind:
        """See `polyseek.encode.torch.loaded.LoadedFamily`."""
        licence = files.licence or LICENCE
        check_licence(files.name, licence, settings, noncommercial=is_noncommercial(licence))
        self.look(files.folder)
        return LoadedImageBind(files, settings)


class LoadedImageBind:
    """See `polyseek.encode.torch.loaded.Loaded`.

    Args:
        files: The model's files.
        settings: The device, and where the vocabulary is cached.
    """

    def __init__(self, files: ModelFiles, settings: Settings) -> None:
        self.files, self._settings = files, settings
        self._towers: dict[str, Any] = {}

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """What the configuration says; empty where there is none."""
        return self.files.json("config.json")

    @cached_property
    def device(self) -> Any:
        """Where the weights lie."""
        return device_of(self._settings)

    @cached_property
    def weights(self) -> Mapping[str, Any]:
        """The checkpoint, read as it is needed."""
        names = [n for n in self.files.checksums if not n.endswith(".json")]
        return _weights(self.files.path(names[0]), self.files.name)

    @cached_property
    def texts(self) -> tuple[Tokenise, TextSpec]:
        """What makes token ids, and how."""
        places = self._parts("text")["places"]
        spec = TextSpec(max_tokens=int(places.shape[1]))
        if "tokenizer.json" in self.files.checksums:
            return BackendTokens.of(self.files.path("tokenizer.json"), spec), spec
        return clip_tokens(ensure(VOCABULARY, self._settings), spec), spec

    def tokenise(self, batch: Sequence[str], role: Role) -> Feed:
        """See `polyseek.encode.model.Tokenise`."""
        return self.texts[0](batch, role)

    def runner(self, modality: Modality) -> Run:
        """A tower's network, loaded when it is first called."""
        return lazily(lambda: self.run(modality))

    def run(self, modality: Modality) -> TorchRun:
        """A tower's network."""
        tower = self._tower(_KIND[modality])
        taken = {Modality.TEXT: "input_ids", Modality.AUDIO: "input_features"}
        taken[Modality.IMU] = "samples"
        name = taken.get(modality, "pixel_values")
        return TorchRun(lambda tensors: tower(tensors[name]), self.device, (name,), module=tower)

    def describe(self) -> Spec:
        """How signals are made ready for it."""
        from polyseek.encode.torch.imagebind_towers import KINDS

        kinds = {kind for kind in KINDS if self._parts(kind)}
        if "text" not in kinds or len(kinds) < 2:
            raise ModelLoadError(
                f"{self.files.folder}: has weights of {', '.join(sorted(kinds)) or 'no tower'}; "
                "ImageBind has text and others"
            )
        for kind in sorted(kinds):
            self._tower(kind)  # what is missing is told now
        towers = {m: self._spec(m) for m, kind in _KIND.items() if kind in kinds}
        dim = int(self._parts("text")["out.weight"].shape[0])
        licence = self.files.licence or LICENCE
        return Spec(dim=dim, licence=licence, source=self.files.name, towers=towers)

    def _spec(self, modality: Modality) -> TowerSpec:
        clips = _CLIPS.get(modality, 0)
        if modality is Modality.TEXT:
            return TowerSpec(text=self.texts[1], batch_size=32)
        if modality is Modality.AUDIO:
            bands, frames = self._spectrogram()
            bank = FilterbankSpec(bands=bands, frames=frames, mean=_AUDIO_MEAN, std=_AUDIO_STD)
            return TowerSpec(filterbank=bank, clips=clips, batch_size=8)
        if modality is Modality.IMU:
            motion = MotionSpec(steps=self._steps())
            return TowerSpec(motion=motion, clips=clips, batch_size=8)
        if modality in (Modality.IMAGE, Modality.VIDEO):
            return self._pictures(clips)
        depth = _DEPTH if modality is Modality.DEPTH else {}
        side = self._side(_KIND[modality])
        return TowerSpec(map=MapSpec(side=side, **depth), batch_size=8)

    def _pictures(self, clips: int) -> TowerSpec:
        frames, side = int(self._parts("vision")["cut.weight"].shape[2]), self._side("vision")
        picture = PictureSpec(
            resize=(side,),
            crop=(side, side),
            half_to_even=True,
            mean=tuple(map(float, CLIP_MEAN)),
            std=tuple(map(float, CLIP_STD)),
            crops=_CROPS if clips else 1,
        )
        return TowerSpec(picture=picture, frames=frames, clips=clips, batch_size=4)

    def _side(self, kind: str) -> int:
        """Of a square of as many patches as there are places for."""
        parts = self._parts(kind)
        return math.isqrt(parts["places"].shape[1] - 1) * int(parts["cut.weight"].shape[-1])

    def _steps(self) -> int:
        parts = self._parts("imu")
        return int((parts["places"].shape[1] - 1) * (parts["cut.weight"].shape[1] // 6))

    def _spectrogram(self) -> tuple[int, int]:
        """Bands and frames, which must fill the places."""
        config, parts = self.config, self._parts("audio")
        bands = int(config.get("audio_num_mel_bins", 128))
        frames = int(config.get("audio_target_len", 204))
        rows, columns = (
            (length - int(parts["cut.weight"].shape[-1])) // self._stride + 1
            for length in (bands, frames)
        )
        if rows * columns != parts["places"].shape[1] - 1:
            raise ModelLoadError(
                f"{self.files.folder}: a spectrogram of {bands} x {frames} gives {rows * columns} "
                f"patches, the weights have {parts['places'].shape[1] - 1} places; correct "
                "audio_num_mel_bins, audio_target_len and audio_stride in config.json"
            )
        return bands, frames

    @property
    def _stride(self) -> int:
        return int(self.config.get("audio_stride", 10))

    def _parts(self, kind: str) -> dict[str, Any]:
        from polyseek.encode.torch.imagebind_towers import parts_of

        return parts_of(self.weights, kind)

    def _tower(self, kind: str) -> Any:
        if kind not in self._towers:
            self._towers[kind] = self._made(kind).to(self.device)
        return self._towers[kind]

    def _made(self, kind: str) -> Any:
        from polyseek.encode.torch.imagebind_towers import tower_of

        parts = self._parts(kind)
        try:
            heads = self._heads(kind, int(parts["places"].shape[-1]))
            return tower_of(parts, heads, stride=self._stride if kind == "audio" else None)
        except (KeyError, RuntimeError) as error:
            told = " ".join(str(error).split())[:300]
            raise ModelLoadError(
                f"{self.files.folder}: the weights of ImageBind's {kind} tower are not whole: "
                f"{told}"
            ) from error

    def _heads(self, kind: str, dim: int) -> int:
        usual_dim, usual = _HUGE[kind]
        heads = self.config.get(_key(kind), usual if dim == usual_dim else None)
        if not isinstance(heads, int) or heads < 1 or dim % heads:
            raise ModelLoadError(
                f"{self.files.folder}: the {kind} tower has {dim} dimensions, its attention "
                f"{heads or 'an unknown number of'} heads; say in config.json how many: "
                f'"{_key(kind)}": N'
            )
        return heads


def _key(kind: str) -> str:
    return f"{kind}_num_heads"


def _weights(path: Path, name: str) -> Mapping[str, Any]:
    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(path)
        else:
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    # torch, pickle and safetensors each have errors of their own.
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise ModelLoadError(
            f"{path}: the weights cannot be read ({told}); if the file is damaged, run "
            f"'polyseek models pull {name} --check'"
        ) from error
    if not isinstance(found, Mapping) or not any(str(k).startswith("modality_") for k in found):
        raise ModelLoadError(f"{path}: holds no weights of ImageBind (modality_trunks, ...)")
    return found
