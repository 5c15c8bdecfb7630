"""`polyseek adapt`, end to end on small collections."""

import csv

import numpy as np
import pytest
from PIL import Image

import polyseek
from polyseek.api import opening
from polyseek.api.collection import Collection
from polyseek.store.lance import LanceStore
from polyseek.testing import FakeEncoder

NAMES = {"crimson": (255, 0, 0), "azure": (0, 0, 255), "lime": (0, 128, 0), "amber": (255, 255, 0)}


@pytest.fixture
def photos(tmp_path):
    """Pictures in colours whose names here the encoder does not know, and captions of them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    rows = []
    for i in range(80):
        name = list(NAMES)[i % len(NAMES)]
        pixels = np.clip(np.array(NAMES[name]) + rng.normal(0, 70, (8, 8, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).resize((32, 32), Image.Resampling.NEAREST).save(
            folder / f"p{i:02}.png"
        )
        rows += [(f"p{i:02}.png", f"{name} number {i}"), (f"p{i:02}.png", f"{i} in {name}")]
    return folder, rows


def write_pairs(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "caption"), *rows])
    return path


@pytest.fixture
def collection(tmp_path, photos, settings):
    location = str(tmp_path / "c")
    encoder = FakeEncoder()
    store = LanceStore.create(location, opening.manifest_of(encoder.info), resident=True)
    made = Collection(location, store=store, encoder=encoder, settings=settings)
    made.add(photos[0], workers=1)
    return made


def test_adapt_learns_the_words_of_a_collection(collection, photos, tmp_path):
    report = collection.adapt(write_pairs(tmp_path / "pairs.csv", photos[1]))
    print(report.to_dict())
    assert report.name == "text-image-1"
    hits = collection.search("azure", mode="dense", show_all=True, limit=20)
    blue = {f"p{i:02}.png" for i in range(1, 80, 4)}
    assert {hit.uri.rsplit("/", 1)[1] for hit in hits} == blue
