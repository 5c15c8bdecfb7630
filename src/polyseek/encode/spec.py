"""What `model.toml` says: an encoder's towers, and how signals are made ready for each.

One description serves every family: the ``onnx`` family reads it from a file, the torch families
make it from a model's own configuration, and an export writes it down.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from polyseek.core.errors import ModelLoadError
from polyseek.core.types import Modality

FORMAT = 1
FILE = "model.toml"

_T = TypeVar("_T")


class Pooling(StrEnum):
    """What is made of a graph's output."""

    NONE = "none"
    """It is one vector per signal."""

    MEAN = "mean"
    """The mean of the token vectors that the attention mask keeps."""

    FIRST = "first"
    """The first token's vector."""

    LAST = "last"
    """The vector of the last token that the attention mask keeps."""


@dataclass(frozen=True, kw_only=True)
class TextSpec:
    """How texts become tokens.

    Attributes:
        tokenizer: The tokenizer's file, as the `tokenizers` library writes it.
        max_tokens: Longer texts are cut.
        pad_to: Every text is padded to this length; 0 for the longest of the batch.
        pad_id: Token that pads.
        pad_left: Padding comes before the text.
        lowercase: Texts are put into lower case first.
        query: What is put before a text that searches.
        document: What is put before a text that is found.
    """

    tokenizer: str = "tokenizer.json"
    max_tokens: int = 512
    pad_to: int = 0
    pad_id: int = 0
    pad_left: bool = False
    lowercase: bool = False
    query: str = ""
    document: str = ""


@dataclass(frozen=True, kw_only=True)
class PictureSpec:
    """How pictures become pixel values: resized, cropped, then ``(x * scale - mean) / std``.

    Attributes:
        resize: ``[height, width]``; one number for the shorter side; none to leave as it is.
        crop: ``[height, width]`` from the centre, padded with black; none for no crop.
        resample: Pillow's number of the filter: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic.
        scale: What pixels from 0 to 255 are multiplied with.
        mean: By channel.
        std: By channel.
        patch: Side of a patch, for models that take a picture of any shape as patches; 0 for none.
        max_patches: Most patches of a picture.
        half_to_even: A crop that would begin half-way between two pixels begins at the even one, as
            torchvision has it; at the one before if not, as transformers has it.
        crops: How many crops of a video's frame are looked at, evenly from one end of its longer
            side to the other.
    """

    resize: tuple[int, ...] = ()
    crop: tuple[int, ...] = ()
    resample: int = 3
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    patch: int = 0
    max_patches: int = 0
    half_to_even: bool = False
    crops: int = 1


@dataclass(frozen=True, kw_only=True)
class SoundSpec:
    """How sounds become a log-mel spectrogram ``(channels, frames, mels)``.

    Attributes:
        sample_rate_hz: Of the samples.
        max_s: Length that every sound is brought to.
        fft: Samples of a window.
        hop: Samples from one window to the next.
        mels: Number of mel bands.
        min_hz: Lower end of the bands.
        max_hz: Upper end of the bands.
        slaney: Slaney's mel scale with bands of equal area; HTK's scale with equal height if not.
        fill: What a short sound is filled up with: ``repeat`` (whole repetitions, then silence) or
            ``silence``.
        fusion: Four channels: the whole sound shrunk, its beginning, middle and end.
    """

    sample_rate_hz: int = 48_000
    max_s: float = 10.0
    fft: int = 1024
    hop: int = 480
    mels: int = 64
    min_hz: float = 0.0
    max_hz: float = 14_000.0
    slaney: bool = False
    fill: str = "repeat"
    fusion: bool = False


@dataclass(frozen=True, kw_only=True)
class FilterbankSpec:
    """How clips of a sound become Kaldi's log mel filterbanks ``(1, bands, frames)``.

    Attributes:
        sample_rate_hz: Of the samples.
        clip_s: Length of a clip.
        bands: Number of mel bands.
        frames: Number of windows, 10 ms apart; a short sound is filled up with zeros.
        mean: Subtracted from each value.
        std: Each value is divided by it then.
    """

    sample_rate_hz: int = 16_000
    clip_s: float = 2.0
    bands: int = 128
    frames: int = 204
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True, kw_only=True)
class MapSpec:
    """How depth maps and thermal images become ``(1, side, side)``.

    Attributes:
        side: The shorter side is resized to it, then the centre is cut out.
        nearness: What 1 m becomes, 2 m half of it; never more than 1, and 0 where the depth is not
            known. 0 to leave values as they are.
        mean: Subtracted from each value.
        std: Each value is divided by it then.
    """

    side: int
    nearness: float = 0.0
    mean: float = 0.0
    std: float = 1.0


@dataclass(frozen=True, kw_only=True)
class MotionSpec:
    """How clips of motion become ``(6, steps)``.

    Attributes:
        clip_s: Length of a clip.
        steps: Samples of a clip.
    """

    clip_s: float = 5.0
    steps: int = 2000


@dataclass(frozen=True, kw_only=True)
class TowerSpec:
    """One modality's tower.

    Attributes:
        graph: The ONNX file.
        output: The graph's output that is used; empty for its first.
        pooling: What is made of it.
        inputs: The graph's own names of inputs, by polyseek's (``pixel_values``, ``input_ids``,
            ``attention_mask``, ``token_type_ids``, ``input_features``, ``is_longer``).
        batch_size: Signals per call.
        one_by_one: Signals go through alone: in a graph that scales activations over the whole
            batch, as dynamic int8 does, neighbours change an embedding.
        frames: Frames of a shot that a video tower takes at once, and how often such a tower takes
            a still picture; 0 where each frame goes through alone and the mean counts.
        clips: Most clips of a recording, evenly from its beginning to its end, of which each goes
            through alone and the mean counts; 0 where it goes through whole.
        text: For texts.
        picture: For pictures and video frames.
        sound: For sounds, as CLAP hears them.
        filterbank: For sounds, as Kaldi hears them.
        map: For depth maps and thermal images.
        motion: For motion.
    """

    graph: str = ""
    output: str = ""
    pooling: Pooling = Pooling.NONE
    inputs: Mapping[str, str] = field(default_factory=dict)
    batch_size: int = 16
    one_by_one: bool = False
    frames: int = 0
    clips: int = 0
    text: TextSpec | None = None
    picture: PictureSpec | None = None
    sound: SoundSpec | None = None
    filterbank: FilterbankSpec | None = None
    map: MapSpec | None = None
    motion: MotionSpec | None = None


@dataclass(frozen=True, kw_only=True)
class Spec:
    """An encoder.

    Attributes:
        format: Of the file.
        dim: Length of an embedding.
        licence: Of the weights.
        noncommercial: Whether it forbids commercial use.
        source: Where the weights come from.
        precision: ``fp32``, ``fp16`` or ``int8``.
        towers: By modality.
    """

    format: int = FORMAT
    dim: int
    licence: str = ""
    noncommercial: bool = False
    source: str = ""
    precision: str = "fp32"
    towers: Mapping[Modality, TowerSpec]

    @property
    def files(self) -> list[str]:
        """Every file it names."""
        named = [tower.graph for tower in self.towers.values()]
        named += [tower.text.tokenizer for tower in self.towers.values() if tower.text]
        return sorted({name for name in named if name})


def read_spec(path: Path) -> Spec:
    """The encoder that a `model.toml` describes.

    Raises:
        ModelLoadError: It cannot be read, or says what it must not; the message names the key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelLoadError(f"{path}: cannot be read as TOML: {error}") from error
    if table.get("format", FORMAT) != FORMAT:
        raise ModelLoadError(
            f"{path}: format is {table['format']!r}, this polyseek reads {FORMAT}; upgrade polyseek"
        )
    spec = read_table(Spec, table, str(path))
    for modality, tower in spec.towers.items():
        _check_tower(f"{path}: towers.{modality}", modality, tower)
    if not spec.towers:
        raise ModelLoadError(f"{path}: names no tower; add a table such as [towers.image]")
    for name in spec.files:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ModelLoadError(f"{path}: the file '{name}' lies outside the model's folder")
    return spec


_NEEDS = {
    Modality.TEXT: ("text",),
    Modality.AUDIO: ("sound", "filterbank"),
    Modality.IMAGE: ("picture",),
    Modality.VIDEO: ("picture",),
    Modality.DEPTH: ("map",),
    Modality.THERMAL: ("map",),
    Modality.IMU: ("motion",),
}


def _check_tower(where: str, modality: Modality, tower: TowerSpec) -> None:
    needed = _NEEDS[modality]
    if not tower.graph:
        raise ModelLoadError(f"{where}: names no graph")
    if all(getattr(tower, each) is None for each in needed):
        tables = " or ".join(f"[towers.{modality}.{each}]" for each in needed)
        raise ModelLoadError(f"{where}: lacks the table {tables}")
    if tower.clips < 1 and (tower.filterbank or tower.motion):
        raise ModelLoadError(f"{where}: clips is {tower.clips}; expected 1 or more")
    if tower.clips and tower.picture and not (tower.frames and tower.picture.crop):
        raise ModelLoadError(f"{where}: clips of a video need frames, and a picture with a crop")


def read_table(kind: type[_T], table: Mapping[str, Any], where: str) -> _T:
    """A frozen dataclass of a TOML table.

    Raises:
        ModelLoadError: A key is unknown, missing or of the wrong type.
    """
    hints = get_type_hints(kind)
    known = {each.name: each for each in fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in known:
            raise ModelLoadError(f"{where}: unknown key '{key}'; known: {', '.join(known)}")
    given = {key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    for key, each in known.items():
        if key not in given and each.default is MISSING and each.default_factory is MISSING:
            raise ModelLoadError(f"{where}: lacks the key '{key}'")
    return kind(**given)


def _value(kind: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return _value(arguments[0], value, where)
    if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
        return read_table(kind, value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_value(arguments[0], each, where) for each in value)
    if origin not in (None, tuple) and isinstance(value, Mapping):
        return {
            _value(arguments[0], key, where): _value(arguments[1], each, f"{where}.{key}")
            for key, each in value.items()
        }
    return _plain(kind, value, where)


def _plain(kind: Any, value: Any, where: str) -> Any:
    simple = isinstance(kind, type) and not is_dataclass(kind)
    if simple and issubclass(kind, StrEnum):
        if value in list(kind):
            return kind(value)
        raise ModelLoadError(f"{where} is '{value}'; expected one of {', '.join(kind)}")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and number:
        return float(value)
    if simple and type(value) is kind:
        return value
    expected = "table" if is_dataclass(kind) else getattr(kind, "__name__", str(kind))
    raise ModelLoadError(f"{where} is {value!r}; expected a {expected}")


def write_spec(spec: Spec, path: Path) -> None:
    """Write a `model.toml` that `read_spec` reads back to the same value."""
    path.write_text(spec_text(spec), encoding="utf-8")


def preparing(spec: Spec) -> str:
    """SHA-256 of all that decides the embeddings; where the weights come from does not."""
    told = replace(spec, source="", licence="", noncommercial=False)
    return hashlib.sha256(spec_text(told).encode()).hexdigest()


def spec_text(spec: Spec) -> str:
    """The text of a `model.toml`: the same for equal values."""
    return "\n".join(_lines(spec, "")) + "\n"


def _lines(table: Any, name: str) -> list[str]:
    """TOML of a dataclass or mapping: plain keys first, then its tables; defaults are left out."""
    if is_dataclass(table):
        items = {
            each.name: value
            for each in fields(table)
            if (value := getattr(table, each.name)) != each.default or each.name == "format"
        }
    else:
        items = {str(key): value for key, value in table.items()}
    plain = {k: v for k, v in items.items() if not (isinstance(v, Mapping) or is_dataclass(v))}
    nested = {k: v for k, v in items.items() if k not in plain and v}
    lines = [f"[{name}]"] if name and (plain or not nested) else []
    lines += [f"{key} = {_literal(value)}" for key, value in plain.items()]
    for key, value in nested.items():
        lines += ["", *_lines(value, f"{name}.{key}" if name else key)]
    return lines


def _literal(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_literal, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
