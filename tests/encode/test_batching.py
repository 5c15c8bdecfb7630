"""Single queries of many threads, embedded together."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from polyseek.core.errors import EncoderError
from polyseek.core.protocols import PatchEncoder, SoundPatchEncoder
from polyseek.core.types import Modality, Role
from polyseek.encode import batching as module
from polyseek.encode.batching import BatchingEncoder
from polyseek.testing import FakeEncoder

TEXT = Modality.TEXT


class Recording(FakeEncoder):
    """Notes its batches; waits while it is told to, and cannot read ``bad``."""

    def __init__(self):
        super().__init__()
        self.batches, self.go = [], threading.Event()
        self.go.set()

    def encode(self, modality, batch, *, role):
        self.batches.append((role, list(batch)))
        assert self.go.wait(10)
        if modality is TEXT and "bad" in batch:
            raise EncoderError("cannot read bad")
        return super().encode(modality, batch, role=role)


@pytest.fixture
def inner():
    return Recording()


@pytest.fixture
def batching(inner):
    encoder = BatchingEncoder(inner, remembered=3)
    yield encoder
    inner.go.set()
    encoder.close()


def query(encoder, *texts):
    return encoder.encode(TEXT, texts, role=Role.QUERY)


def until(true):
    end = time.monotonic() + 10
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_the_same_embeddings_in_the_same_order(batching, inner):
    texts = ["red", "green", "a blue car", "red"]
    found, alone = query(batching, *texts), FakeEncoder().encode(TEXT, texts, role=Role.QUERY)
    np.testing.assert_array_equal(found.shared, alone.shared)
    np.testing.assert_array_equal(found.tower, alone.tower)
    assert batching.info is inner.info


def test_what_comes_while_it_is_busy_goes_together(batching, inner):
    inner.go.clear()
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(query, batching, "red")
        until(lambda: inner.batches)
        others = [pool.submit(query, batching, f"text {i}") for i in range(6)]
        until(lambda: batching._queues[TEXT].qsize() == 6)
        inner.go.set()
        assert first.result().shared.shape[0] == 1
        for i, other in enumerate(others):
            alone = FakeEncoder().encode(TEXT, [f"text {i}"], role=Role.QUERY)
            np.testing.assert_array_equal(other.result().tower, alone.tower)
    assert [len(batch) for _, batch in inner.batches] == [1, 4, 2]  # the tower takes 4 at once


def test_one_that_cannot_be_read_fails_alone(batching, inner):
    inner.go.clear()
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(query, batching, "red")
        until(lambda: inner.batches)
        bad, good = pool.submit(query, batching, "bad"), pool.submit(query, batching, "good")
        until(lambda: batching._queues[TEXT].qsize() == 2)
        inner.go.set()
        first.result()
        with pytest.raises(EncoderError, match="cannot read bad"):
            bad.result()
        assert good.result().shared.shape[0] == 1
    assert query(batching, "still there").shared.shape[0] == 1


def test_texts_are_remembered_the_latest_longest(inner):
    looked_up = []
    encoder = BatchingEncoder(inner, looked_up=looked_up.append, remembered=2)
    for text in ("a", "b", "a", "c", "a", "b"):  # c drives b out, a was asked for after it
        query(encoder, text)
    encoder.close()
    assert looked_up == [False, False, True, False, True, False]
    assert [batch for _, batch in inner.batches] == [["a"], ["b"], ["c"], ["b"]]


def test_a_failure_is_not_remembered(batching, inner):
    for _ in range(2):
        with pytest.raises(EncoderError):
            query(batching, "bad")
    assert len(inner.batches) == 2


def test_documents_go_straight_through(batching, inner):
    batching.encode(TEXT, ["red", "red"], role=Role.DOCUMENT)
    query(batching, "red")
    assert inner.batches == [(Role.DOCUMENT, ["red", "red"]), (Role.QUERY, ["red"])]


def test_pictures_have_a_thread_of_their_own_and_are_not_remembered(batching, inner):
    picture = np.zeros(inner.info.towers[Modality.IMAGE].dim, np.float32)
    inner.go.clear()
    with ThreadPoolExecutor(2) as pool:
        asked = [
            pool.submit(query, batching, "red"),
            pool.submit(batching.encode, Modality.IMAGE, [picture], role=Role.QUERY),
        ]
        until(lambda: len(inner.batches) == 2)  # neither waits for the other
        inner.go.set()
        for one in asked:
            one.result()
    batching.encode(Modality.IMAGE, [picture], role=Role.QUERY)
    assert len(inner.batches) == 3


def test_sizes_of_batches_are_told(inner):
    sizes = []
    encoder = BatchingEncoder(inner, batched=sizes.append)
    query(encoder, "a")
    encoder.close()
    assert sizes == [1]


def test_closing_ends_the_threads(inner):
    encoder = BatchingEncoder(inner)
    query(encoder, "a")
    (thread,) = [t for t in threading.enumerate() if t.name == "encode-text"][-1:]
    encoder.close()
    thread.join(10)
    assert not thread.is_alive()


class Sees(FakeEncoder):
    def patches(self, picture):
        return np.full((4, 2), picture, np.float32)

    def words(self, text):
        return np.ones((1, 2), np.float32), np.array([len(text)], np.float32)


class Hears(Sees):
    def sound_patches(self, sound):
        return np.full((3, 2), sound, np.float32)


@pytest.mark.parametrize(
    ("kind", "sees", "hears"),
    [(FakeEncoder, False, False), (Sees, True, False), (Hears, True, True)],
)
def test_it_can_what_its_encoder_can(kind, sees, hears):
    found = module.batching(kind())
    assert isinstance(found, PatchEncoder) is sees
    assert isinstance(found, SoundPatchEncoder) is hears


def test_parts_are_those_of_its_encoder():
    found = module.batching(Hears())
    assert found.patches(2).tolist() == [[2, 2]] * 4
    assert found.words("red")[1].tolist() == [3]
    assert found.sound_patches(3).tolist() == [[3, 3]] * 3
