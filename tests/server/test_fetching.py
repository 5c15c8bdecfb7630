"""Fetching what a URL in a query names: only what is public, and nothing without an end."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address

import pytest

from polyseek.core.errors import QueryError
from polyseek.server import remote
from polyseek.server.remote import fetch, is_public

ANSWERS = {
    "/red.png": (200, {}, b"PNG"),
    "/picture%20of%20mine.jpeg": (200, {}, b"space"),
    "/asked?size=3": (200, {}, b"three"),
    "/there": (302, {"Location": "/red.png"}, b""),
    "/round": (301, {"Location": "/round"}, b""),
    "/file": (302, {"Location": "file:///etc/passwd"}, b""),
    "/inside": (302, {"Location": "http://10.0.0.1/secret"}, b""),
    "/nowhere": (302, {}, b""),
    "/large": (200, {}, b"x" * 1000),
}


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        status, headers, body = ANSWERS.get(self.path, (404, {}, b""))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def web():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def here_only(address):
    return address.is_loopback


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "2002:7f00:1::", "2002:a00:1::",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1",
    ],
)  # fmt: skip
def test_addresses_inside(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700::1111"])
def test_addresses_of_the_internet(address):
    assert is_public(ip_address(address))


def test_what_a_url_serves(web):
    found = fetch(f"{web}/red.png", max_bytes=3, allowed=here_only)
    assert (found.data, found.name) == (b"PNG", "red.png")
    spaced = fetch(f"{web}/picture of mine.jpeg", max_bytes=99, allowed=here_only)
    assert (spaced.data, spaced.name) == (b"space", "picture of mine.jpeg")
    asked = fetch(f"{web}/asked?size=3", max_bytes=99, allowed=here_only)
    assert (asked.data, asked.name) == (b"three", "picture.jpg")


def test_a_redirect_is_followed(web):
    assert fetch(f"{web}/there", max_bytes=99, allowed=here_only).name == "red.png"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/round", "redirected more than 5 times"),
        ("/file", "not one of a public web server"),
        ("/inside", r"10\.0\.0\.1 is not a public address"),
        ("/nowhere", "answered 302"),
        ("/missing", "answered 404"),
        ("/large", "more than 999 bytes"),
    ],
)
def test_what_is_not_fetched(web, path, says):
    with pytest.raises(QueryError, match=says):
        fetch(web + path, max_bytes=999, allowed=here_only)


def test_nothing_of_this_machine(web):
    with pytest.raises(QueryError, match=r"127\.0\.0\.1 is not a public address"):
        fetch(f"{web}/red.png", max_bytes=99)
    with pytest.raises(QueryError, match="localhost is not a public address"):
        fetch(web.replace("127.0.0.1", "localhost"), max_bytes=99)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:7f00:1]"])
def test_other_spellings_of_this_machine(web, host):
    with pytest.raises(QueryError, match="not a public address|cannot be fetched"):
        fetch(web.replace("127.0.0.1", host) + "/red.png", max_bytes=99)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x.png", "http://", "http:///x.png", "http://user:word@example.org/",
        "http://example.org:0/", "http://example.org:99999/", "http://[::1/", "//example.org/x",
    ],
)  # fmt: skip
def test_what_is_no_url_of_a_web_server(url):
    with pytest.raises(QueryError, match="not one of a public web server"):
        fetch(url, max_bytes=99)


def test_a_name_with_one_address_inside(monkeypatch):
    found = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))
        for address in ("1.1.1.1", "10.0.0.1")
    ]
    monkeypatch.setattr(remote.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(QueryError, match="is not a public address"):
        fetch("http://example.org/red.png", max_bytes=99)


def test_the_address_that_was_checked_is_the_one_asked(web, monkeypatch):
    """A name that means something else when it is looked up again gains nothing."""
    port = int(web.rpartition(":")[2])
    look_up, asked = socket.getaddrinfo, []

    def changing(host, *given, **more):
        if host != "changing.example":
            return look_up(host, *given, **more)
        asked.append(host)
        address = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(remote.socket, "getaddrinfo", changing)
    found = fetch(f"http://changing.example:{port}/red.png", max_bytes=99, allowed=here_only)
    assert found.data == b"PNG"
    assert len(asked) == 1


@pytest.mark.parametrize("begins", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "])
def test_an_answer_that_never_ends(monkeypatch, begins):
    monkeypatch.setattr(remote, "TOTAL_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stop = threading.Event()

        def drip():
            client, _ = listening.accept()
            with client:
                client.sendall(begins)
                while not stop.wait(0.02):
                    try:
                        client.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/x.png"
        try:
            with pytest.raises(QueryError, match="longer than|cannot be fetched"):
                fetch(url, max_bytes=10**9, allowed=here_only)
        finally:
            stop.set()
            thread.join()


def test_a_server_that_is_not_there():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(QueryError, match=r"127\.0\.0\.1: cannot be fetched"):
        fetch(f"http://127.0.0.1:{port}/x.png", max_bytes=99, allowed=here_only)
