"""az:// for real: Azure's own emulator holds the files and the collection."""

import pytest

import polyseek
from made_media import png
from polyseek.api import opening
from polyseek.core import objects
from polyseek.core.errors import CollectionBusyError, SourceError, SourceNotFoundError, StoreError
from polyseek.store.lance import LanceStore
from polyseek.testing import FakeEncoder
from s3_fixtures import delete, put

pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    monkeypatch.setitem(objects._RETRY, "max_retries", 2)


@pytest.fixture
def trip(az):
    for colour in ("red", "green"):
        put(f"{az}/trip/{colour} #1.png", png(colour))
    put(f"{az}/trip/note.txt", b"A red car on the road.")
    return f"{az}/trip"


def counts(report):
    return report.added, report.updated, report.skipped, report.deleted, len(report.failures)


def test_files_and_collection_in_a_container(trip, az):
    opened = polyseek.open(f"{az}/c", encoder="fake")
    assert counts(opened.add(trip, workers=1)) == (3, 0, 0, 0, 0)
    put(f"{trip}/blue.png", png("blue"))
    put(f"{trip}/note.txt", b"A green boat on the sea.")
    delete(f"{trip}/green #1.png")
    assert counts(opened.add(trip, workers=1)) == (1, 1, 1, 1, 0)
    for resident in (True, False):
        again = polyseek.open(f"{az}/c", create=False, resident=resident)
        best = again.search("red", modalities=["image"], show_all=True)[0]
        assert best.uri == f"{trip}/red%20%231.png"
        assert [hit.text for hit in again.search("boat", mode="text")] == [
            "A green boat on the sea."
        ]
        assert again.search(f"{trip}/red #1.png", modalities=["image"])[0].uri == best.uri
    assert len(opened.at(1)) == 3
    assert opened.rollback(1).number == 3
    assert {hit.metadata["name"] for hit in opened.search("green", show_all=True)} == {
        "red #1.png", "green #1.png", "note.txt",
    }  # fmt: skip


def test_one_writer_at_a_time(trip, az):
    polyseek.open(f"{az}/c", encoder="fake")
    one, two = LanceStore.open(f"{az}/c"), LanceStore.open(f"{az}/c")
    with one.writing(), pytest.raises(CollectionBusyError), two.writing():
        pass
    with two.writing():
        pass


def test_a_missing_container_and_wrong_keys_are_one_line(trip, az, monkeypatch, tmp_path):
    opened = polyseek.open(tmp_path / "c", encoder="fake")
    with pytest.raises(SourceNotFoundError, match="no such bucket"):
        opened.add("az://nobody-has-this", workers=1)
    with pytest.raises(StoreError, match="no such bucket"):
        polyseek.open("az://nobody-has-this/c", encoder="fake")
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmcgc2VjcmV0")
    objects.bucket_of.cache_clear()
    with pytest.raises(SourceError, match="credentials were refused") as caught:
        opened.add(trip, workers=1)
    assert "d3Jvbmcgc2VjcmV0" not in str(caught.value)
    assert "\n" not in str(caught.value)
