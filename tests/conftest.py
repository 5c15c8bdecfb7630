"""Fixtures shared by the whole suite: a private model cache and no settings from outside."""

import pytest

from polyseek.core.config import Settings

pytest_plugins = ["az_fixtures", "s3_fixtures"]


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for name in ("POLYSEEK_COLLECTION", "POLYSEEK_THREADS", "POLYSEEK_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path / "home", offline=True)
