"""What tests of the server share: a server in a process of its own, and what answers look like."""

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import Image

PLUGIN = Path(__file__).parent / "plugin"
MAIN = "from polyseek.cli import main; main()"
START_S = 240
"""A machine with much else to do takes its time to import everything."""
ORIGIN = "http://127.0.0.1:8000"


def picture(colour, size=(32, 32), kind="PNG"):
    buffer = BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


def problem(response, status, code):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert (body["status"], body["code"]) == (status, code)
    assert "/tmp" not in response.text
    assert "Traceback" not in response.text
    return body["detail"]


@dataclass
class Live:
    """A server in a process of its own."""

    port: int
    process: subprocess.Popen
    log: Path

    def request(self, method, path, body=None, headers=None, timeout=30):
        """Status, headers and body (JSON where it is)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            headers = dict(headers or {})
            if isinstance(body, dict):
                body = json.dumps(body)
                headers.setdefault("Content-Type", "application/json")
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            data = response.read()
            kind = response.headers.get("content-type", "")
            return response.status, response.headers, json.loads(data) if "json" in kind else data
        finally:
            connection.close()

    def search(self, text, name="photos", **more):
        body = {"terms": [{"text": text}], **more}
        return self.request("POST", f"/v1/collections/{name}/search", body)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(30)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(PLUGIN), "POLYSEEK_OFFLINE": "1", **more}


@contextmanager
def raw(port, timeout=30):
    """A plain socket to a server."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as sock:
        yield sock


def servers(tmp_path, made):
    """A function that starts servers; the second step stops them."""
    shutil.copytree(made / "photos.polyseek", tmp_path / "photos.polyseek")
    running = []

    def start(*words, **variables):
        port = free_port()
        log = tmp_path / f"{port}.log"
        command = [sys.executable, "-c", MAIN, "serve", "--port", str(port)]
        if "-c" not in words:
            command += ["-c", str(tmp_path / "photos.polyseek")]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *words], stdout=output, stderr=output, env=environment(**variables),
                cwd=tmp_path,
            )  # fmt: skip
        server = Live(port, process, log)
        running.append(server)
        until = time.monotonic() + START_S
        while time.monotonic() < until:
            assert process.poll() is None, log.read_text()
            try:
                if server.request("GET", "/readyz")[0] == 200:
                    return server
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(log.read_text())

    yield start
    for server in running:
        if server.process.poll() is None:
            server.process.terminate()
            try:
                server.process.wait(20)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
