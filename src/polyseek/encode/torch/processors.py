"""A model's own processor files -> how polyseek makes signals ready for it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyseek.core.errors import ModelLoadError
from polyseek.core.model_files import read_json
from polyseek.core.types import Modality
from polyseek.encode.spec import PictureSpec, SoundSpec, TowerSpec

_FILES = ("preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json")
_ALLOWED = frozenset(
    {"CLIP", "ChineseCLIP", "Siglip", "Siglip2", "EfficientNet", "VideoMAE", "Bit", "ViT", "Flava",
     "Blip", "OwlViT", "DeiT", "ConvNext", "GroupViT", "AltCLIP", "XCLIP"}
)  # fmt: skip
_PAIR_OF_STD = "EfficientNet"


def specs_of(folder: Path, config: Any, towers: Sequence[Modality]) -> dict[Modality, TowerSpec]:
    """How signals other than texts are made ready.

    Raises:
        ModelLoadError: The files that say so are missing, or ask for what polyseek cannot do.
    """
    found: dict[Modality, TowerSpec] = {}
    if Modality.IMAGE in towers or Modality.VIDEO in towers:
        picture = picture_spec(folder)
        if Modality.IMAGE in towers:
            found[Modality.IMAGE] = TowerSpec(picture=picture, batch_size=16)
        if Modality.VIDEO in towers:
            frames = int(getattr(getattr(config, "vision_config", config), "num_frames", 8))
            found[Modality.VIDEO] = TowerSpec(picture=picture, frames=frames, batch_size=2)
    if Modality.AUDIO in towers:
        found[Modality.AUDIO] = TowerSpec(sound=sound_spec(folder), batch_size=8)
    return found


def picture_spec(folder: Path) -> PictureSpec:
    """Of an image processor's configuration.

    Raises:
        ModelLoadError: There is none, or it asks for what polyseek cannot do.
    """
    read = _processor(folder, "image_processor", "image_mean", "a picture processor")
    kind = _kind(read, "image_processor_type", "ImageProcessor", "FeatureExtractor")
    defaults = _defaults(folder, read, kind)
    options = {**defaults, **{key: value for key, value in read.items() if value is not None}}
    if kind == "Siglip2":
        return _with_values(
            options,
            kind,
            resample=int(options.get("resample", 2)),
            patch=int(options.get("patch_size", 16)),
            max_patches=int(options.get("max_num_patches", 256)),
        )
    if options.get("do_pad"):
        raise ModelLoadError(f"{folder}: its pictures are padded, which polyseek does not do")
    return _with_values(
        options,
        kind,
        resize=_size(options.get("size"), folder) if options.get("do_resize", True) else (),
        crop=_crop(options) if options.get("do_center_crop") else (),
        resample=int(options.get("resample", 3)),
    )


def sound_spec(folder: Path) -> SoundSpec:
    """Of a CLAP feature extractor's configuration.

    Raises:
        ModelLoadError: There is none, or it is of another kind.
    """
    read = _processor(folder, "feature_extractor", "fft_window_size", "a sound processor")
    fill = {"repeatpad": "repeat", "pad": "silence"}.get(str(read.get("padding", "repeatpad")))
    if fill is None:
        raise ModelLoadError(f"{folder}: its sounds are padded by '{read['padding']}'; known: "
                             "repeatpad, pad")  # fmt: skip
    fusion = read.get("truncation", "fusion") == "fusion"
    return SoundSpec(
        sample_rate_hz=int(read.get("sampling_rate", 48_000)),
        max_s=float(read.get("max_length_s", 10)),
        fft=int(read["fft_window_size"]),
        hop=int(read.get("hop_length", 480)),
        mels=int(read.get("feature_size", 64)),
        min_hz=float(read.get("frequency_min", 0)),
        max_hz=float(read.get("frequency_max", 14_000)),
        slaney=not fusion,
        fill=fill,
        fusion=fusion,
    )


def text_inputs(model: Any, method: Any) -> tuple[str, ...]:
    """Arrays a text features method takes: SigLIP was trained without an attention mask."""
    names = ["input_ids"]
    known = inspect.signature(method).parameters
    if not model.config.model_type.startswith("siglip"):
        names.append("attention_mask")
    if "token_type_ids" in known:
        names.append("token_type_ids")
    return tuple(names)


def _processor(folder: Path, part: str, key: str, what: str) -> dict[str, Any]:
    """The options of a processor: in a file of its own, or inside of the whole processor's."""
    seen = [read_json(folder / name) for name in _FILES]
    for read in seen:
        inner = read.get(part)
        if isinstance(inner, dict):
            return inner
    for read in seen:
        if key in read or (part == "image_processor" and "image_processor_type" in read):
            return read
    raise ModelLoadError(
        f"{folder}: has no file that says how signals are made ready for it ({what}: "
        f"{_FILES[0]}); without it embeddings would be wrong, so it is not guessed"
    )


def _kind(read: Mapping[str, Any], key: str, *endings: str) -> str:
    name = str(read.get(key) or read.get("feature_extractor_type") or "CLIPImageProcessor")
    for ending in ("Fast", "Pil", *endings):
        name = name.removesuffix(ending)
    return name


def _defaults(folder: Path, read: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """What the library assumes where the file is silent: newer files name only what differs."""
    if kind not in _ALLOWED:
        raise ModelLoadError(
            f"{folder}: its pictures are made ready by '{read.get('image_processor_type')}', which "
            f"polyseek does not know; known: {', '.join(sorted(_ALLOWED))}"
        )
    import transformers

    for name in (f"{kind}ImageProcessorPil", f"{kind}ImageProcessor"):
        found = getattr(transformers, name, None)
        if found is not None:
            names = ("size", "crop_size", "resample", "image_mean", "image_std", "do_resize",
                     "do_center_crop", "do_rescale", "do_normalize", "rescale_factor",
                     "rescale_offset", "include_top", "patch_size", "max_num_patches", "do_pad",
                     )  # fmt: skip
            return {name: getattr(found, name) for name in names if hasattr(found, name)}
    return {}


def _with_values(options: Mapping[str, Any], kind: str, **geometry: Any) -> PictureSpec:
    """Rescaling and normalising, as one multiplication, one mean and one deviation."""
    scale = (
        float(options.get("rescale_factor") or 1 / 255) if options.get("do_rescale", True) else 1.0
    )
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    if options.get("do_normalize", True):
        mean, std = (_three(options[f"image_{name}"]) for name in ("mean", "std"))
    if kind == _PAIR_OF_STD:
        mean, std = _efficient(options, mean, std)
    return PictureSpec(scale=scale, mean=mean, std=std, **geometry)


def _efficient(
    options: Mapping[str, Any], mean: tuple[float, ...], std: tuple[float, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """EfficientNet's: values from -1 to 1 instead of 0 to 1, and the deviation twice."""
    if options.get("rescale_offset"):
        mean = tuple(each + 1 for each in mean)
    if options.get("include_top"):
        std = tuple(each * own for each, own in zip(std, _three(options["image_std"]), strict=True))
    return mean, std


def _three(value: Any) -> tuple[float, ...]:
    return tuple(map(float, value)) if isinstance(value, list | tuple) else (float(value),) * 3


def _size(size: Any, folder: Path) -> tuple[int, ...]:
    if isinstance(size, int):
        return (size,)
    size = dict(size)
    if size.get("shortest_edge") and not size.get("longest_edge"):
        return (int(size["shortest_edge"]),)
    if size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    raise ModelLoadError(
        f"{folder}: pictures are resized to {size}; known: shortest_edge, or height and width"
    )


def _crop(options: Mapping[str, Any]) -> tuple[int, ...]:
    size = options.get("crop_size") or options.get("size")
    if isinstance(size, int):
        return size, size
    size = dict(size or {})
    side = size.get("shortest_edge", 0)
    return int(size.get("height") or side), int(size.get("width") or side)
