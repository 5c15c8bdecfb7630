"""Ranged reading: the bytes are those of the object, and few of them travel."""

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyseek.core.errors import AssetError
from polyseek.ingest.sources import reader
from polyseek.ingest.sources.reader import BLOCK_BYTES, KEPT_BLOCKS, RangeReader


class Object:
    """Counts what is fetched of it."""

    def __init__(self, size, head=0):
        self.content = bytes(i * 31 % 251 for i in range(min(size, 4096))) * (size // 4096 + 1)
        self.content = self.content[:size]
        self.fetched = []
        self.reader = RangeReader("x://y", self.fetch, size, self.content[:head])

    def fetch(self, start, end):
        self.fetched.append((start, end))
        return self.content[start:end]


@settings(deadline=None)  # a thread takes its time to start on a busy machine
@given(st.data())
@pytest.mark.slow
def test_any_order_of_reads_gives_the_bytes_of_the_object(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", 16)
        patch.setattr(reader, "KEPT_BLOCKS", 3)
        patch.setattr(reader, "AHEAD_BLOCKS", 2)
        size = data.draw(st.integers(0, 300))
        it = Object(size, head=size if size <= 32 else 16)
        plain = io.BytesIO(it.content)
        for _ in range(data.draw(st.integers(0, 12))):
            whence = data.draw(st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END]))
            base = {io.SEEK_SET: 0, io.SEEK_CUR: plain.tell(), io.SEEK_END: size}[whence]
            offset = data.draw(st.integers(-base, 320 - base))
            assert it.reader.seek(offset, whence) == plain.seek(offset, whence)
            count = data.draw(st.integers(-1, 100))
            assert it.reader.read(count) == plain.read(count)
            assert it.reader.tell() == plain.tell()
        it.reader.close()


@pytest.mark.slow
def test_the_head_and_the_tail_of_a_film_are_three_requests_at_most():
    it = Object(64 * BLOCK_BYTES, head=BLOCK_BYTES)
    it.reader.read(1000)
    assert it.fetched == []
    it.reader.seek(-1000, io.SEEK_END)
    it.reader.read()
    it.reader.seek(2000)
    it.reader.read(1000)
    assert len(it.fetched) == 1
    assert sum(end - start for start, end in it.fetched) == BLOCK_BYTES


def test_reading_on_takes_ever_larger_ranges_once_each():
    it = Object(20 * BLOCK_BYTES + 5, head=BLOCK_BYTES)
    while it.reader.read(300_000):
        pass
    assert [(end - start) // BLOCK_BYTES for start, end in it.fetched] == [2, 4, 8, 5]
    assert sum(end - start for start, end in it.fetched) == 19 * BLOCK_BYTES + 5
    it.reader.close()


def test_going_back_and_forth_fetches_nothing_twice():
    it = Object(30 * BLOCK_BYTES, head=BLOCK_BYTES)
    for at in [5, 20] * 10:
        it.reader.seek(at * BLOCK_BYTES)
        it.reader.read(10)
    assert len(it.fetched) == 2
    assert len(it.fetched) < KEPT_BLOCKS


def test_a_failure_is_an_os_error_and_is_remembered():
    def fetch(start, end):
        raise AssetError("x://y", "is gone")

    broken = RangeReader("x://y", fetch, 100)
    assert broken.failure is None
    with pytest.raises(OSError, match="is gone"):
        broken.read()
    assert broken.failure.reason == "is gone"


def test_a_range_that_comes_short_is_a_failure():
    short = RangeReader("x://y", lambda start, end: b"", 100)
    with pytest.raises(OSError, match="before its time"):
        short.read(1)
    assert short.failure is not None


def test_no_stream_goes_before_its_start():
    with pytest.raises(ValueError, match="negative"):
        Object(10).reader.seek(-11, io.SEEK_END)
