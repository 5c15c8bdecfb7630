"""A picture is one segment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from polyseek.core.config import IndexOptions
from polyseek.core.types import Asset, Media, Modality, Segment

if TYPE_CHECKING:
    from PIL.Image import Image


class ImageSegmenter:
    """The whole picture."""

    modality = Modality.IMAGE

    def __init__(self, options: IndexOptions) -> None:
        """Takes the options that every segmenter takes; a picture needs none."""

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """See `polyseek.core.protocols.Segmenter`."""
        yield Segment(
            asset_uri=asset.uri,
            modality=Modality.IMAGE,
            span=media.span,
            metadata=media.metadata,
            signal=cast("Image", media.signal),
        )
