"""Modalities that adapters join to a collection's encoder, and the segments they have placed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from polyseek.core.adapting import Adapters
from polyseek.core.errors import ConfigError
from polyseek.core.joined import JoinedTower
from polyseek.core.protocols import Encoder, PatchEncoder, SoundPatchEncoder, Store
from polyseek.core.types import (
    Embeddings,
    EncoderInfo,
    Modality,
    Prepared,
    Role,
    SegmentBatch,
)
from polyseek.encode.joint import with_towers
from polyseek.encode.passing import PassesPatches, PassesSoundPatches, able_as

_FETCH = 500


class CollectionEncoder:
    """A collection's encoder with the towers that are joined to it now, by whichever process.

    Args:
        encoder: As the collection was made with it.
        adapters: Those that serve.
    """

    def __init__(self, encoder: Encoder, adapters: Callable[[], Adapters]) -> None:
        self.plain = encoder
        self._adapters = adapters
        self._made: tuple[Adapters | None, Encoder] = None, encoder

    @property
    def info(self) -> EncoderInfo:
        """See `polyseek.core.protocols.Encoder`."""
        return self._now().info

    def encode(self, modality: Modality, batch: Sequence[Prepared], *, role: Role) -> Embeddings:
        """See `polyseek.core.protocols.Encoder`."""
        return self._now().encode(modality, batch, role=role)

    def _now(self) -> Encoder:
        adapters = self._adapters()
        if adapters is not self._made[0]:
            joined = adapters.joined.values()
            self._made = adapters, with_towers(self.plain, joined) if joined else self.plain
        return self._made[1]


class _Sees(PassesPatches, CollectionEncoder):
    plain: PatchEncoder


class _Hears(PassesSoundPatches, CollectionEncoder):
    plain: SoundPatchEncoder


def collection_encoder(encoder: Encoder, adapters: Callable[[], Adapters]) -> CollectionEncoder:
    """See `CollectionEncoder`; it can what the encoder can."""
    return able_as(encoder, CollectionEncoder, _Sees, _Hears)(encoder, adapters)


def require_same(tower: str, revision: str, serving: JoinedTower) -> None:
    """Refuse to put what one tower has embedded where the map of another says.

    Raises:
        ConfigError: Another tower, or another revision of it, serves.
    """
    if (tower, revision) != (serving.tower, serving.revision):
        raise ConfigError(
            f"{serving.modality} is joined by tower '{serving.tower}' (revision "
            f"'{serving.revision}'), whose vectors do not mix with those of '{tower}' (revision "
            f"'{revision}'); remove that version first: 'polyseek adapters' lists it"
        )


def place(store: Store, joined: JoinedTower) -> int:
    """Put the stored segments of a modality where a map says, and how many assets they are of.

    No file is read: their towers' embeddings are stored. Killed half-way, the same again ends it;
    `api.adapting.Shelf` knows that there is something to end.
    """
    uris = _of(store, joined.modality)
    records = {record.uri: record for record in store.records()} if uris else {}
    for start in range(0, len(uris), _FETCH):
        block = uris[start : start + _FETCH]
        batches = [
            _placed(batch, joined)
            for batch in store.fetch(block)
            if batch.modality is joined.modality
        ]
        # A recording's subtitles stay as they are.
        store.upsert([records[uri] for uri in block], batches, keep=block)
    return len(uris)


def forget(store: Store, modality: Modality) -> int:
    """Forget the assets of a modality that nothing places any more, and how many they were."""
    uris = _of(store, modality)
    if uris:
        store.delete(uris)
    return len(uris)


def _placed(batch: SegmentBatch, joined: JoinedTower) -> SegmentBatch:
    shared = joined.place(batch.embeddings.tower)
    return replace(batch, embeddings=replace(batch.embeddings, shared=shared), hub_bias={})


def _of(store: Store, modality: Modality) -> list[str]:
    return [record.uri for record in store.records() if modality in record.modalities]
