"""How much, how long and how often."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic

from starlette.types import Message, Receive

from polyseek.server.problems import ProblemError
from polyseek.server.settings import MIB, ServerSettings

MAX_CLIENTS = 10_000
MAX_JSON_BYTES = 16 * MIB
BODIES_AT_ONCE = 4
"""Bodies of the largest size that are held at once, all requests together."""


class RateLimit:
    """So many requests per minute and client; what was saved up may be used in a burst.

    Args:
        per_minute: Requests; 0 for any number.
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, who: str) -> None:
        """Count a request.

        Raises:
            ProblemError: There were too many.
        """
        if not self._per_minute:
            return
        now = monotonic()
        left, since = self._buckets.pop(who, (float(self._per_minute), now))
        left = min(self._per_minute, left + (now - since) * self._per_minute / 60)
        self._buckets[who] = max(left - 1, 0.0), now
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        if left < 1:
            wait_s = max(1, round((1 - left) * 60 / self._per_minute))
            raise ProblemError(
                429,
                "too-many-requests",
                f"more than {self._per_minute} requests in a minute; wait {wait_s} s",
                {"Retry-After": str(wait_s)},
            )


@dataclass
class Held:
    """Bytes of request bodies that are held now."""

    size_bytes: int = 0


class LimitedBody:
    """A request's body that may be so long, and may take so long.

    Args:
        receive: Where it comes from.
        headers: Of the request, by lower-case names.
        server: Has the limits.
        held: Bytes of all bodies together.

    Raises:
        ProblemError: The body says that it is too long.
    """

    def __init__(
        self, receive: Receive, headers: dict[str, str], server: ServerSettings, held: Held
    ) -> None:
        self._receive, self._held = receive, held
        multipart = headers.get("content-type", "").startswith("multipart/")
        whole = server.max_body_bytes
        self._most = whole if multipart else min(whole, MAX_JSON_BYTES)
        self._most_together = BODIES_AT_ONCE * whole
        self._until = monotonic() + server.body_timeout_s
        self._size = 0
        stated = headers.get("content-length", "0")
        self.complete = stated == "0" and "transfer-encoding" not in headers
        if stated.isdecimal() and int(stated) > self._most:
            raise self._too_large()

    async def __call__(self) -> Message:
        """See ASGI's ``receive``.

        Raises:
            ProblemError: It is too long (413), too slow (408), or one too many (503).
        """
        if self.complete:
            return await self._receive()
        try:
            async with asyncio.timeout(self._until - monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise ProblemError(
                408, "too-slow", "the request's body took too long to come"
            ) from None
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self._size += size
            self._held.size_bytes += size
            self.complete = not message.get("more_body", False)
            if self._size > self._most:
                raise self._too_large()
            if self._held.size_bytes > self._most_together:
                raise ProblemError(
                    503, "busy", "too many uploads at once; try again", {"Retry-After": "5"}
                )
        return message

    def close(self) -> None:
        """The request is over."""
        self._held.size_bytes -= self._size

    def _too_large(self) -> ProblemError:
        return ProblemError(413, "too-large", f"the request is larger than {self._most:,} bytes")
