from functools import cache

import pytest

from polyseek.core.config import Settings
from polyseek.encode import mini
from polyseek.testing import FakeEncoder
from polyseek.testing.encoder import EncoderConformance


class TestFakeEncoder(EncoderConformance):
    def make_encoder(self):
        return FakeEncoder()


@cache
def loaded_mini():
    return mini.load(Settings())


@pytest.mark.slow
@pytest.mark.network
class TestMini(EncoderConformance):
    tolerance = 1e-6  # the heads are matrix products, which round by their shape

    def make_encoder(self):
        return loaded_mini()
