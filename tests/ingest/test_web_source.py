"""Web folders, single files, manifests and the hub, on a real server of this machine."""

import functools
import json
import pickle
import threading
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO

import pytest

from made_media import png
from polyseek.core.config import IndexOptions
from polyseek.core.errors import (
    AssetError,
    ConfigError,
    SourceError,
    SourceNotFoundError,
    UnknownPluginError,
)
from polyseek.core.types import Asset
from polyseek.ingest.sources import hub
from polyseek.ingest.sources.listing import Entry, assets_of
from polyseek.ingest.sources.locate import open_uri, source_at, uri_of
from polyseek.ingest.sources.selection import Selection
from polyseek.testing.source import SourceConformance


@pytest.fixture
def site(tmp_path):
    """The folder behind a server, and the server's address."""
    root = tmp_path / "site"
    root.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(root)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield root, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def touch(path, content=b"x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def paths(location, **options):
    found = list(source_at(location, IndexOptions(**options)).list())
    return [f.path if isinstance(f, Asset) else f.reason for f in found]


class TestWebFolder(SourceConformance):
    @pytest.fixture(autouse=True)
    def _site(self, site):
        self.root, self.url = site

    def make_source(self, tmp_path):
        touch(self.root / "files" / "photo.jpg", b"\x00\x01\xff" * 50)
        touch(self.root / "files" / "sub" / "it's 50% größe #1.txt", "text")
        touch(self.root / "elsewhere.txt")
        return source_at(f"{self.url}/files/")


class TestManifest(SourceConformance):
    @pytest.fixture(autouse=True)
    def _site(self, site):
        self.root, self.url = site

    def make_source(self, tmp_path):
        touch(self.root / "a b.jpg", b"\x00\x01\xff" * 50)
        touch(tmp_path / "local.txt", "text")
        touch(tmp_path / "urls.txt", f"# mine\n\n{self.url}/a%20b.jpg\nlocal.txt\n")
        return source_at(f"manifest:{tmp_path / 'urls.txt'}")


def test_a_folder_of_a_web_server_is_followed_downwards(site):
    root, url = site
    for name in ("in/a.jpg", "in/a.jpg.json", "in/b/c.txt", "in/.hidden.txt", "out.txt"):
        touch(root / name)
    assert paths(f"{url}/in/") == ["a.jpg", "b/c.txt"]
    assert paths(f"{url}/in/", exclude=["b/"]) == ["a.jpg"]
    assert paths(f"{url}/in/a.jpg") == ["a.jpg"]
    source = source_at(f"{url}/in/")
    (asset,) = [a for a in source.list() if a.path == "a.jpg"]
    touch(root / "in/a.jpg.json", '{"title": "beside"}')
    assert source.detail(asset).metadata == {"title": "beside"}
    with pytest.raises(SourceNotFoundError, match="is not there"):
        paths(f"{url}/nothing/")
    with pytest.raises(SourceNotFoundError, match="is not there"):
        paths(f"{url}/nothing.jpg")
    with pytest.raises(ConfigError, match="password"):
        source_at(f"http://me:secret@{url.removeprefix('http://')}/in/")


def test_a_manifest_brings_metadata_and_names_what_is_missing(site):
    root, url = site
    touch(root / "a.png", png("red"))
    touch(root / "list.csv", f"url,title\n{url}/a.png,Red\nnothing.png,None\n{url}/a.png,Again\n")
    source = source_at(f"{url}/list.csv")
    asset, missing = source.list()
    assert asset.metadata == {"title": "Red"}
    assert isinstance(missing, AssetError)
    assert missing.uri == f"{url}/nothing.png"
    touch(root / "list.jsonl", json.dumps({"uri": "a.png", "tags": ["x"]}))
    (asset,) = source_at(f"{url}/list.jsonl").list()
    assert asset.metadata == {"tags": ["x"]}
    with pickle.loads(pickle.dumps(source)).open(asset) as stream:
        assert stream.read() == png("red")
    assert paths(f"{url}/list.csv", include=["*.jpg"]) == []


def test_one_url_may_differ_from_another_in_its_query_alone(site):
    root, url = site
    touch(root / "image.png", png("red"))
    touch(root / "list.txt", "image.png?id=1\nimage.png?id=2\n".replace("image", f"{url}/image"))
    assert [a.uri for a in source_at(f"{url}/list.txt").list()] == [
        f"{url}/image.png?id=1",
        f"{url}/image.png?id=2",
    ]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("list.csv", "a,b\n1,2\n", "needs a column named 'url'"),
        ("list.jsonl", "{", "cannot be read as a manifest"),
        ("list.parquet", "no parquet", "cannot be read as a manifest"),
        ("list.txt", b"\xff\xfe\xff", "cannot be read as a manifest"),
    ],
)
def test_broken_manifests(site, name, content, told):
    root, url = site
    touch(root / name, content)
    with pytest.raises(SourceError, match=told):
        paths(f"{url}/{name}")


def test_objects_that_stand_for_folders_are_none():
    def entry(path, size=1):
        when = datetime(2026, 1, 1, tzinfo=UTC)
        return Entry(path=path, uri=f"x://{path}", size_bytes=size, modified=when, etag=None)

    entries = [entry("a", 0), entry("a/b", 0), entry("a/b/c.txt"), entry("d", 0), entry("e")]
    found = assets_of(entries, Selection(IndexOptions()), {})
    assert [asset.path for asset in found] == ["d", "e", "a/b/c.txt"]


def test_locations(tmp_path):
    assert uri_of("s3://b/my photo #1.jpg") == "s3://b/my%20photo%20%231.jpg"
    assert uri_of(tmp_path / "a b") == (tmp_path / "a b").as_uri()
    assert uri_of("https://x.org/a%20b") == "https://x.org/a%20b"
    with pytest.raises(UnknownPluginError, match="unknown source 'ftp'; known: .*https"):
        source_at("ftp://host/folder")
    with pytest.raises(SourceError, match="nothing.csv: .* No such file"):
        list(source_at("manifest:nothing.csv").list())
    with pytest.raises(AssetError):
        open_uri((tmp_path / "nothing").as_uri())
    touch(tmp_path / "a.txt")
    assert paths(tmp_path.as_uri()) == ["a.txt"]


class TestHub(SourceConformance):
    """The hub itself is out of reach: its file system is replaced by one in memory."""

    @pytest.fixture(autouse=True)
    def _files(self, monkeypatch):
        import fsspec

        class Files(fsspec.get_filesystem_class("memory")):
            store, pseudo_dirs, cachable = {}, [""], False

            def find(self, path, **options):
                found = super().find(path, **options)
                return {n: {**i, "blob_id": str(hash(self.cat(n)))} for n, i in found.items()}

            def open(self, path, mode="rb", **options):
                file = super().open(path, mode, **options)
                # In memory, all readers of a file share one position.
                return BytesIO(file.getvalue()) if mode == "rb" else file

        self.files = Files()
        monkeypatch.setattr(hub, "filesystem", lambda: self.files)
        monkeypatch.setattr(hub, "_last_change", lambda root: datetime(2026, 1, 1, tzinfo=UTC))

    def make_source(self, tmp_path):
        for name, content in {
            "a.jpg": b"\x00\xff" * 9,
            "a.jpg.json": b"{}",
            "b/c.txt": b"x",
        }.items():
            self.files.pipe(f"/datasets/me/photos@main/{name}", content)
        return source_at("hf://datasets/me/photos@main")

    def change(self, source, asset):
        self.files.pipe(f"/datasets/me/photos@main/{asset.path}", b"other")
        return True
