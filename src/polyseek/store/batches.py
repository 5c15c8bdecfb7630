"""What every store does with the batches it is given, before it writes anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from polyseek.core.errors import StoreError
from polyseek.core.types import Embeddings, Modality, SegmentBatch


def join_batches(batches: Sequence[SegmentBatch]) -> list[SegmentBatch]:
    """One batch per modality, so that one commit can replace all segments of an asset."""
    parts: dict[Modality, list[SegmentBatch]] = defaultdict(list)
    for batch in batches:
        parts[batch.modality].append(batch)
    return [
        found[0]
        if len(found) == 1
        else SegmentBatch(
            modality=modality,
            segments=[segment for part in found for segment in part.segments],
            embeddings=Embeddings(
                shared=np.concatenate([part.embeddings.shared for part in found]),
                tower=np.concatenate([part.embeddings.tower for part in found]),
            ),
        )
        for modality, found in parts.items()
    ]


def require_finite(location: str, batches: Sequence[SegmentBatch]) -> None:
    """Refuse NaN and infinity: one such row would poison every ranking it is in.

    Raises:
        StoreError: An embedding is not finite.
    """
    for batch in batches:
        for vectors in (batch.embeddings.shared, batch.embeddings.tower):
            if not np.isfinite(vectors).all():
                raise StoreError(f"{location}: an embedding is not finite; nothing written")
