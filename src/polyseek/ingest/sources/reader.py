"""A remote object as a seekable stream: ranges are fetched as they are read, with read-ahead."""

from __future__ import annotations

import io
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias

from polyseek.core.errors import AssetError

Fetch: TypeAlias = Callable[[int, int], bytes]
"""The bytes from a start to an end. Raises `AssetError`."""

BLOCK_BYTES = 1024 * 1024
AHEAD_BLOCKS = 8
"""What is read one after the other comes in requests that double up to so many blocks."""

KEPT_BLOCKS = 32
"""Sound, pictures and index of a film lie apart: going back and forth must not fetch anew."""


class RangeReader(io.RawIOBase):
    """See `polyseek.core.protocols.RemoteStream`.

    While a sequential reader works on one range, the next is fetched in the background.

    Args:
        uri: Of the object.
        fetch: Gets a range.
        size_bytes: Length of the object.
        head: Its first bytes, at most one block, when they are known.
    """

    def __init__(self, uri: str, fetch: Fetch, size_bytes: int, head: bytes = b"") -> None:
        self._uri, self._fetch, self._size = uri, fetch, size_bytes
        self._at = 0
        self._blocks: OrderedDict[int, bytes] = OrderedDict()
        self._expected, self._ahead = 0, 1
        self._coming: tuple[range, Future[bytes]] | None = None
        self._pool: ThreadPoolExecutor | None = None
        self.failure: AssetError | None = None
        if len(head) in (BLOCK_BYTES, size_bytes):
            self._blocks[0], self._expected = head, 1

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """As every stream."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """As every stream. Raises `OSError`; `failure` says what happened."""
        view = memoryview(buffer).cast("B")
        done = 0
        while done < len(view) and self._at < self._size:
            number, offset = divmod(self._at, BLOCK_BYTES)
            piece = self._block(number)[offset : offset + len(view) - done]
            if not piece:
                raise self._failed(AssetError(self._uri, "ends before its time"))
            view[done : done + len(piece)] = piece
            done += len(piece)
            self._at += len(piece)
        return done

    def readall(self) -> bytes:
        """The rest, in one piece."""
        return self.read(max(0, self._size - self._at)) or b""

    def close(self) -> None:
        """Forget the blocks; what is on its way is not waited for."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._blocks.clear()
        super().close()

    def _block(self, number: int) -> bytes:
        if number not in self._blocks:
            try:
                self._load(number)
            except AssetError as error:
                raise self._failed(error) from error
        self._blocks.move_to_end(number)
        return self._blocks[number]

    def _failed(self, error: AssetError) -> OSError:
        self.failure = error
        return OSError(5, error.reason)

    def _load(self, number: int) -> None:
        coming, self._coming = self._coming, None
        if coming is not None and number in coming[0]:
            numbers, data = coming[0], coming[1].result()
        else:
            self._ahead = min(self._ahead * 2, AHEAD_BLOCKS) if number == self._expected else 1
            numbers = self._range(number)
            data = self._get(numbers)
        for i, each in enumerate(numbers):
            self._blocks[each] = data[i * BLOCK_BYTES : (i + 1) * BLOCK_BYTES]
        self._expected = numbers.stop
        while len(self._blocks) > KEPT_BLOCKS:
            self._blocks.popitem(last=False)
        if self._ahead > 1 and numbers.stop * BLOCK_BYTES < self._size:
            self._ahead = min(self._ahead * 2, AHEAD_BLOCKS)
            self._pool = self._pool or ThreadPoolExecutor(1, thread_name_prefix="polyseek-read")
            following = self._range(numbers.stop)
            self._coming = following, self._pool.submit(self._get, following)

    def _range(self, number: int) -> range:
        end = -(-self._size // BLOCK_BYTES)
        return range(number, min(number + self._ahead, end))

    def _get(self, numbers: range) -> bytes:
        start = numbers.start * BLOCK_BYTES
        return self._fetch(start, min(numbers.stop * BLOCK_BYTES, self._size))
