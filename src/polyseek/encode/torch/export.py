"""A torch model -> a folder of the ``onnx`` family, refused where it does not give the same."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from polyseek.core import plugins
from polyseek.core.config import Settings
from polyseek.core.errors import ConfigError, EncoderError, MissingExtraError
from polyseek.core.export import ExportReport, Precision
from polyseek.core.model_files import is_noncommercial, local_files
from polyseek.core.types import Floats, Modality, Role, Signal
from polyseek.encode import names
from polyseek.encode.model import ModelEncoder
from polyseek.encode.onnx import OnnxFamily
from polyseek.encode.spec import FILE, Spec, TowerSpec, write_spec
from polyseek.encode.torch.loaded import Loaded, LoadedFamily
from polyseek.encode.torch.texts import BackendTokens

LEAST_COSINE = {Precision.FP32: 0.999, Precision.FP16: 0.999, Precision.INT8: 0.99}
"""A probe's exported embedding must have at least this cosine with the original."""

_OPSET = 18
_OUTPUT = "embedding"


def export(
    name: str,
    to: Path,
    settings: Settings,
    *,
    precision: Precision,
    probes: Mapping[Modality, Sequence[Signal]],
) -> ExportReport:
    """Write a model as an ONNX folder and compare it with the original.

    Args:
        name: As in ``--encoder NAME``: a model that runs on PyTorch.
        to: The folder; it must not exist, or be empty.
        settings: Where models are cached.
        precision: Of the graphs' weights.
        probes: Signals to compare with, by modality.

    Returns:
        How near the exported embeddings are to the original ones.

    Raises:
        ConfigError: The folder is in use, or the model is none of PyTorch's.
        EncoderError: An exported tower is too far from the original; nothing is written.
        MissingExtraError: What writes graphs is not installed.
    """
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(f"--to {to}: exists and is not an empty folder; name a new one")
    _require_onnx()
    model = _model(name, settings)
    described = model.describe()
    runs = {modality: model.runner(modality) for modality in described.towers}
    encoder = ModelEncoder(model.files, described, runs, tokenise=model.tokenise)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".export-") as work:
            folder = Path(work) / "model"
            folder.mkdir()
            spec = _write(model, encoder.spec, folder, precision, probes)
            report = _compare(encoder, spec, folder, settings, probes)
            _refuse_strays(to, report, precision)
            if to.exists():
                to.rmdir()
            shutil.move(folder, to)
    except OSError as error:
        raise ConfigError(f"--to {to}: cannot be written ({error.strerror or error})") from error
    return replace(report, folder=to)


def _model(name: str, settings: Settings) -> Loaded:
    if name in plugins.names("encoder"):
        raise ConfigError(f"{name}: runs without PyTorch already; export is for models that do not")
    family, files = names.find(name, settings)
    if not isinstance(family, LoadedFamily):
        raise ConfigError(
            f"{name}: is read by the {family.name} family, which needs no PyTorch or hands out no "
            "networks; export writes models of transformers, sentence_transformers, open_clip and "
            "imagebind"
        )
    # On the CPU, where graphs are compared and quantised.
    return family.loaded(files, replace(settings, device="cpu"))


def _write(
    model: Loaded,
    spec: Spec,
    folder: Path,
    precision: Precision,
    probes: Mapping[Modality, Sequence[Signal]],
) -> Spec:
    towers: dict[Modality, TowerSpec] = {}
    for modality, tower in spec.towers.items():
        if _is_shown_frames(spec, modality):
            continue
        if tower.sound is not None and tower.sound.fusion:
            raise ConfigError(
                f"{model.files.name}: takes another way through its network for sounds longer than "
                f"{tower.sound.max_s:g} s, which an ONNX graph cannot; export an unfused CLAP"
            )
        graph = f"{modality}.onnx"
        _write_graph(model, modality, tower, folder / graph, probes[modality])
        _reduce(folder / graph, precision)
        towers[modality] = replace(
            tower, graph=graph, output=_OUTPUT, one_by_one=precision is Precision.INT8
        )
    if Modality.VIDEO in spec.towers and Modality.VIDEO not in towers:
        image = towers[Modality.IMAGE]
        towers[Modality.VIDEO] = replace(
            spec.towers[Modality.VIDEO],
            graph=image.graph,
            output=image.output,
            one_by_one=image.one_by_one,
        )
    tokens = model.texts[0]
    if not isinstance(tokens, BackendTokens):
        raise ConfigError(
            f"{model.files.name}: its tokenizer runs in Python only, so an ONNX folder cannot hold "
            "it; export a release of the model that comes with a tokenizer.json"
        )
    tokens.save(folder / "tokenizer.json")
    written = replace(
        spec,
        precision=str(precision),
        noncommercial=is_noncommercial(spec.licence),
        towers=towers,
    )
    write_spec(written, folder / FILE)
    return written


def _is_shown_frames(spec: Spec, modality: Modality) -> bool:
    """Whether a video goes through the tower for pictures: frame by frame, or clip by clip."""
    if modality is not Modality.VIDEO:
        return False
    image, video = spec.towers.get(Modality.IMAGE), spec.towers[modality]
    return not video.frames or (image is not None and image.frames == video.frames)


def _write_graph(
    model: Loaded,
    modality: Modality,
    tower: TowerSpec,
    path: Path,
    probes: Sequence[Signal],
) -> None:
    import torch

    run = model.run(modality)
    feed = _feed(model, modality, tower, probes[:2])

    class Named(torch.nn.Module):  # type: ignore[misc]
        """The features method as a module of positional inputs."""

        def __init__(self) -> None:
            super().__init__()
            self.model = run.module

        def forward(self, *arrays: Any) -> Any:
            return run.forward(dict(zip(run.inputs, arrays, strict=True)))

    example = tuple(torch.from_numpy(np.ascontiguousarray(feed[name])) for name in run.inputs)
    axes = {0: "n"} if modality is not Modality.TEXT else {0: "n", 1: "tokens"}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing, and of the exporter's age
            torch.onnx.export(
                Named().eval(),
                example,
                str(path),
                input_names=list(run.inputs),
                output_names=[_OUTPUT],
                dynamic_axes=dict.fromkeys(run.inputs, axes),
                opset_version=_OPSET,
                dynamo=False,
            )
    # The exporter raises what it meets: an operator it does not know, a trace that breaks.
    except Exception as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
        raise EncoderError(
            f"{model.files.name}: the {modality} tower cannot be written as ONNX: {told}"
        ) from error
    beside = [each for each in path.parent.iterdir() if not each.name.endswith(".onnx")]
    if beside:  # the exporter puts what is too much for one file into many
        raise ConfigError(
            f"{model.files.name}: the {modality} tower has more than the 2 GB that an ONNX graph "
            "holds; it runs on PyTorch only"
        )


def _feed(
    model: Loaded, modality: Modality, tower: TowerSpec, signals: Sequence[Signal]
) -> Mapping[str, Any]:
    encoder = ModelEncoder(
        model.files, Spec(dim=1, towers={modality: tower}), {}, tokenise=model.tokenise
    )
    prepare = encoder.info.towers[modality].prepare
    prepared = [prepare(signal) for signal in signals]
    if tower.clips:  # each goes through alone
        prepared = [clip for clips in prepared for clip in np.asarray(clips)]
    return encoder.feed(tower, prepared, Role.DOCUMENT)


def _reduce(path: Path, precision: Precision) -> None:
    """Weights of fewer bits, in place."""
    if precision is Precision.INT8:
        from onnxruntime.quantization import QuantType, quantize_dynamic

        small = path.with_suffix(".small")
        quantize_dynamic(
            path, small, per_channel=True, weight_type=QuantType.QInt8,
            op_types_to_quantize=["MatMul", "Gemm", "Gather"],
        )  # fmt: skip
        small.replace(path)
    if precision is Precision.FP16:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16

        onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


def _compare(
    original: ModelEncoder,
    spec: Spec,
    folder: Path,
    settings: Settings,
    probes: Mapping[Modality, Sequence[Signal]],
) -> ExportReport:
    files = local_files("exported", folder, sorted(p.name for p in folder.iterdir()), settings)
    allowed = replace(settings, allow_noncommercial=True)  # it was allowed to be loaded
    exported = OnnxFamily().load(files, allowed)
    cosines, rows = {}, {}
    for modality in spec.towers:
        ours, theirs = (_embed(each, modality, probes[modality]) for each in (exported, original))
        cosines[modality] = float(np.vecdot(ours, theirs).min())
        rows[modality] = ours, theirs
    texts = rows[Modality.TEXT]
    return ExportReport(
        folder=folder,
        size_bytes=sum(path.stat().st_size for path in folder.iterdir()),
        least_cosine=cosines,
        same_first={
            modality: float((_first(texts[0], ours) == _first(texts[1], theirs)).mean())
            for modality, (ours, theirs) in rows.items()
            if modality is not Modality.TEXT
        },
    )


def _first(texts: Floats, targets: Floats) -> Any:
    """Which target each text finds first."""
    return np.argmax(texts @ targets.T, axis=1)


def _embed(encoder: ModelEncoder, modality: Modality, signals: Sequence[Signal]) -> Floats:
    prepare = encoder.info.towers[modality].prepare
    prepared = [prepare(signal) for signal in signals]
    return encoder.encode(modality, prepared, role=Role.DOCUMENT).shared


def _refuse_strays(to: Path, report: ExportReport, precision: Precision) -> None:
    least = LEAST_COSINE[precision]
    for modality, cosine in report.least_cosine.items():
        if not cosine >= least:
            raise EncoderError(
                f"{to}: not written: a probe of the {modality} tower in {precision} has a cosine "
                f"of {cosine:.4f} with the original, at least {least} is wanted"
                + ("; try --precision fp16 or fp32" if precision is Precision.INT8 else "")
            )


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401 - the writers above need it, and fail late without
    except ModuleNotFoundError:
        raise MissingExtraError("an export to ONNX", "torch") from None
