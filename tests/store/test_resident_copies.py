"""Searches that come at once share one copy in memory."""

import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import polyseek
from polyseek.api import opening
from polyseek.core.hits import Retrieval
from polyseek.core.types import Modality, Space
from polyseek.store.lance import LanceStore
from polyseek.store.resident import Resident
from polyseek.store.scan import ExactIndex
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


@pytest.fixture
def location(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    (tmp_path / "photos").mkdir()
    for colour in ("red", "green"):
        Image.new("RGB", (8, 8), colour).save(tmp_path / "photos" / f"{colour}.png")
    polyseek.open(tmp_path / "c", encoder="fake").add(tmp_path / "photos", workers=1)
    return str(tmp_path / "c")


def slow_to_make(kind, monkeypatch):
    made, begin = [], kind.__init__

    def begin_slowly(self, *given):
        made.append(self)
        time.sleep(0.1)
        begin(self, *given)

    monkeypatch.setattr(kind, "__init__", begin_slowly)
    return made


def test_first_searches_at_once_make_one_copy(location, monkeypatch):
    copies, indexes = (slow_to_make(kind, monkeypatch) for kind in (Resident, ExactIndex))
    store = LanceStore.open(location, resident=True)
    vector = np.eye(store.manifest.dim, dtype=np.float32)[0]
    asked = Retrieval(vector=vector, modality=Modality.IMAGE, space=Space.SHARED, limit=2)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: store.search(asked), range(6)))
    assert {tuple(hit.id for hit in one.hits) for one in found} == {
        tuple(hit.id for hit in found[0].hits)
    }
    assert len(found[0].hits) == 2
    assert (len(copies), len(indexes)) == (1, 1)
