"""The socket that servers listen on, and connections that say nothing of use."""

import asyncio
import json
import socket
import time
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn

from polyseek.core.errors import ConfigError
from polyseek.server.listening import Connection, bound
from polyseek.server.run import config_of

TIMEOUT_S = 0.6


def test_answers_are_not_held_back():
    """Where a socket is not TCP by name, asyncio leaves Nagle's algorithm on: 40 ms a request."""
    with bound("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)), bound("127.0.0.1", port):
            pass


def test_an_address_of_another_machine_is_named():
    with pytest.raises(ConfigError, match=r"--host 192\.0\.2\.1"), bound("192.0.2.1", 0):
        pass


class Hasty(Connection):
    head_timeout_s = TIMEOUT_S


async def hello(scope, receive, send):
    assert scope["type"] == "http"
    await receive()
    await asyncio.sleep(2 * TIMEOUT_S if scope["path"] == "/slow" else 0)
    headers = [(b"content-length", b"5")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"hello"})


@asynccontextmanager
async def serving():
    config = config_of(hello)
    config.http_protocol_class = config.http = Hasty
    config.lifespan = "off"
    with bound("127.0.0.1", 0) as listening:
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.01)
        yield listening.getsockname()[1]
        server.should_exit = True
        await running


def talk(work):
    async def main():
        async with serving() as port, asyncio.timeout(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                return await work(reader, writer)
            finally:
                writer.close()

    return asyncio.run(main())


async def dribble(writer):
    """A byte of a head now and then, for as long as anybody listens."""
    for letter in b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 10_000:
        writer.write(bytes([letter]))
        await asyncio.sleep(TIMEOUT_S / 10)


async def heard(reader):
    """All that comes; a byte that is sent after the end makes a reset of it."""
    blocks = []
    with suppress(ConnectionResetError):
        while block := await reader.read(65_536):
            blocks.append(block)
    return b"".join(blocks)


@pytest.mark.slow
def test_a_head_that_dribbles_is_refused():
    async def work(reader, writer):
        began = time.monotonic()
        dribbling = asyncio.create_task(dribble(writer))
        answer = await heard(reader)
        dribbling.cancel()
        return answer, time.monotonic() - began

    answer, took_s = talk(work)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408")
    assert b"application/problem+json" in head
    assert json.loads(body)["code"] == "too-slow"
    assert took_s < 10 * TIMEOUT_S


@pytest.mark.slow
def test_a_connection_that_says_nothing_is_closed():
    async def work(reader, writer):
        return await reader.read()

    assert talk(work) == b""


@pytest.mark.slow
def test_a_second_head_that_dribbles_is_refused_and_slow_answers_are_not():
    async def work(reader, writer):
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        first = await reader.readuntil(b"hello")
        dribbling = asyncio.create_task(dribble(writer))
        second = await heard(reader)
        dribbling.cancel()
        return first, second

    first, second = talk(work)
    assert first.startswith(b"HTTP/1.1 200")
    assert second.startswith(b"HTTP/1.1 408")
