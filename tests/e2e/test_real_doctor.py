"""The doctor on the real encoder, whole and with a text tower that belongs to another model."""

import numpy as np
import pytest

import polyseek
from polyseek.api import opening
from polyseek.core.types import Embeddings, Modality
from polyseek.evaluate.diagnosis import Verdict
from polyseek.evaluate.probes import TEXTS, pictures

pytestmark = [pytest.mark.slow, pytest.mark.network]


@pytest.fixture(scope="module")
def location(tmp_path_factory):
    root = tmp_path_factory.mktemp("doctor")
    folder = root / "files"
    folder.mkdir()
    for name, picture in pictures().items():
        picture.save(folder / f"{name}.png")
    for query, passage in TEXTS.items():
        (folder / f"{query}.txt").write_text(passage)
    polyseek.open(root / "c").add(folder, workers=1)
    return root / "c"


def test_the_default_encoder_is_healthy(location):
    found = polyseek.open(location, resident=False).doctor()
    assert {c.name: c.summary for c in found if c.verdict is not Verdict.OK} == {}
    assert found["towers"].figures["text-image"]["probes_above"] > 0.9
    assert found["stored"].figures["text"]["median_cosine"] > 0.995
    assert found["stored"].figures["image"]["median_cosine"] > 0.995
    assert found["recall"].figures["text-image"]["recall_at_10"] == 1
    assert found["gap"].figures["pairs"]["queries-image"]["linear_separability"] > 0.95


def test_a_text_tower_of_another_model_is_found(location, monkeypatch):
    load = opening.load_encoder

    class Mismatched:
        def __init__(self, encoder):
            self._encoder, self.info = encoder, encoder.info

        def encode(self, modality, batch, *, role):
            rows = self._encoder.encode(modality, batch, role=role)
            if modality is not Modality.TEXT:
                return rows
            turned = np.roll(rows.shared, 100, axis=1) * (-1) ** np.arange(rows.shared.shape[1])
            return Embeddings(shared=turned.astype(np.float32), tower=rows.tower)

    monkeypatch.setattr(opening, "load_encoder", lambda *given: Mismatched(load(*given)))
    found = polyseek.open(location, resident=False).doctor()
    assert found["towers"].verdict is Verdict.FAILURE
    assert found["towers"].figures["text-image"]["by_chance"] > 0.002
    assert found["stored"].verdict is Verdict.FAILURE
