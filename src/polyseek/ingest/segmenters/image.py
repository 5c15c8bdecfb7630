"""A picture is one segment."""

from __future__ import annotations

from polyseek.core.config import IndexOptions
from polyseek.core.types import Modality
from polyseek.ingest.segmenters.whole import WholeSegmenter


class ImageSegmenter(WholeSegmenter):
    """The whole picture."""

    def __init__(self, options: IndexOptions) -> None:  # noqa: ARG002 - a picture needs none
        """Takes the options that every segmenter takes."""
        super().__init__(Modality.IMAGE)
