"""A depth map or a thermal image is one segment."""

from __future__ import annotations

from polyseek.core.config import IndexOptions
from polyseek.core.types import Modality
from polyseek.ingest.segmenters.whole import WholeSegmenter


class DepthSegmenter(WholeSegmenter):
    """The whole map."""

    def __init__(self, options: IndexOptions) -> None:  # noqa: ARG002 - a map needs none
        """Takes the options that every segmenter takes."""
        super().__init__(Modality.DEPTH)


class ThermalSegmenter(WholeSegmenter):
    """The whole image."""

    def __init__(self, options: IndexOptions) -> None:  # noqa: ARG002 - an image needs none
        """Takes the options that every segmenter takes."""
        super().__init__(Modality.THERMAL)
