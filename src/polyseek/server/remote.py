"""Fetching what a client's URL names, from public addresses only.

The address that was checked is the one connected to, so a name that changes its address in between
gains nothing; every redirect is checked again. Proxies of the environment are not used: behind one
nobody could tell which address is reached.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import PurePosixPath
from threading import Timer
from time import monotonic
from typing import TypeAlias
from urllib.parse import SplitResult, quote, unquote, urljoin, urlsplit

from polyseek.core.errors import QueryError
from polyseek.ingest.decode import decoders, suffix_of

MAX_REDIRECTS = 5
CONNECT_TIMEOUT_S, TOTAL_TIMEOUT_S = 5.0, 20.0
_BLOCK = 256 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})

Address: TypeAlias = "IPv4Address | IPv6Address"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that was fetched, and the name that says how to read it."""

    data: bytes
    name: str


def is_public(address: Address) -> bool:
    """Whether an address belongs to the internet at large."""
    inner = getattr(address, "ipv4_mapped", None) or getattr(address, "sixtofour", None)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not (address.is_multicast or address.is_reserved)


def fetch(url: str, *, max_bytes: int, allowed: Callable[[Address], bool] = is_public) -> Fetched:
    """What a URL serves.

    Args:
        url: ``http`` or ``https``.
        max_bytes: Longest answer that is taken.
        allowed: Which addresses may be connected to.

    Raises:
        QueryError: The URL is not public, or cannot be fetched, or is too large.
    """
    until = monotonic() + TOTAL_TIMEOUT_S
    for _ in range(MAX_REDIRECTS + 1):
        parts = _parts(url)
        try:
            with _connection(parts, allowed, until) as connection:
                response = _get(connection, parts)
                if response.status in _REDIRECTS and response.headers["location"]:
                    url = urljoin(url, response.headers["location"])
                    continue
                if response.status != 200:
                    raise QueryError(f"{parts.hostname} answered {response.status}")
                data = _body(response, max_bytes, until)
        except (OSError, HTTPException) as error:
            # The error itself may tell what is inside of this network.
            raise QueryError(f"{parts.hostname}: cannot be fetched") from error
        return Fetched(data=data, name=_name(parts))
    raise QueryError(f"{url}: redirected more than {MAX_REDIRECTS} times")


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        named = parts.hostname and (parts.port is None or parts.port > 0)
    except ValueError:
        named = None
    if not named or parts.scheme not in ("http", "https") or parts.username is not None:
        raise QueryError("the URL is not one of a public web server")
    return parts


class _Connection(HTTPConnection):
    """Connected to one address, whatever the name in the URL may mean by now.

    It is cut when time is up: a server that sends a byte now and then would hold a thread for ever.
    """

    def __init__(self, sock: socket.socket, host: str, until: float) -> None:
        super().__init__(host)
        self.sock = sock
        self._limit = Timer(max(0.0, until - monotonic()), _cut, [sock])
        self._limit.daemon = True

    def __enter__(self) -> _Connection:
        self._limit.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._limit.cancel()
        self.close()


def _cut(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _connection(
    parts: SplitResult, allowed: Callable[[Address], bool], until: float
) -> _Connection:
    assert parts.hostname is not None  # noqa: S101 - checked before, for the type checker
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if not addresses or not all(map(allowed, addresses)):
        raise QueryError(f"{parts.hostname} is not a public address")
    plain = socket.create_connection((str(addresses[0]), port), timeout=CONNECT_TIMEOUT_S)
    if parts.scheme == "http":
        return _Connection(plain, parts.netloc, until)
    context = ssl.create_default_context()
    secured = context.wrap_socket(plain, server_hostname=parts.hostname)
    return _Connection(secured, parts.netloc, until)


def _get(connection: _Connection, parts: SplitResult) -> HTTPResponse:
    target = quote(parts.path or "/", safe="%/:=&~+!$,;'@()*[]")
    query = quote(parts.query, safe="%/:=&?~+!$,;'@()*[]")
    connection.request(
        "GET", target + (f"?{query}" if query else ""), headers={"User-Agent": "polyseek"}
    )
    return connection.getresponse()


def _body(response: HTTPResponse, max_bytes: int, until: float) -> bytes:
    blocks: list[bytes] = []
    size = 0
    while block := response.read1(_BLOCK):  # what has come: a full block may take for ever
        blocks.append(block)
        size += len(block)
        if size > max_bytes:
            raise QueryError(f"the URL serves more than {max_bytes:,} bytes")
        if monotonic() > until:
            break
    if monotonic() > until:
        raise QueryError(f"the URL took longer than {TOTAL_TIMEOUT_S:g} s")
    return b"".join(blocks)


def _name(parts: SplitResult) -> str:
    """The file name in a URL; many pictures have none that says so."""
    name = PurePosixPath(unquote(parts.path)).name
    known = decoders()
    return name if suffix_of(name, known) in known else "picture.jpg"
