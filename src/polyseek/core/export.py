"""What an export of a model tells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from polyseek.core.types import Modality


class Precision(StrEnum):
    """Of a graph's weights."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    """Weights of 8 bits, activations scaled as they come (dynamic)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportReport:
    """An exported model against the original, on probes.

    Attributes:
        folder: Where it is.
        size_bytes: Of all its files.
        least_cosine: Least cosine of a probe's two embeddings, by modality.
        same_first: Share of the probe texts that find the same probe first, by modality.
    """

    folder: Path
    size_bytes: int
    least_cosine: Mapping[Modality, float]
    same_first: Mapping[Modality, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "folder": str(self.folder),
            "size_bytes": self.size_bytes,
            "least_cosine": {str(m): round(v, 5) for m, v in self.least_cosine.items()},
            "same_first": {str(m): round(v, 4) for m, v in self.same_first.items()},
        }
