"""What every encoder must do: inherit `EncoderConformance` and say how to make an encoder."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import pytest

from polyseek.core.errors import EncoderError
from polyseek.core.protocols import Encoder
from polyseek.core.types import (
    Embeddings,
    Modality,
    Motion,
    Prepared,
    Role,
    Signal,
    Sound,
)

TEXTS = (
    "a red car",
    "Two dogs run along the beach in the evening sun, and a third one sleeps.",
    "",
    "Größe 東京 🎈",
    "word " * 400,
)


class EncoderConformance(ABC):
    """Checks of `polyseek.core.protocols.Encoder`; name the subclass ``Test...``.

    Attributes:
        tolerance: How far a component may differ between two calls; 0 demands equal bits.
    """

    tolerance = 0.0

    @abstractmethod
    def make_encoder(self) -> Encoder:
        """The encoder; called once per test, so a costly one should be kept by the subclass."""

    def signals(self, modality: Modality) -> Sequence[Signal]:
        """Three or more different signals."""
        if modality is Modality.TEXT:
            return TEXTS
        rng = np.random.default_rng(3)
        if modality is Modality.AUDIO:
            seconds = np.arange(44_100, dtype=np.float32) / 44_100
            waves = [np.sin(2765 * seconds), rng.normal(size=30_000), np.zeros(100)]
            return [
                Sound(samples=(0.3 * wave).astype(np.float32), sample_rate_hz=44_100)
                for wave in waves
            ]
        if modality is Modality.IMU:
            return [
                Motion(samples=rng.normal(size=(6, n)).astype(np.float32), sample_rate_hz=100)
                for n in (1000, 500, 30)
            ]
        if modality in (Modality.DEPTH, Modality.THERMAL):
            return [rng.random(shape, np.float32) for shape in ((48, 64), (200, 90), (8, 300))]
        from PIL import Image

        noise = Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8))
        pictures = [Image.new("RGB", (90, 30), "red"), noise, Image.new("RGB", (8, 300), "white")]
        return pictures if modality is Modality.IMAGE else [pictures[:1], pictures, pictures[1:]]

    @pytest.fixture
    def encoder(self) -> Encoder:
        """The encoder."""
        return self.make_encoder()

    def test_the_description_is_complete(self, encoder: Encoder) -> None:
        info = encoder.info
        assert info.name
        assert info.revision
        assert info.dim > 0
        assert info.towers
        for modality, tower in info.towers.items():
            assert isinstance(modality, Modality)
            assert tower.dim > 0
            assert tower.batch_size > 0

    def test_embeddings_have_the_described_shape_and_unit_length(self, encoder: Encoder) -> None:
        for modality, tower in encoder.info.towers.items():
            batch = self._prepared(encoder, modality)
            for role in Role:
                embeddings = encoder.encode(modality, batch, role=role)
                assert len(embeddings) == len(batch)
                _assert_rows(embeddings.shared, len(batch), encoder.info.dim)
                _assert_rows(embeddings.tower, len(batch), tower.dim)

    def test_an_empty_batch_gives_no_rows(self, encoder: Encoder) -> None:
        for modality, tower in encoder.info.towers.items():
            embeddings = encoder.encode(modality, [], role=Role.DOCUMENT)
            _assert_rows(embeddings.shared, 0, encoder.info.dim)
            _assert_rows(embeddings.tower, 0, tower.dim)

    def test_a_row_does_not_depend_on_its_batch(self, encoder: Encoder) -> None:
        for modality in encoder.info.towers:
            batch = self._prepared(encoder, modality)
            together = encoder.encode(modality, batch, role=Role.DOCUMENT)
            alone = [encoder.encode(modality, [each], role=Role.DOCUMENT) for each in batch]
            single = Embeddings.concat(alone)
            self._assert_equal(single, together)
            turned = encoder.encode(modality, batch[::-1], role=Role.DOCUMENT)
            self._assert_equal(Embeddings(turned.shared[::-1], turned.tower[::-1]), together)

    def test_different_signals_have_different_embeddings(self, encoder: Encoder) -> None:
        for modality in encoder.info.towers:
            batch = self._prepared(encoder, modality)
            tower = encoder.encode(modality, batch, role=Role.DOCUMENT).tower
            cosines = tower @ tower.T - 2 * np.eye(len(batch))
            assert cosines.max() < 0.9999, f"two {modality} signals have one embedding"

    def test_the_same_call_gives_the_same_rows(self, encoder: Encoder) -> None:
        for modality in encoder.info.towers:
            batch = self._prepared(encoder, modality)
            for role in Role:
                first, again = (encoder.encode(modality, batch, role=role) for _ in range(2))
                self._assert_equal(first, again)

    def test_preparing_can_be_pickled(self, encoder: Encoder) -> None:
        for modality, tower in encoder.info.towers.items():
            copy = pickle.loads(pickle.dumps(tower.prepare))  # noqa: S301 - its own bytes
            for signal in self.signals(modality):
                here, there = tower.prepare(signal), copy(signal)
                assert type(here) is type(there)
                assert np.array_equal(np.asarray(here), np.asarray(there))

    def test_a_modality_without_a_tower_is_refused(self, encoder: Encoder) -> None:
        missing = [modality for modality in Modality if modality not in encoder.info.towers]
        if not missing:
            pytest.skip("it has a tower for every modality")
        for modality in missing:
            with pytest.raises(EncoderError, match=modality):
                encoder.encode(modality, ["a text"], role=Role.QUERY)

    def _prepared(self, encoder: Encoder, modality: Modality) -> list[Prepared]:
        return [encoder.info.towers[modality].prepare(each) for each in self.signals(modality)]

    def _assert_equal(self, left: Embeddings, right: Embeddings) -> None:
        for one, other in ((left.shared, right.shared), (left.tower, right.tower)):
            np.testing.assert_allclose(one, other, rtol=0, atol=self.tolerance)


def _assert_rows(rows: np.ndarray, count: int, dim: int) -> None:
    assert rows.shape == (count, dim)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
