"""A depth map or a thermal image is one segment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from polyseek.core.config import IndexOptions
from polyseek.core.types import Asset, Floats, Media, Modality, Segment


class DepthSegmenter:
    """The whole map."""

    modality = Modality.DEPTH

    def __init__(self, options: IndexOptions) -> None:
        """Takes the options that every segmenter takes; a map needs none."""

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """See `polyseek.core.protocols.Segmenter`."""
        yield Segment(
            asset_uri=asset.uri,
            modality=self.modality,
            span=media.span,
            metadata=media.metadata,
            signal=cast("Floats", media.signal),
        )


class ThermalSegmenter(DepthSegmenter):
    """The whole image."""

    modality = Modality.THERMAL
