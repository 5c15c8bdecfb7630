"""The ``transformers`` family: dual encoders of the Hugging Face library, from its own files.

CLIP, SigLIP, SigLIP 2, CLAP, Chinese-CLIP, ALIGN, AltCLIP, MetaCLIP 2, X-CLIP and every other whose
model has ``get_text_features`` and one for pictures, sounds or videos. The library computes the
towers; signals are made ready by polyseek's own code, so that decode workers need no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyseek.core.config import Settings
from polyseek.core.errors import ModelLoadError
from polyseek.core.model_files import ModelFiles, read_json
from polyseek.core.types import Modality
from polyseek.encode.model import ModelEncoder, Run
from polyseek.encode.spec import Spec, TowerSpec
from polyseek.encode.torch import processors
from polyseek.encode.torch.device import TorchRun, device_of, quiet, require
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
        transformers = require("transformers", "a model of the transformers family")
        config = config_of(folder)
        towers = towers_of(config, folder)
        processors.specs_of(folder, config, towers)
        del transformers

    def load(self, files: ModelFiles, settings: Settings) -> ModelEncoder:
        """The encoder, its weights on the device."""
        device = device_of(settings)
        config = config_of(files.folder)
        towers = towers_of(config, files.folder)
        model = model_of(files, config).to(device)
        tokenise, text = tokenizer_of(files, config)
        specs = processors.specs_of(files.folder, config, towers)
        specs[Modality.TEXT] = TowerSpec(text=text, batch_size=32)
        runs: dict[Modality, Run] = {
            m: TorchRun(forward_of(model, m), device, inputs_of(model, m, specs[m])) for m in towers
        }
        if Modality.IMAGE in towers and Modality.VIDEO not in towers:
            specs[Modality.VIDEO] = specs[Modality.IMAGE]
            runs[Modality.VIDEO] = runs[Modality.IMAGE]
        spec = Spec(
            dim=dim_of(runs[Modality.TEXT], tokenise),
            licence=files.licence,
            source=files.name,
            towers=specs,
        )
        return ModelEncoder(files, spec, runs, tokenise=tokenise)


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
            f"{transformers.__version__} does not read it ({_first(error)}). Code that comes with "
            "a model is never run; export it to an ONNX folder, or upgrade transformers"
        ) from error


def class_of(config: Any, folder: Path) -> type[Any]:
    """The library's model class for a configuration."""
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
    try:
        with quiet():
            model, told = kind.from_pretrained(
                files.folder,
                config=config,
                dtype="float32",
                local_files_only=True,
                output_loading_info=True,
            )
    # safetensors, pickle and the library each have errors of their own.
    except Exception as error:
        raise ModelLoadError(
            f"{files.folder}: the weights cannot be loaded ({_first(error)}); if a file is "
            f"damaged, run 'polyseek models pull {files.name} --check'"
        ) from error
    # The library fills what is missing with random numbers, and goes on.
    missing = [*told["missing_keys"], *(str(each) for each in told.get("mismatched_keys", ()))]
    if missing:
        raise ModelLoadError(
            f"{files.folder}: {len(missing)} weights of a {config.model_type} model are missing or "
            f"of another shape, '{sorted(missing)[0]}' for example: no {config.model_type} weights"
        )
    return model.eval()


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


def inputs_of(model: Any, modality: Modality, tower: TowerSpec) -> tuple[str, ...]:
    """Which arrays a features method takes."""
    if modality is Modality.TEXT:
        return processors.text_inputs(model, getattr(model, FEATURES[modality]))
    if modality is Modality.AUDIO:
        return ("input_features", "is_longer")
    if tower.picture is not None and tower.picture.patch:
        return ("pixel_values", "pixel_attention_mask", "spatial_shapes")
    return ("pixel_values",)


def dim_of(run: Run, tokenise: Any) -> int:
    """Length of an embedding, found by embedding a text."""
    from polyseek.core.types import Role

    return int(run(tokenise(["a"], Role.QUERY)).shape[-1])


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
