"""The ``transformers`` family: dual encoders of the Hugging Face library, from its own files.

CLIP, SigLIP, SigLIP 2, CLAP, Chinese-CLIP, ALIGN, AltCLIP, MetaCLIP 2, X-CLIP and every other whose
model has ``get_text_features`` and one for pictures, sounds or videos. The library computes the
towers; signals are made ready by polyseek's own code, so that decode workers need no torch.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from polyseek.core.config import Settings
from polyseek.core.errors import ModelLoadError
from polyseek.core.model_files import ModelFiles, read_json
from polyseek.core.torch_runtime import device_of, first_line, quiet, require, with_weights
from polyseek.core.types import Modality, Role
from polyseek.encode.model import Feed, ModelEncoder, Run, Tokenise
from polyseek.encode.spec import Spec, TextSpec, TowerSpec
from polyseek.encode.torch import blip, processors
from polyseek.encode.torch.device import TorchRun, lazily
from polyseek.encode.torch.memo import encoder_of
from polyseek.encode.torch.texts import tokenizer_of

FEATURES = {
    Modality.TEXT: "get_text_features",
    Modality.IMAGE: "get_image_features",
    Modality.AUDIO: "get_audio_features",
    Modality.VIDEO: "get_video_features",
}
_WEIGHTS = re.compile(r"(model|pytorch_model)(-\d+-of-\d+)?\.(safetensors|bin)$")
_SMALL = re.compile(
    r"(config|preprocessor_config|processor_config|video_preprocessor_config|tokenizer|"
    r"tokenizer_config|special_tokens_map|added_tokens|vocab|"
    r"(pytorch_)?model(\.safetensors|\.bin)?\.index)\.json$"
    r"|merges\.txt$|vocab\.txt$|.*\.model$|.*\.spm$"
)


@dataclass(frozen=True)
class TransformersFamily:
    """See `polyseek.core.protocols.EncoderFamily`."""

    name: str = "transformers"

    def wanted(self, names: Sequence[str]) -> Sequence[str]:
        """Configurations, tokenizers, and weights: safetensors where there are any."""
        top = [name for name in names if "/" not in name]
        weights = [name for name in top if _WEIGHTS.match(name)]
        if "config.json" not in top or not weights or "modules.json" in names:
            return []
        safe = [name for name in weights if name.endswith(".safetensors")]
        return [*(name for name in top if _SMALL.match(name)), *(safe or weights)]

    def look(self, folder: Path) -> None:
        """The architecture must be known and have two towers, and signals a way into them."""
        config = config_of(folder)
        processors.specs_of(folder, config, towers_of(config, folder))

    def load(self, files: ModelFiles, settings: Settings) -> ModelEncoder:
        """The encoder; the library and the weights are loaded when they are first needed."""
        return encoder_of(self.loaded(files, settings), settings)

    def loaded(self, files: ModelFiles, settings: Settings) -> LoadedModel:
        """See `polyseek.encode.torch.loaded.LoadedFamily`."""
        return LoadedModel(files, settings)


class LoadedModel:
    """The library's model, loaded when it is first needed; see `polyseek.encode.torch.loaded`.

    Args:
        files: The model's files.
        settings: The device and its threads.
    """

    def __init__(self, files: ModelFiles, settings: Settings) -> None:
        self.files, self._settings = files, settings

    @cached_property
    def config(self) -> Any:
        """The library's configuration."""
        return config_of(self.files.folder)

    @cached_property
    def device(self) -> Any:
        """Where the weights lie."""
        return device_of(self._settings)

    @cached_property
    def model(self) -> Any:
        """The model with its weights."""
        return model_of(self.files, self.config).to(self.device)

    @cached_property
    def texts(self) -> tuple[Tokenise, TextSpec]:
        """What makes token ids, and how."""
        return tokenizer_of(self.files, self.config)

    def tokenise(self, batch: Sequence[str], role: Role) -> Feed:
        """See `polyseek.encode.model.Tokenise`."""
        return self.texts[0](batch, role)

    def runner(self, modality: Modality) -> Run:
        """A tower's network, loaded when it is first called."""
        return lazily(lambda: self.run(modality))

    def run(self, modality: Modality) -> TorchRun:
        """A tower's network; where there is none for videos, that for pictures."""
        has = hasattr(self.model, FEATURES[modality])
        method = modality if has else Modality.IMAGE
        forward, inputs = forward_of(self.model, method), inputs_of(self.model, method)
        return TorchRun(forward, self.device, inputs, module=self.model)

    def describe(self) -> Spec:
        """How signals are made ready for it."""
        folder = self.files.folder
        towers = towers_of(self.config, folder)
        specs = processors.specs_of(folder, self.config, towers)
        specs[Modality.TEXT] = TowerSpec(text=self.texts[1], batch_size=32)
        if Modality.IMAGE in towers and Modality.VIDEO not in towers:
            specs[Modality.VIDEO] = specs[Modality.IMAGE]
        dim = self.run(Modality.TEXT)(self.tokenise(["a"], Role.QUERY)).shape[-1]
        return Spec(dim=int(dim), licence=self.files.licence, source=self.files.name, towers=specs)


def config_of(folder: Path) -> Any:
    """The library's configuration.

    Raises:
        ModelLoadError: It cannot be read, or this version of the library does not know the kind.
    """
    transformers = require("transformers", "a model of the transformers family")
    kind = read_json(folder / "config.json").get("model_type")
    try:
        with quiet():
            return transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    # The library raises what it meets: KeyError, ValueError, errors of strict dataclasses.
    except Exception as error:
        raise ModelLoadError(
            f"{folder}: unknown architecture '{kind}' in config.json; transformers "
            f"{transformers.__version__} does not read it ({first_line(error)}). Code that comes "
            "with a model is never run; export it to an ONNX folder, or upgrade transformers"
        ) from error


def class_of(config: Any, folder: Path) -> type[Any]:
    """The library's model class for a configuration."""
    if blip.CLASS in (config.architectures or ()):
        import transformers

        retrieval: type[Any] = getattr(transformers, blip.CLASS)
        return retrieval
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    try:
        found: Any = MODEL_MAPPING[type(config)]
    except KeyError:
        raise ModelLoadError(
            f"{folder}: transformers has no encoder of the architecture '{config.model_type}'"
        ) from None
    kind: type[Any] = found[0] if isinstance(found, tuple) else found
    return kind


def towers_of(config: Any, folder: Path) -> list[Modality]:
    """Modalities that a model embeds.

    Raises:
        ModelLoadError: They are not two or more, of which one is text.
    """
    kind = class_of(config, folder)
    towers = [modality for modality, method in FEATURES.items() if hasattr(kind, method)]
    if kind.__name__ == blip.CLASS:
        towers = [Modality.TEXT, Modality.IMAGE]
    if Modality.TEXT not in towers or len(towers) < 2:
        has = f"only {towers[0]} features" if towers else "no features of a shared space"
        raise ModelLoadError(
            f"{folder}: a {config.model_type} model has {has}; searching across modalities needs "
            "two towers that share a space (such as CLIP's), and 'polyseek models' lists some"
        )
    return towers


def model_of(files: ModelFiles, config: Any) -> Any:
    """The model with its weights, in float32, ready to run.

    Raises:
        ModelLoadError: A weight is missing, of another shape, or the file is damaged.
    """
    kind = class_of(config, files.folder)
    model = with_weights(kind, files, config)
    return blip.give_features(model) if kind.__name__ == blip.CLASS else model


def forward_of(model: Any, modality: Modality) -> Any:
    """Named tensors -> ``(n, dim)``: what the library's own features method gives."""
    method = getattr(model, FEATURES[modality])
    first = model.config.model_type == "flava"

    def forward(tensors: Mapping[str, Any]) -> Any:
        found = method(**tensors)
        # Releases before 5 return the tensor itself.
        rows = getattr(found, "pooler_output", found)
        return rows[:, 0] if first else rows

    return forward


def inputs_of(model: Any, modality: Modality) -> tuple[str, ...]:
    """Which arrays a features method takes."""
    method = getattr(model, FEATURES[modality])
    if modality is Modality.TEXT:
        return processors.text_inputs(model, method)
    if modality is Modality.AUDIO:
        return ("input_features", "is_longer")
    known = inspect.signature(method).parameters
    patches = ("pixel_attention_mask", "spatial_shapes")
    return ("pixel_values", *(name for name in patches if name in known))
