"""Hits as frameworks for language models take them: a text and flat metadata."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from polyseek.core.hits import Hit
from polyseek.ingest.term import TEXT_PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A hit as text.

    Attributes:
        id: Of the segment.
        text: The words in it; for a picture or a sound, where it is.
        metadata: Its fields, and uri, modality, rank, score, probability, place.
        score: The probability of relevance where it is known, else the cosine.
    """

    id: str
    text: str
    metadata: Mapping[str, Any]
    score: float


def passages(
    collection: Any, text: str, *, limit: int, options: Mapping[str, Any]
) -> list[Passage]:
    """The hits for a text; one that looks like a path is a text all the same.

    Args:
        collection: What `polyseek.open` or `polyseek.connect` gives.
        text: What is looked for.
        limit: Number of hits.
        options: Further arguments of its `search`.
    """
    found = collection.search(TEXT_PREFIX + text, limit=limit, **options)
    return [_passage(hit) for hit in found]


def _passage(hit: Hit) -> Passage:
    place = hit.span.label() if hit.span else None
    fields = {
        key: value.isoformat() if isinstance(value, datetime) else value
        for key, value in hit.metadata.items()
    }
    return Passage(
        id=hit.id,
        text=hit.text or f"{hit.modality} {fields.get('path', hit.uri)} {place or ''}".strip(),
        metadata={
            **fields,
            "uri": hit.uri,
            "modality": str(hit.modality),
            "rank": hit.rank,
            "score": hit.score,
            "probability": hit.probability,
            "place": place,
        },
        score=hit.score if hit.probability is None else hit.probability,
    )
