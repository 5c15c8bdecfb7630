"""Two encoders that were trained apart, joined through the texts that both read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyseek.api.opening import load_encoder
from polyseek.core.config import Settings, resolve_settings
from polyseek.core.errors import ConfigError, EncoderError
from polyseek.core.types import Floats, Modality

HELD_OUT = 5
"""Every so many-th text is left out of the fit, to see what the map is worth."""

LEAST = 0.5
"""Share of the held-out texts that must find themselves among all held-out ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinReport:
    """What a map between two spaces is worth.

    Attributes:
        file: Where it is.
        texts: Texts it was fitted on.
        found: Share of the held-out texts whose mapped embedding finds its own among all of them.
        cosine: Mean cosine of a held-out text's mapped embedding with its own, centred.
    """

    file: Path
    texts: int
    found: float
    cosine: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form."""
        return {
            "file": str(self.file),
            "texts": self.texts,
            "found": round(self.found, 4),
            "cosine": round(self.cosine, 4),
        }


def join_encoders(
    name: str, into: str, to: str | Path, *, settings: Settings | None = None
) -> JoinReport:
    """Fit the map that leads from one encoder's space into another's, and write it.

    It is fitted on embeddings of generic texts by both, nothing else: what it makes of the first
    encoder's sounds or pictures is only as good as that encoder's own space.

    Args:
        name: The encoder whose embeddings are mapped.
        into: The encoder whose space stays as it is.
        to: The ``.npz`` file.
        settings: Defaults to `polyseek.toml` and the environment.

    Raises:
        ConfigError: One of the encoders reads no text, or the file cannot be written.
        EncoderError: The spaces have so little in common that the map is worth nothing.
    """
    from polyseek.encode.joint import fit_map
    from polyseek.learn.bank import embed_bank, generic_queries

    settings = settings or resolve_settings()
    texts = generic_queries()
    mapped, kept = (_texts(each, settings) for each in (name, into))
    rows, target = (embed_bank(texts, encoder).shared for encoder in (mapped, kept))
    held = np.arange(len(texts)) % HELD_OUT == 0
    found = fit_map(rows[~held], target[~held])
    centred = target[held] - target[~held].mean(axis=0)
    share, cosine = _worth(found(rows[held]), centred)
    if share < LEAST:
        raise EncoderError(
            f"{to}: not written: only {share:.0%} of the held-out texts find themselves after the "
            f"map, {LEAST:.0%} are wanted; {name} and {into} see too little alike"
        )
    path = Path(to)
    try:
        found.save(path)
    except OSError as error:
        raise ConfigError(f"--to {to}: cannot be written: {error.strerror}") from error
    return JoinReport(file=path, texts=int((~held).sum()), found=share, cosine=cosine)


def _texts(name: str, settings: Settings) -> Any:
    encoder = load_encoder(name, settings)
    if Modality.TEXT not in encoder.info.towers:
        raise ConfigError(f"'{name}' reads no text, so nothing can join it to another encoder")
    return encoder


def _worth(mapped: Floats, target: Floats) -> tuple[float, float]:
    target = target / np.linalg.norm(target, axis=1, keepdims=True)
    cosines = mapped @ target.T
    own = np.diag(cosines)
    return float((cosines.argmax(axis=1) == np.arange(len(own))).mean()), float(own.mean())
