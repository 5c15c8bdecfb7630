"""A server that stops leaves nothing behind."""

import gc
import tempfile

import pytest
from served import ORIGIN
from starlette.testclient import TestClient


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_its_jobs_go_with_it(app_of, temporary):
    app = app_of()
    assert [path.name.startswith("polyseek-jobs-") for path in temporary.iterdir()] == [True]
    with TestClient(app, base_url=ORIGIN) as client:
        assert client.get("/v1/collections").status_code == 200
    assert not list(temporary.iterdir())


def test_so_they_do_where_it_was_made_and_never_started(app_of, temporary):
    app = app_of()
    assert list(temporary.iterdir())
    del app
    gc.collect()
    assert not list(temporary.iterdir())


def test_those_that_workers_share_stay(app_of, temporary, tmp_path_factory):
    shared = tmp_path_factory.mktemp("shared")
    with TestClient(app_of(jobs=shared), base_url=ORIGIN):
        pass
    assert shared.is_dir()
    assert not list(temporary.iterdir())
