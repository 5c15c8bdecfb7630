"""What the doctor looks at: a collection's store and encoder, and samples taken once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias
from urllib.parse import unquote, urlsplit

import numpy as np

from polyseek.core.adapting import Adapters
from polyseek.core.hits import Candidates, Hit, HubCorrection, Query, Retrieval
from polyseek.core.protocols import Encoder, ScoreScale, StoreReader
from polyseek.core.tuning import Pair
from polyseek.core.types import (
    Embeddings,
    Floats,
    Modality,
    Role,
    Segment,
    SegmentBatch,
    Signal,
    Space,
)

SAMPLE = 5_000
"""Segments per modality that are looked at."""

MIN_SEGMENTS = 10
"""Fewer of a modality say nothing about how its vectors lie."""

Read: TypeAlias = "Callable[[str], Query | None]"

_SEED = 0


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Subject:
    """A collection under examination.

    Attributes:
        store: Its rows.
        encoder: Its encoder.
        scale: How a search makes scores comparable.
        bank: Text queries like those people ask, embedded; None when the encoder reads no text.
        samples: Segments spread evenly over all, by modality; those it holds.
        rows: Number of segments by modality.
        adapters: That move queries.
        read: What the file at a uri holds, None where it cannot be read; None where none can.
    """

    store: StoreReader
    encoder: Encoder
    scale: ScoreScale
    bank: Embeddings | None
    samples: Mapping[Modality, SegmentBatch]
    rows: Mapping[Modality, int]
    adapters: Adapters = field(default_factory=Adapters)
    read: Read | None = None

    @classmethod
    def of(
        cls,
        store: StoreReader,
        *,
        encoder: Encoder,
        scale: ScoreScale,
        bank: Embeddings | None,
        adapters: Adapters | None = None,
        read: Read | None = None,
    ) -> Subject:
        """Take the samples."""
        samples = {m: found for m in Modality if (found := store.sample(m, SAMPLE)) is not None}
        return cls(
            store=store,
            encoder=encoder,
            scale=scale,
            bank=bank,
            samples=samples,
            rows={modality: _rows(store, modality, found) for modality, found in samples.items()},
            adapters=adapters or Adapters(),
            read=read,
        )

    @property
    def complete(self) -> bool:
        """Whether the samples are all there is."""
        return all(len(batch) >= self.rows[m] for m, batch in self.samples.items())

    def queries(self, modality: Modality, limit: int) -> Embeddings | None:
        """Queries of a modality, the same every time: of the bank, or the segments themselves."""
        found = self.bank
        if modality is not Modality.TEXT:
            batch = self.samples.get(modality)
            found = None if batch is None else batch.embeddings
        return None if found is None else self.adapters.move(modality, some(found, limit))

    def embed(self, modality: Modality, signals: Sequence[Signal], *, role: Role) -> Embeddings:
        """What the encoder makes of signals, one row each."""
        return embedded(self.encoder, modality, signals, role=role)

    def ask(
        self, pair: Pair, vector: Floats, *, limit: int, hub: HubCorrection | None
    ) -> Candidates:
        """Search as a search would, for one pair of modalities."""
        return self.store.search(
            Retrieval(vector=vector, modality=pair[1], space=space_of(pair), limit=limit, hub=hub)
        )

    def nearest(
        self, pair: Pair, vector: Floats, *, limit: int, hub: HubCorrection | None
    ) -> Candidates:
        """The same by exact search, without asking the store where the sample is everything."""
        batch = self.samples[pair[1]]
        if len(batch) < self.rows[pair[1]]:
            return self.ask(pair, vector, limit=limit, hub=hub)
        cosines = vectors(pair, batch.embeddings) @ vector
        corrected = cosines if hub is None else cosines - self.bias(pair)
        biases = None if hub is None else batch.hub_bias.get(hub.query)
        hits = [
            Hit(
                id=batch.segments[i].id,
                uri=batch.segments[i].asset_uri,
                modality=pair[1],
                score=float(cosines[i]),
                hub_bias=None if biases is None or np.isnan(biases[i]) else float(biases[i]),
                rank=rank,
            )
            for rank, i in enumerate(np.argsort(-corrected, kind="stable")[:limit].tolist(), 1)
        ]
        return Candidates(hits=hits, tier="sample", rows=len(batch))

    def bias(self, pair: Pair) -> Floats:
        """``(n,)`` what is subtracted from the cosines of the sample's segments."""
        batch, hub = self.samples[pair[1]], self.scale.hub(pair)
        if hub is None:
            return np.zeros(len(batch), np.float32)
        known = batch.hub_bias.get(hub.query, np.full(len(batch), np.nan, np.float32))
        offsets: Floats = (hub.strength * np.where(np.isnan(known), hub.missing, known)).astype(
            np.float32
        )
        return offsets


def space_of(pair: Pair) -> Space:
    """The space that queries and segments of this pair are compared in."""
    return Space.TOWER if pair[0] == pair[1] else Space.SHARED


def vectors(pair: Pair, rows: Embeddings) -> Floats:
    """The embeddings that are compared for this pair; what is not finite counts as 0."""
    return np.nan_to_num(rows.compared(pair))


def embedded(
    encoder: Encoder, modality: Modality, signals: Sequence[Signal], *, role: Role
) -> Embeddings:
    """What an encoder makes of signals, one row each."""
    tower = encoder.info.towers[modality]
    prepared = [tower.prepare(signal) for signal in signals]
    size = max(1, tower.batch_size)
    parts = [
        encoder.encode(modality, prepared[i : i + size], role=role)
        for i in range(0, len(prepared), size)
    ]
    return Embeddings.concat(parts)


def some(rows: Embeddings, limit: int) -> Embeddings:
    """Up to `limit` rows, chosen at random, the same every time."""
    if len(rows) <= limit:
        return rows
    chosen = np.sort(np.random.default_rng(_SEED).permutation(len(rows))[:limit])
    return rows.take(chosen)


def label(segment: Segment) -> str:
    """How people recognise a segment: file name and span."""
    return name_of(segment.asset_uri) + (f" ({segment.span.label()})" if segment.span else "")


def name_of(uri: str) -> str:
    """The file name in a uri, without what no terminal can show."""
    try:
        name = unquote(urlsplit(uri).path).rstrip("/").rsplit("/", 1)[-1] or uri
    except ValueError:
        name = uri
    return "".join(c if c.isprintable() else "?" for c in name)


def listed(words: Sequence[str], limit: int = 3) -> str:
    """The first few of a list, for a sentence."""
    more = len(words) - limit
    return ", ".join(words[:limit]) + (f" and {more:,} more" if more > 0 else "")


def _rows(store: StoreReader, modality: Modality, sample: SegmentBatch) -> int:
    if len(sample) < SAMPLE:
        return len(sample)
    return store.search(
        Retrieval(vector=sample.embeddings.shared[0], modality=modality, limit=1)
    ).rows
