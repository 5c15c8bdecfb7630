"""A store and an encoder that remember what they were asked, and what tests put in and ask."""

from PIL import Image

from polyseek.api.opening import manifest_of
from polyseek.core.config import SearchOptions
from polyseek.core.hits import Query
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Modality,
    Role,
    Segment,
    SegmentBatch,
)
from polyseek.search.pipeline import search
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

TEXT, IMAGE = Modality.TEXT, Modality.IMAGE


class WatchedStore(MemoryStore):
    """Keeps what it was asked for."""

    requests = ()

    def search(self, request):
        self.requests = (*self.requests, request)
        return super().search(request)


class WatchedEncoder(FakeEncoder):
    """Keeps the sides it encoded for."""

    roles = ()

    def encode(self, modality, batch, *, role):
        self.roles = (*self.roles, role)
        return super().encode(modality, batch, role=role)


def new_store(info):
    """An empty one for an encoder."""
    return WatchedStore.create("memory", manifest_of(info))


def record(name, status=AssetStatus.INDEXED, modalities=()):
    return AssetRecord(
        uri=f"file:///{name}", status=status, modalities=modalities, etag="1", size_bytes=1
    )


def add(store, modality, **signals):
    """Index signals by name; a text's name is its uri's last part too."""
    encoder = FakeEncoder()
    prepare = encoder.info.towers[modality].prepare
    segments = [
        Segment(
            asset_uri=f"file:///{name}",
            modality=modality,
            text=signal if modality is TEXT else None,
            metadata={"name": name, "length": len(name)},
        )
        for name, signal in signals.items()
    ]
    batch = [prepare(signal) for signal in signals.values()]
    embeddings = encoder.encode(modality, batch, role=Role.DOCUMENT)
    records = [record(name, modalities=(modality,)) for name in signals]
    store.upsert(records, [SegmentBatch(modality, segments, embeddings)])


def colour(name):
    return Image.new("RGB", (9, 9), name)


def words(text):
    return Query(modality=TEXT, signals=[text], label=text)


def picture(name):
    return Query(modality=IMAGE, signals=[colour(name)], label=f"{name}.jpg")


def names(results):
    return [hit.uri.removeprefix("file:///") for hit in results]


def ask(query, store, encoder, **options):
    return search(query, encoder=encoder, store=store, options=SearchOptions(**options))
