"""What every store does with the batches it is given, before it writes anything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from polyseek.core.errors import StoreError
from polyseek.core.types import Embeddings, Floats, Manifest, Modality, SegmentBatch, Space


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
            embeddings=Embeddings.concat([part.embeddings for part in found]),
            hub_bias={
                query: np.concatenate([part.hub_bias[query] for part in found])
                for query in found[0].hub_bias
                if all(query in part.hub_bias for part in found)
            },
        )
        for modality, found in parts.items()
    ]


def require_finite(location: str, batches: Sequence[SegmentBatch]) -> None:
    """Refuse NaN and infinity: one such row would poison every ranking it is in.

    Raises:
        StoreError: An embedding is not finite.
    """
    for batch in batches:
        for values in (
            batch.embeddings.shared,
            batch.embeddings.tower,
            *batch.hub_bias.values(),
        ):
            if not np.isfinite(values).all():
                raise StoreError(f"{location}: an embedding is not finite; nothing written")


def own_dim(manifest: Manifest, batch: SegmentBatch) -> int | None:
    """Length of what is kept of a tower beside the shared embeddings; None for nothing.

    A modality that was joined to an encoder is not in the collection's manifest.
    """
    known = manifest.tower_dims.get(batch.modality)
    tower = batch.embeddings.tower
    if known or not tower.shape[1] or np.array_equal(tower, batch.embeddings.shared):
        return known
    return int(tower.shape[1])


def space_dim(manifest: Manifest, modality: Modality, space: Space) -> int:
    """Length of a modality's embeddings in a space; without a tower, that of the shared one."""
    own = manifest.tower_dims.get(modality, manifest.dim)
    return manifest.dim if space is Space.SHARED else own


def in_order(ids: Sequence[str], found: Sequence[str], rows: Floats) -> Floats:
    """The rows of `found` ids in the order of `ids`; NaN where there is none."""
    place = {id_: i for i, id_ in enumerate(found)}
    ordered = np.full((len(ids), rows.shape[1]), np.nan, np.float32)
    for i, id_ in enumerate(ids):
        if id_ in place:
            ordered[i] = rows[place[id_]]
    return ordered


def spread(rows: int, limit: int) -> list[int]:
    """Up to `limit` row numbers, evenly over all of them."""
    chosen: list[int] = np.unique(np.linspace(0, rows - 1, min(rows, limit)).astype(int)).tolist()
    return chosen
