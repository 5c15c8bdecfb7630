"""hf:// by the hub's real client, against a server on loopback that speaks the hub's protocol."""

from contextlib import contextmanager

import pytest

pytest.importorskip("huggingface_hub")

import polyseek
from hub_fixtures import hub_of_tests
from made_media import png
from polyseek.api import opening
from polyseek.core.errors import SourceError, SourceNotFoundError
from polyseek.ingest.sources import hub as source
from polyseek.testing import FakeEncoder

REPO = "datasets/me/photos"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    from huggingface_hub import HfApi, HfFileSystem

    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    with contextmanager(hub_of_tests)(tmp_path, monkeypatch) as served:
        for name, value in {
            "HF_ENDPOINT": served.endpoint, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)  # for workers
        api = HfApi(endpoint=served.endpoint)
        monkeypatch.setattr("huggingface_hub.HfApi", lambda: api)
        # Every run has one of its own, as it would in a process of its own.
        monkeypatch.setattr(
            source, "filesystem",
            lambda: HfFileSystem(endpoint=served.endpoint, skip_instance_cache=True),
        )  # fmt: skip
        yield served


FILES = {
    "trip/red.png": png("red"),
    "trip/red.png.json": b'{"title": "First"}',
    "trip/green.png": png("green"),
    "note.txt": b"A red car on the road.",
}


def counts(report):
    return report.added, report.updated, report.skipped, report.deleted, len(report.failures)


@pytest.mark.slow
def test_a_data_set_is_indexed_and_kept_up_to_date(hub, tmp_path):
    hub.commit(REPO, FILES)
    opened = polyseek.open(tmp_path / "c", encoder="fake")
    assert counts(opened.add(f"hf://{REPO}", workers=1)) == (3, 0, 0, 0, 0)
    best = opened.search("red", modalities=["image"], show_all=True)[0]
    assert best.uri == f"hf://{REPO}/trip/red.png"
    assert best.metadata["title"] == "First"
    changed = {**FILES, "note.txt": b"A green boat on the sea.", "new.txt": b"rain"}
    del changed["trip/green.png"]
    hub.commit(REPO, changed)
    assert counts(opened.add(f"hf://{REPO}", workers=1)) == (1, 1, 1, 1, 0)
    assert [hit.text for hit in opened.search("boat", mode="text")] == ["A green boat on the sea."]


def test_a_folder_a_revision_and_what_is_not_there(hub, tmp_path):
    first = hub.commit(REPO, FILES)
    hub.commit(REPO, {"other.txt": b"x"})
    listed = [a.path for a in source.HubSource(f"hf://{REPO}@{first}/trip").list()]
    assert sorted(listed) == ["green.png", "red.png"]
    with pytest.raises(SourceNotFoundError, match="no such repository or folder"):
        list(source.HubSource("hf://datasets/nobody/nothing").list())
    hub.private.add(REPO)
    with pytest.raises((SourceError, SourceNotFoundError)):
        list(source.HubSource(f"hf://{REPO}").list())
