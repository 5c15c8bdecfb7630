"""Models as ONNX folders."""

from __future__ import annotations

from pathlib import Path

from polyseek.core.config import Settings, resolve_settings
from polyseek.core.errors import ConfigError, MissingExtraError
from polyseek.core.export import ExportReport, Precision
from polyseek.core.types import Modality, Signal

TEXTS = 200
"""Probe texts, of the shipped bank of generic queries."""


def export_model(
    name: str, to: str | Path, *, precision: str = "fp32", settings: Settings | None = None
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
        name,
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
    return {
        Modality.TEXT: [*texts[:: max(1, len(texts) // TEXTS)], "", "😀 狗 " * 300],
        Modality.IMAGE: [*shown],
        Modality.VIDEO: [shown[i : i + 3] for i in range(0, len(shown) - 2, 3)],
        Modality.AUDIO: [*heard],
    }
