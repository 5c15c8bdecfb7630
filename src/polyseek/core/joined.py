"""A modality that an encoder lacks, joined to its space: a tower's vectors and a map of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from polyseek.core.maps import QueryMap, unit_or
from polyseek.core.tuning import Calibration, Pair, read_calibration
from polyseek.core.types import Floats, Modality


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Standard:
    """Vectors of any scale -> unit vectors that cosines tell apart.

    Attributes:
        mean: ``(d,)`` of the vectors it was made of.
        scale: ``(d,)`` one over their standard deviations; 0 for a number that never changes.
    """

    mean: Floats
    scale: Floats

    @classmethod
    def of(cls, vectors: Floats) -> Standard:
        """Of ``(n, d)`` vectors."""
        rows = vectors.astype(np.float64)
        spread = rows.std(axis=0)
        flat = spread <= 1e-6 * max(float(spread.max(initial=0)), 1e-30)
        return cls(
            mean=rows.mean(axis=0).astype(np.float32),
            scale=np.where(flat, 0, 1 / np.where(flat, 1, spread)).astype(np.float32),
        )

    def __call__(self, vectors: Floats) -> Floats:
        """``(n, d)`` unit length; a vector that is the mean has no direction and gets any."""
        rows = (vectors - self.mean) * self.scale
        return unit_or(rows, np.full_like(rows, rows.shape[1] ** -0.5))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JoinedTower:
    """What an adapter that joins a modality holds.

    Attributes:
        modality: What it embeds.
        tower: The plug-in's name, see `encode.files`.
        revision: Of the plug-in.
        patterns: Of the names of its files.
        standard: The plug-in's vectors -> the tower's own embeddings.
        map: Those -> the shared space.
        calibrations: By pair, of those with this modality, fitted on held-out pairs.
    """

    modality: Modality
    tower: str
    revision: str
    patterns: Sequence[str]
    standard: Standard
    map: QueryMap
    calibrations: Mapping[Pair, Calibration] = field(default_factory=dict)

    def place(self, rows: Floats) -> Floats:
        """``(n, dim)`` where the tower's own embeddings ``(n, d)`` lie in the shared space."""
        dim = self.map.weights.shape[1]
        return self.map(rows, np.full((len(rows), dim), dim**-0.5, np.float32))

    def head(self) -> dict[str, Any]:
        """JSON-ready form of all but the arrays."""
        return {
            "modality": self.modality,
            "tower": self.tower,
            "revision": self.revision,
            "patterns": list(self.patterns),
            "calibrations": [[*pair, c.to_dict()] for pair, c in self.calibrations.items()],
        }

    def arrays(self) -> dict[str, Floats]:
        """The arrays by name."""
        named = {name: getattr(self.map, name) for name in _OF_MAP}
        return {**named, "standard_mean": self.standard.mean, "standard_scale": self.standard.scale}

    @classmethod
    def read(cls, head: Mapping[str, Any], arrays: Mapping[str, Floats]) -> JoinedTower:
        """The reverse of `head` and `arrays`."""
        return cls(
            modality=Modality(head["modality"]),
            tower=head["tower"],
            revision=head["revision"],
            patterns=head["patterns"],
            standard=Standard(mean=arrays["standard_mean"], scale=arrays["standard_scale"]),
            map=QueryMap(keep=0.0, **{name: arrays[name] for name in _OF_MAP}),
            calibrations={
                (Modality(query), Modality(target)): read_calibration(found)
                for query, target, found in head["calibrations"]
            },
        )


_OF_MAP = ("mean", "weights", "inner", "offset", "outer")
