"""The socket that a server listens on, and how long a connection may say nothing of use."""

from __future__ import annotations

import asyncio
import errno
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from polyseek.core.errors import ConfigError

BACKLOG, MAX_CONNECTIONS = 1024, 1024


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """The listening socket: bound before anything is loaded, so that a wrong port shows at once.

    Raises:
        ConfigError: The address is taken, or not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio only sends without delay (TCP_NODELAY) through sockets that say they are TCP: 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"--port {port} is in use; give another, or 0 for a free one"
                ) from error
            reason = error.strerror or str(error)
            raise ConfigError(f"--host {host}: cannot be bound to: {reason}") from error
        listening.set_inheritable(True)
        yield listening


def address_of(listening: socket.socket) -> str:
    """What a browser calls it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class Connection(H11Protocol):
    """Uvicorn's, with an end to waiting for the head of a request.

    Uvicorn bounds the time between requests only: a client that sends a byte now and then would
    keep its connection, of which there are so many, for as long as it likes.
    """

    head_timeout_s = 10.0
    """From the connection, or the first byte of a further request, to the end of its head."""

    _waiting: asyncio.TimerHandle | None = None
    _heard = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        self._heard = True
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """The clock runs while a head is wanted; a few bytes more do not turn it back."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(self.head_timeout_s, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _too_slow(self) -> None:
        self._waiting = None
        if self.transport.is_closing():
            return
        if self._heard and self.conn.our_state is h11.IDLE:
            self.transport.write(self._refusal())
        self.transport.close()

    def _refusal(self) -> bytes:
        """A problem document, as the routes give them; they have not seen this request."""
        body = json.dumps(
            {
                "type": "about:blank",
                "title": "too slow",
                "status": 408,
                "code": "too-slow",
                "detail": "the request's head took too long to come",
            }
        ).encode()
        head = h11.Response(
            status_code=408,
            reason=b"Request Timeout",
            headers=[
                ("Content-Type", "application/problem+json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ],
        )
        parts = (head, h11.Data(data=body), h11.EndOfMessage())
        return b"".join(self.conn.send(part) or b"" for part in parts)
