"""Sparse vectors of segments: of the words in them and of the fields that describe them."""

from __future__ import annotations

from dataclasses import replace

from polyseek.core.protocols import SparseEncoder
from polyseek.core.texts import texts_in
from polyseek.core.types import Role, SegmentBatch


def with_sparse(batch: SegmentBatch, encoder: SparseEncoder) -> SegmentBatch:
    """The batch with a sparse vector for every segment that has words; missing stays missing."""
    texts = [
        "\n".join([segment.text or "", *texts_in(segment.metadata)]).strip()
        for segment in batch.segments
    ]
    spoken = [i for i, text in enumerate(texts) if text]
    if not spoken:
        return batch
    vectors = encoder.encode([texts[i] for i in spoken], role=Role.DOCUMENT)
    segments = list(batch.segments)
    for i, vector in zip(spoken, vectors, strict=True):
        if len(vector.indices):
            segments[i] = replace(segments[i], sparse=vector)
    return replace(batch, segments=segments)
