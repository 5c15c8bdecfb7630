"""The ``open_clip`` family: checkpoints of that library, by its own networks.

For those that exist in no other form, such as PE-Core and MobileCLIP2. The library computes the
towers; pictures are made ready by polyseek's own code, texts by the library's tokenizers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, ModelLoadError
from polyseek.core.model_files import ModelFiles, read_json
from polyseek.core.torch_runtime import device_of, quiet, require
from polyseek.core.types import Modality, Role
from polyseek.encode.model import Feed, ModelEncoder, Run, Tokenise
from polyseek.encode.spec import PictureSpec, Spec, TextSpec, TowerSpec
from polyseek.encode.tokens import MAX_CHARS
from polyseek.encode.torch.device import TorchRun, lazily
from polyseek.encode.torch.memo import encoder_of
from polyseek.encode.torch.texts import clip_tokens

CONFIG = "open_clip_config.json"
EXTRA = "open-clip"
_WEIGHTS = (  # of several, the first: safe before pickled
    re.compile(r"(open_clip_)?(model|pytorch_model)\.safetensors$"),
    re.compile(r"(open_clip_)?(model|pytorch_model)\.(bin|pth|pt)$"),
)
_TOKENIZER = re.compile(
    r"(tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|config)\.json$"
    r"|merges\.txt$|vocab\.txt$|[^/]*\.(model|spm)$"
)
_RESAMPLE = {"bilinear": 2, "bicubic": 3}


@dataclass(frozen=True)
class OpenClipFamily:
    """See `polyseek.core.protocols.EncoderFamily`."""

    name: str = "open_clip"

    def wanted(self, names: Sequence[str]) -> Sequence[str]:
        """The configuration, one file of weights, and the tokenizer's files."""
        top = [name for name in names if "/" not in name]
        weights = [name for kind in _WEIGHTS for name in top if kind.match(name)]
        if CONFIG not in top or not weights:
            return []
        return [CONFIG, weights[0], *(name for name in top if _TOKENIZER.match(name))]

    def look(self, folder: Path) -> None:
        """The configuration must describe two towers, and pictures a way into one of them."""
        library()
        config = read_json(folder / CONFIG)
        model = config.get("model_cfg")
        if not isinstance(model, dict) or not {"vision_cfg", "text_cfg"} <= set(model):
            raise ModelLoadError(
                f"{folder / CONFIG}: expected model_cfg with vision_cfg and text_cfg"
            )
        _refuse_code(folder, model["text_cfg"])
        _geometry(folder, {"size": 1, **config.get("preprocess_cfg", {})})

    def load(self, files: ModelFiles, settings: Settings) -> ModelEncoder:
        """The encoder; the library and the weights are loaded when they are first needed."""
        return encoder_of(self.loaded(files, settings), settings)

    def loaded(self, files: ModelFiles, settings: Settings) -> LoadedOpenClip:
        """See `polyseek.encode.torch.loaded.LoadedFamily`."""
        return LoadedOpenClip(files, settings)


def library() -> ModuleType:
    """The ``open_clip`` package.

    Raises:
        MissingExtraError: It is not installed.
        ConfigError: It cannot be imported.
    """
    try:
        return require("open_clip", "a model of the open_clip family", extra=EXTRA)
    # What a torchvision of another release than torch's raises.
    except (RuntimeError, ImportError) as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise ConfigError(
            f"open_clip cannot be imported ({told}): torch and torchvision must be of releases "
            "that belong together; install them anew, both at once"
        ) from error


class LoadedOpenClip:
    """See `polyseek.encode.torch.loaded.Loaded`.

    Args:
        files: The model's files.
        settings: The device, and whether the network may be used.
    """

    def __init__(self, files: ModelFiles, settings: Settings) -> None:
        self.files, self._settings = files, settings

    @cached_property
    def device(self) -> Any:
        """Where the weights lie."""
        return device_of(self._settings)

    @cached_property
    def model(self) -> Any:
        """The model with its weights, in float32."""
        return self._made().float().eval().to(self.device)

    def _made(self) -> Any:
        text = self.files.json(CONFIG).get("model_cfg", {}).get("text_cfg", {})
        tower = text.get("hf_model_name", "")
        if tower and self._settings.offline and not Path(tower).is_dir():
            raise ModelLoadError(
                f"{self.files.name}: open_clip asks the hub how '{tower}', its text tower, is "
                "built, and polyseek is set to offline; export it to an ONNX folder while online"
            )
        open_clip = library()
        folder = self.files.folder
        weights = next(n for n in self.files.checksums if any(w.match(n) for w in _WEIGHTS))
        try:
            with quiet():
                model = open_clip.create_model(
                    f"local-dir:{folder}", load_weights=False, pretrained_text=False
                )
                open_clip.load_checkpoint(model, str(self.files.path(weights)), strict=True)
        # The library raises what it meets: of JSON, of torch, of timm, of its own.
        except Exception as error:
            told = " ".join(str(error).split())[:300] or type(error).__name__
            raise ModelLoadError(
                f"{folder}: open_clip cannot load this model ({told}); if a file is damaged, run "
                f"'polyseek models pull {self.files.name} --check'"
            ) from error
        return model

    @cached_property
    def texts(self) -> tuple[Tokenise, TextSpec]:
        """What makes token ids, and how."""
        open_clip = library()
        text = self.files.json(CONFIG).get("model_cfg", {}).get("text_cfg", {})
        _refuse_code(self.files.folder, text)
        try:
            with quiet():
                tokenizer = open_clip.get_tokenizer(f"local-dir:{self.files.folder}")
        # The library raises what it meets, transformers for its own tokenizers too.
        except Exception as error:
            told = " ".join(str(error).split())[:300] or type(error).__name__
            raise ModelLoadError(
                f"{self.files.folder}: has no tokenizer that can be read ({told})"
            ) from error
        length = int(tokenizer.context_length)
        spec = TextSpec(max_tokens=length, pad_to=length)
        if isinstance(tokenizer, open_clip.SimpleTokenizer) and not text.get("tokenizer_kwargs"):
            pairs = Path(open_clip.tokenizer.default_bpe())
            return clip_tokens(pairs, spec), spec
        return _LibraryTokens(tokenizer), spec

    def tokenise(self, batch: Sequence[str], role: Role) -> Feed:
        """See `polyseek.encode.model.Tokenise`."""
        return self.texts[0](batch, role)

    def runner(self, modality: Modality) -> Run:
        """A tower's network, loaded when it is first called."""
        return lazily(lambda: self.run(modality))

    def run(self, modality: Modality) -> TorchRun:
        """A tower's network; a video's frames go through that for pictures."""
        if modality is Modality.TEXT:
            name, encode = "input_ids", self.model.encode_text
        else:
            name, encode = "pixel_values", self.model.encode_image
        return TorchRun(
            lambda tensors: encode(tensors[name]), self.device, (name,), module=self.model
        )

    def describe(self) -> Spec:
        """How signals are made ready for it."""
        options = self.model.visual.preprocess_cfg
        resize, crop, resample = _geometry(self.files.folder, options)
        picture = PictureSpec(
            resize=resize,
            crop=crop,
            resample=resample,
            half_to_even=True,
            mean=tuple(map(float, options["mean"])),
            std=tuple(map(float, options["std"])),
        )
        pictures = TowerSpec(picture=picture, batch_size=16)
        towers = {
            Modality.TEXT: TowerSpec(text=self.texts[1], batch_size=32),
            Modality.IMAGE: pictures,
            Modality.VIDEO: pictures,
        }
        dim = self.run(Modality.TEXT)(self.tokenise(["a"], Role.QUERY)).shape[-1]
        return Spec(dim=int(dim), licence=self.files.licence, source=self.files.name, towers=towers)


class _LibraryTokens:
    """A tokenizer with cleaning that only the library does."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(self, batch: Sequence[str], role: Role) -> Feed:  # noqa: ARG002 - no prompts
        """See `polyseek.encode.model.Tokenise`."""
        ids = self._tokenizer([text[:MAX_CHARS] for text in batch])
        return {"input_ids": np.asarray(ids, dtype=np.int64)}


def _refuse_code(folder: Path, text: Mapping[str, Any]) -> None:
    """Refuse a tokenizer that is code: the library hands these words on to transformers.

    Raises:
        ModelLoadError: It is one.
    """
    if (text.get("tokenizer_kwargs") or {}).get("trust_remote_code"):
        raise ModelLoadError(
            f"{folder / CONFIG}: its tokenizer comes as code with the model, which is never run; "
            "export it to an ONNX folder where you trust it"
        )


def _geometry(
    folder: Path, options: Mapping[str, Any]
) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """Resizing, cropping and filter.

    Raises:
        ModelLoadError: It asks for what polyseek cannot do.
    """
    size, mode = options["size"], options.get("resize_mode", "shortest")
    height, width = (size, size) if isinstance(size, int) else map(int, size)
    resample = _RESAMPLE.get(options.get("interpolation", "bicubic"))
    if mode == "squash" and resample is not None:
        return (height, width), (), resample
    if mode == "shortest" and resample is not None and height == width:
        return (height,), (height, width), resample
    raise ModelLoadError(
        f"{folder / CONFIG}: pictures are made ready by resize_mode '{mode}', interpolation "
        f"'{options.get('interpolation')}', size {size}; known: squash, or shortest for a square, "
        "and bilinear or bicubic"
    )
