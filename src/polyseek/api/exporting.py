"""Models as ONNX folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polyseek.core.config import Settings, resolve_settings
from polyseek.core.errors import ConfigError, MissingExtraError
from polyseek.core.export import ExportReport, Precision
from polyseek.core.types import Modality, Motion, Signal

TEXTS = 200
"""Probe texts, of the shipped bank of generic queries."""


def export_model(
    name: str | Path, to: str | Path, *, precision: str = "fp32", settings: Settings | None = None
) -> ExportReport:
    """Write a model that runs on PyTorch as an ONNX folder, which runs without it.

    Args:
        name: As in ``--encoder NAME``.
        to: The folder; it must not exist, or be empty.
        precision: ``fp32``, ``fp16`` or ``int8``.
        settings: Defaults to `polyseek.toml` and the environment.

    Raises:
        ConfigError: The folder is in use, or the precision is unknown.
        EncoderError: The export is too far from the original; nothing is written.
        MissingExtraError: PyTorch is not installed.
    """
    if precision not in list(Precision):
        raise ConfigError(f"precision is '{precision}'; expected one of {', '.join(Precision)}")
    try:
        from polyseek.encode.torch.export import export
    except ModuleNotFoundError:
        raise MissingExtraError("an export to ONNX", "torch") from None
    return export(
        str(name),
        Path(to),
        settings or resolve_settings(),
        precision=Precision(precision),
        probes=_probes(),
    )


def _probes() -> dict[Modality, list[Signal]]:
    from polyseek.evaluate.probes import pictures, sounds
    from polyseek.learn.bank import generic_queries

    texts = generic_queries()
    shown, heard = list(pictures().values()), list(sounds().values())
    light = [np.asarray(each.convert("L"), np.float32) / 255 for each in shown]
    return {
        Modality.TEXT: [*texts[:: max(1, len(texts) // TEXTS)], "", "😀 狗 " * 300],
        Modality.IMAGE: [*shown],
        Modality.VIDEO: [shown[i : i + 3] for i in range(0, len(shown) - 2, 3)],
        Modality.AUDIO: [*heard],
        Modality.DEPTH: [each * 8 + 0.5 for each in light],
        Modality.THERMAL: [*light],
        Modality.IMU: [_swing(hz) for hz in (0.3, 1, 3, 10)],
    }


def _swing(hz: float) -> Motion:
    """10 seconds of going to and fro, each axis a sixth of a round later."""
    turns = np.arange(2000) / 200 * hz + np.arange(6)[:, None] / 6
    return Motion(samples=np.sin(2 * np.pi * turns).astype(np.float32), sample_rate_hz=200)
