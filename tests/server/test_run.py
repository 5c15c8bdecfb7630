"""The socket that the server listens on."""

import socket

import pytest

from polyseek.core.errors import ConfigError
from polyseek.server.run import _bound
from polyseek.server.settings import ServerSettings


def settings(port):
    return ServerSettings(collections={}, host="127.0.0.1", port=port)


def test_answers_are_not_held_back():
    """Where a socket is not TCP by name, asyncio leaves Nagle's algorithm on: 40 ms a request."""
    with _bound(settings(0)) as listening:
        assert listening.proto == socket.IPPROTO_TCP


def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)), _bound(settings(port)):
            pass
