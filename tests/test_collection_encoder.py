"""A collection's encoder can what the encoder can that it was made with, and no more."""

import numpy as np
import pytest

from polyseek.api.towers import collection_encoder
from polyseek.core.adapting import Adapters
from polyseek.core.protocols import PatchEncoder, SoundPatchEncoder
from polyseek.testing import FakeEncoder


class Sees(FakeEncoder):
    def patches(self, picture):
        return np.ones((4, 2), np.float32) * picture

    def words(self, text):
        return np.ones((1, 2), np.float32), np.ones(1, np.float32)


class Hears(Sees):
    def sound_patches(self, sound):
        return np.ones((3, 2), np.float32) * sound


@pytest.mark.parametrize(
    ("kind", "sees", "hears"),
    [(FakeEncoder, False, False), (Sees, True, False), (Hears, True, True)],
)
def test_it_has_the_parts_that_its_encoder_has(kind, sees, hears):
    found = collection_encoder(kind(), Adapters)
    assert isinstance(found, PatchEncoder) is sees
    assert isinstance(found, SoundPatchEncoder) is hears


def test_parts_are_those_of_its_encoder():
    found = collection_encoder(Hears(), Adapters)
    assert found.patches(2.0).tolist() == [[2, 2]] * 4
    assert found.sound_patches(3.0).tolist() == [[3, 3]] * 3
    assert found.words("red")[1].tolist() == [1]
