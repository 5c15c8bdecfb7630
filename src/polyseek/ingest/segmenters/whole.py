"""What is one segment: a picture, a map, a file of which a tower makes one vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

from polyseek.core.types import Asset, Media, Modality, Segment, Signal


@dataclass(slots=True)
class WholeSegmenter:
    """See `polyseek.core.protocols.Segmenter`."""

    modality: Modality

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """The whole of it."""
        yield Segment(
            asset_uri=asset.uri,
            modality=self.modality,
            span=media.span,
            metadata=media.metadata,
            signal=cast("Signal", media.signal),  # no stream: its decoder made it
        )
