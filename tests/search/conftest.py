"""The encoder and the empty store that most tests of the search road begin with."""

import pytest
from watched import WatchedEncoder, new_store


@pytest.fixture
def encoder():
    return WatchedEncoder()


@pytest.fixture
def store(encoder):
    return new_store(encoder.info)
