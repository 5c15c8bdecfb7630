"""Small collections, healthy and broken, for the doctor to look at."""

import numpy as np

from polyseek.core.tuning import Calibration, Origin, Tuning
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Embeddings,
    Manifest,
    Modality,
    Role,
    Segment,
    SegmentBatch,
)
from polyseek.evaluate.subject import Subject
from polyseek.search.calibrate import Calibrator
from polyseek.store.memory import MemoryStore
from polyseek.testing import FakeEncoder

TEXT, IMAGE, AUDIO = Modality.TEXT, Modality.IMAGE, Modality.AUDIO
DIM = 16
COLOURS = ("red", "green", "blue", "yellow", "white", "black")


def unit(rows):
    rows = np.atleast_2d(np.asarray(rows, np.float64))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def cloud(n, *, at=0.0, width=1.0, seed=0, dim=DIM):
    """Unit vectors around a direction."""
    rng = np.random.default_rng(seed)
    return unit(np.eye(dim)[0] * at + width * rng.normal(size=(n, dim)) / np.sqrt(dim))


def store_of(vectors, *, hub_bias=None, texts=None, tower=None, dim=DIM):
    """A store with these vectors by modality, one segment per asset."""
    manifest = Manifest(
        format_version=1,
        encoder="fake",
        revision="1",
        dim=dim,
        tower_dims={m: (tower or vectors)[m].shape[1] for m in vectors},
    )
    store = MemoryStore.create("memory", manifest)
    for modality, rows in vectors.items():
        segments = [
            Segment(
                asset_uri=f"file:///{modality}/{i:03}",
                modality=modality,
                text=texts[i] if texts and modality is TEXT else None,
            )
            for i in range(len(rows))
        ]
        bias = {TEXT: hub_bias[modality]} if hub_bias and modality in hub_bias else {}
        own = tower[modality] if tower else rows
        batch = SegmentBatch(modality, segments, Embeddings(shared=rows, tower=own), bias)
        with store.writing():
            store.upsert([record(s.asset_uri, modality) for s in segments], [batch])
    return store


def record(uri, *modalities, status=AssetStatus.INDEXED, reason=None):
    return AssetRecord(
        uri=uri, status=status, reason=reason, modalities=modalities, etag="1", size_bytes=1
    )


def bank_of(rows):
    return Embeddings(shared=rows, tower=rows)


def calibration(**given):
    return Calibration(**{"intercept": 0.0, "slope": 5.0, "origin": Origin.COLLECTION, **given})


def subject_of(store, *, encoder=None, bank=None):
    return Subject.of(
        store,
        encoder=encoder or FakeEncoder(),
        scale=Calibrator(tuning=store.tuning),
        bank=bank,
    )


def with_tuning(store, **pairs):
    """The same store with calibrations, named like ``text_image``."""
    found = {
        (Modality(name.split("_")[0]), Modality(name.split("_")[1])): value
        for name, value in pairs.items()
    }
    counts = {m: sum(n for (_, held), n in store.counts().items() if m in held) for m in Modality}
    store.save_tuning(Tuning(calibrations=found, fitted_assets=counts))
    return store


class Altered(FakeEncoder):
    """A fake encoder with one tower's embeddings changed."""

    def __init__(self, change, modality=TEXT, role=None):
        super().__init__()
        self.change, self.modality, self.role = change, modality, role

    def encode(self, modality, batch, *, role):
        rows = super().encode(modality, batch, role=role)
        if modality is not self.modality or self.role not in (None, role):
            return rows
        return Embeddings(shared=self.change(rows.shared), tower=self.change(rows.tower))


def rotated(rows):
    """As if the tower belonged to another model."""
    rng = np.random.default_rng(rows.shape[1])
    turn, lengths = np.linalg.qr(rng.normal(size=(rows.shape[1], rows.shape[1])))
    return (rows @ (turn * np.sign(np.diag(lengths)))).astype(np.float32)


def fake_collection(texts=("a red car", "the green hills", "blue water"), encode=None):
    """A store that holds what the fake encoder makes of some texts and coloured pictures."""
    from PIL import Image

    encoder = FakeEncoder()
    stored = [encode(text) if encode else text for text in texts]
    words = encoder.encode(TEXT, stored, role=Role.DOCUMENT)
    prepare = encoder.info.towers[IMAGE].prepare
    shown = encoder.encode(
        IMAGE, [prepare(Image.new("RGB", (8, 8), c)) for c in COLOURS], role=Role.DOCUMENT
    )
    return store_of(
        {TEXT: words.shared, IMAGE: shown.shared},
        tower={TEXT: words.tower, IMAGE: shown.tower},
        texts=list(texts),
        dim=encoder.info.dim,
    )
