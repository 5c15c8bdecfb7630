"""Words in pictures, through RapidOCR: PP-OCR models that come inside its package."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from polyseek.core.config import Settings
from polyseek.core.errors import MissingExtraError
from polyseek.core.types import Line

if TYPE_CHECKING:
    from PIL.Image import Image

FIND_SIDE = 960
"""Lines are looked for in a copy with no side above this, in pixels, and read in the original: a
2000 x 1500 photo takes a sixth of the time of looking at full scale, and small print is found."""

READ_SIDE = 2000
"""Larger pictures are read from a copy of this size."""


class RapidTextRecogniser:
    """Reads what PP-OCRv6 reads, Latin and Chinese scripts among it.

    Args:
        settings: What every recogniser is given; this one has no files to fetch.
    """

    name = "rapidocr"

    def __init__(self, settings: Settings) -> None:  # noqa: ARG002 - all recognisers are called alike
        if find_spec("rapidocr") is None:
            raise MissingExtraError("reading the words in pictures (ocr)", "ocr")
        self._engine: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_engine": None}

    def read(self, picture: Image) -> Sequence[Line]:
        """See `polyseek.core.protocols.TextRecogniser`."""
        if self._engine is None:
            self._engine = _engine()
        blue_first = np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])
        found = self._engine(blue_first)
        if found.boxes is None or found.txts is None:
            return []
        size = np.array(picture.size, dtype=np.float64)
        return [
            Line(text=text, box=_box(np.asarray(corners) / size), confidence=float(score))
            for corners, text, score in zip(found.boxes, found.txts, found.scores, strict=True)
        ]


def _engine() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(
        params={
            "Global.log_level": "critical",
            "Global.max_side_len": READ_SIDE,
            "Global.text_score": 0.0,  # ours to decide
            # It takes some upright lines for upside-down ones, and garbles them.
            "Global.use_cls": False,
            "Det.limit_type": "max",
            "Det.limit_side_len": FIND_SIDE,
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )


def _box(corners: Any) -> tuple[float, float, float, float]:
    """The upright box around four corners, ``(4, 2)`` shares of the picture."""
    left, top = corners.min(axis=0).clip(0, 1).tolist()
    right, bottom = corners.max(axis=0).clip(0, 1).tolist()
    return left, top, right, bottom
