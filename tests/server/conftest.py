"""A small collection, an app in this process, and real servers in processes of their own."""

import pytest
from PIL import Image
from served import ORIGIN, servers
from starlette.testclient import TestClient

import polyseek
from polyseek.api import opening
from polyseek.core.config import Settings
from polyseek.server.app import create_app
from polyseek.server.settings import ServerSettings
from polyseek.testing import FakeEncoder


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """A folder and its collection, made once; what changes them takes a copy."""
    root = tmp_path_factory.mktemp("served")
    folder = root / "photos"
    folder.mkdir()
    for colour in ("red", "green", "blue"):
        Image.new("RGB", (64, 48), colour).save(folder / f"{colour}.png")
    (folder / "note.txt").write_text("A red car on the road.")
    (folder / "page.html").write_text("<script>alert(1)</script><p>white walls</p>")
    (folder / "bad.png").write_bytes(b"x")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
        polyseek.open(root / "photos.polyseek", encoder="fake").add(folder, workers=1)
    return root


@pytest.fixture(scope="module")
def app_of(made, tmp_path_factory):
    """Makes an app in this process, with the fake encoder."""

    def make(**changes):
        server = ServerSettings(
            **{"collections": {"photos": str(made / "photos.polyseek")}, "threads": 2, **changes}
        )
        home = tmp_path_factory.mktemp("home")
        return create_app(server, Settings(home=home, offline=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
        yield make


@pytest.fixture(scope="module")
def client(app_of):
    """Of an app that serves `made` to this machine alone."""
    with TestClient(app_of(), base_url=ORIGIN, raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture
def live(tmp_path, made):
    """Starts `polyseek serve` on a copy of `made`; stops what it has started."""
    yield from servers(tmp_path, made)


@pytest.fixture(scope="module")
def shared(tmp_path_factory, made):
    """One server for the tests of a module."""
    starting = servers(tmp_path_factory.mktemp("shared"), made)
    yield next(starting)()
    next(starting, None)
