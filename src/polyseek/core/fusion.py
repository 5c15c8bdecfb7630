"""The learned fusion model: a weighted sum of everything that is known about a hit."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polyseek.core.reranking import Candidate
from polyseek.core.types import Modality

Features = NDArray[np.float64]

NOTE = "fusion"
"""Name under which a collection keeps its model."""

FEATURES = (
    "log_odds",     # of the probability so far, words included
    "cosine",       # with the first wanted term, in the space they were compared in
    "hub_bias",
    "bm25",
    "word_share",
    "has_words",
    "all_words",
    "sparse",
    "image", "audio", "video",  # against text
)  # fmt: skip

_SURE = 12.0  # log-odds are kept within this


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionModel:
    """Weights of `FEATURES`.

    Attributes:
        weights: One per feature.
        note: On what it was fitted and what it was worth on queries left out of that.
    """

    weights: tuple[float, ...]
    note: str = ""

    def score(self, rows: Features) -> Features:
        """``(n,)`` scores of ``(n, f)`` features; higher is better."""
        found: Features = rows @ np.array(self.weights)
        return found

    def to_json(self) -> str:
        """A text that `from_json` reads."""
        named = dict(zip(FEATURES, self.weights, strict=True))
        return json.dumps({"weights": named, "note": self.note})

    @classmethod
    def from_json(cls, text: str) -> FusionModel:
        """The reverse of `to_json`.

        Raises:
            ValueError: The text is none of ours.
        """
        try:
            read = json.loads(text)
            weights = tuple(float(read["weights"][name]) for name in FEATURES)
            return cls(weights=weights, note=str(read["note"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"this is no fusion model: {error!r}") from error


def features(candidates: Sequence[Candidate]) -> Features:
    """``(n, f)`` the `FEATURES` of each candidate; what is missing counts 0."""
    return np.array([_row(one) for one in candidates], np.float64).reshape(-1, len(FEATURES))


def _row(one: Candidate) -> list[float]:
    hit, p = one.hit, one.probability
    odds = 0.0 if p is None else math.log(max(p, 1e-12) / max(1 - p, 1e-12))
    share = hit.text_share or 0.0
    return [
        max(-_SURE, min(_SURE, odds)),
        hit.score,
        hit.hub_bias or 0.0,
        hit.text_score or 0.0,
        share,
        float(share > 0),
        float(share == 1),
        hit.sparse_score or 0.0,
        *(float(hit.modality is m) for m in (Modality.IMAGE, Modality.AUDIO, Modality.VIDEO)),
    ]
