"""Buckets as sources, on a real server: what is listed, read, retried, and said when it fails."""

import itertools
import json

import obstore
import pytest

import polyseek
from made_media import noise, png, tone
from polyseek.api import opening
from polyseek.core import objects
from polyseek.core.config import IndexOptions
from polyseek.core.errors import (
    AssetError,
    ConfigError,
    QueryError,
    SourceError,
    SourceNotFoundError,
)
from polyseek.core.objects import bucket_of
from polyseek.ingest.preview import preview
from polyseek.ingest.sources.objects import ObjectSource
from polyseek.testing import FakeEncoder
from polyseek.testing.s3 import KEY, SECRET
from s3_fixtures import delete, put

pytestmark = pytest.mark.s3


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())


@pytest.fixture
def quick(monkeypatch):
    """Give up on a server after a second."""
    monkeypatch.setitem(objects._RETRY, "max_retries", 2)


@pytest.fixture
def collection(tmp_path):
    return polyseek.open(tmp_path / "c")


def listed(url, **options):
    return [asset.path for asset in ObjectSource(url, IndexOptions(**options)).list()]


def counts(report):
    return report.added, report.updated, report.skipped, report.deleted, len(report.failures)


def test_rules_of_folders_hold_for_prefixes(s3, bucket):
    for key in ("a/b.txt", "a.txt", "a/.hidden/x.txt", ".x.txt", "c.polyseek/d.txt", "z/f.png",
                "mine/assets.lance/data/1.lance", "mine/segments_text.lance/1.lance"):  # fmt: skip
        put(f"{bucket}/root/{key}", b"x")
    put(f"{bucket}/rootless.txt", b"x")
    assert listed(f"{bucket}/root") == listed(f"{bucket}/root/") == ["a.txt", "a/b.txt", "z/f.png"]
    assert listed(f"{bucket}/root", include=["*.png"]) == ["z/f.png"]
    assert listed(f"{bucket}/root", exclude=["a/", "*.png"]) == ["a.txt"]
    assert listed(f"{bucket}/root/a/b.txt") == ["b.txt"]
    assert listed(bucket) == ["rootless.txt", "root/a.txt", "root/a/b.txt", "root/z/f.png"]
    source = ObjectSource(f"{bucket}/root", IndexOptions(exclude=["a/"]))
    assert source.covers(f"{bucket}/root/new/file.txt")
    for other in ("root/a/b.txt", "rootless.txt", "root/.x.txt", ""):
        assert not source.covers(f"{bucket}/{other}")


def test_a_bucket_is_indexed_incrementally(s3, bucket, collection):
    for name in ("red", "green", "blue"):
        put(f"{bucket}/{name} #1?.png", png(name))
    put(f"{bucket}/note.txt", b"A red car on the road.")
    assert counts(collection.add(bucket, workers=1)) == (4, 0, 0, 0, 0)
    assert counts(collection.add(bucket, workers=1)) == (0, 0, 4, 0, 0)

    put(f"{bucket}/note.txt", b"A green boat on the sea.")
    put(f"{bucket}/yellow.png", png("yellow"))
    delete(f"{bucket}/blue #1?.png")
    obstore.copy(bucket_of(bucket), "red #1?.png", "moved/red.png")
    report = collection.add(bucket, workers=1)
    assert counts(report) == (1, 1, 2, 1, 0)
    assert report.moved == 1  # the same bytes under another name cost no encoding
    found = collection.search("boat", mode="text")
    assert [hit.text for hit in found] == ["A green boat on the sea."]
    names = {hit.metadata["name"] for hit in collection.search("x", modalities=["image"])}
    assert names == {"red #1?.png", "green #1?.png", "yellow.png", "red.png"}

    assert collection.remove(f"{bucket}/moved") == 1
    assert collection.remove(f"{bucket}/red #1?.png") == 1  # as people type it
    assert collection.remove(f"{bucket}/green%20%231%3F.png") == 1  # as results show it


def test_sidecars_subtitles_and_tables_work_as_for_folders(s3, bucket, collection, tmp_path):
    put(f"{bucket}/a/red.png", png("red"))
    put(f"{bucket}/a/red.png.json", json.dumps({"title": "First", "year": 2020}).encode())
    put(f"{bucket}/a/talk.wav", tone(2))
    put(f"{bucket}/a/talk.en.srt", b"1\n00:00:00,500 --> 00:00:01,500\nGood evening.\n")
    put(f"{bucket}/a/bad.png", png("blue"))
    put(f"{bucket}/a/bad.png.json", b"{")
    table = tmp_path / "captions.csv"
    table.write_text("path,caption\na/red.png,A wall\na/nothing.png,Lost\n")
    report = collection.add(bucket, workers=1, metadata=table)
    assert report.added == 3
    (failure,) = report.failures
    assert "sidecar bad.png.json cannot be read" in failure.reason
    found = collection.search("x", filter="year = 2020 AND caption = 'A wall'", show_all=True)
    assert {hit.metadata["title"] for hit in found} == {"First"}
    (heard,) = collection.search("good evening", mode="text")
    assert heard.uri == f"{bucket}/a/talk.wav"

    put(f"{bucket}/a/red.png.json", json.dumps({"title": "Second", "year": 2020}).encode())
    report = collection.add(bucket, workers=1, metadata=table)
    assert (report.updated, report.skipped) == (1, 2)
    found = collection.search("x", filter="year = 2020", show_all=True)
    assert {hit.metadata["title"] for hit in found} == {"Second"}
    with pytest.raises(ConfigError, match="none of its 2 rows"):
        collection.add(f"{bucket}/a", workers=1, metadata=table)


def test_sidecars_of_what_has_not_changed_are_not_read(proxy, bucket, collection):
    for i in range(5):
        put(f"{bucket}/{i}.png", png("red", side=8 + i))
        put(f"{bucket}/{i}.png.json", b'{"title": "x"}')
    collection.add(bucket, workers=1)
    proxy.requests.clear()
    assert collection.add(bucket, workers=1).skipped == 5
    assert len(proxy.requests) <= 2  # the listing, once to see whether there is anything


def test_a_picture_in_a_bucket_is_a_query_and_has_a_preview(s3, bucket, collection):
    put(f"{bucket}/a red.png", png("red"))
    put(f"{bucket}/blue.png", png("blue"))
    collection.add(bucket, workers=1)
    best = collection.search(f"{bucket}/a red.png", modalities=["image"])[0]
    assert best.uri == f"{bucket}/a%20red.png"
    assert best.score == pytest.approx(1, abs=1e-3)
    assert preview(best).mime == "image/jpeg"
    with pytest.raises(QueryError, match="is gone|is not there"):
        collection.search(f"{bucket}/nothing.png")


def test_a_large_object_is_read_where_it_is_read(proxy, bucket):
    put(f"{bucket}/film.mp4", bytes(40 * 1024 * 1024))
    source = ObjectSource(bucket)
    (asset,) = source.list()
    proxy.sent_bytes = 0
    with source.open(asset) as stream:
        stream.read(100)
        stream.seek(-100, 2)
        assert len(stream.read()) == 100
    assert proxy.sent_bytes < 3 * 1024 * 1024


def test_throttling_is_waited_for(proxy, bucket, collection):
    put(f"{bucket}/red.png", png("red"))
    answers = iter([503] * 3)
    proxy.fail = lambda method, path: (s, SLOW_DOWN) if (s := next(answers, 0)) else None
    assert collection.add(bucket, workers=1).added == 1


SLOW_DOWN = (
    "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


def test_one_object_that_cannot_be_had_is_one_failure_and_tried_again(proxy, bucket, collection):
    put(f"{bucket}/red.png", png("red"))
    put(f"{bucket}/gone.png", png("green"))
    proxy.fail = lambda method, path: (404, NO_KEY) if path.endswith("gone.png") else None
    report = collection.add(bucket, workers=1)
    assert (report.added, len(report.failures)) == (1, 1)
    assert "is gone" in report.failures[0].reason
    proxy.fail = lambda method, path: None
    assert counts(collection.add(bucket, workers=1)) == (0, 1, 1, 0, 0)
    assert len(collection) == 2


NO_KEY = "<Error><Code>NoSuchKey</Code><Message>No.</Message></Error>"


def test_an_object_that_changes_under_way_is_not_recorded_as_what_it_was(s3, bucket):
    put(f"{bucket}/a.txt", b"before")
    source = ObjectSource(bucket)
    (asset,) = source.list()
    put(f"{bucket}/a.txt", b"after it")
    with pytest.raises(AssetError, match="changed while it was being read") as caught:
        source.open(asset)
    assert not caught.value.final


def test_a_large_object_that_breaks_off_is_no_broken_file(proxy, bucket, collection, monkeypatch):
    """What a decoder says about half a file must not be taken for the file's fault."""
    put(f"{bucket}/noise.png", noise(1300))  # 5 MB: its first block comes alone
    reads = itertools.count()
    proxy.fail = lambda method, path: (
        (404, NO_KEY) if method == "GET" and path.endswith("noise.png") and next(reads) else None
    )
    report = collection.add(bucket, workers=1)
    (failure,) = report.failures
    assert "is gone" in failure.reason
    proxy.fail = lambda method, path: None
    report = collection.add(bucket, workers=1)
    assert (report.skipped, len(report.failures)) == (0, 0)
    assert len(collection) == 1


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("AWS_ACCESS_KEY_ID", "somebody", "the credentials were refused .*AWS_PROFILE"),
        ("AWS_SECRET_ACCESS_KEY", "wrong-secret", "the credentials were refused"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1", "cannot be reached"),
    ],
)
def test_wrong_settings_are_one_line_without_secrets(
    s3, bucket, collection, monkeypatch, quick, variable, value, told
):
    monkeypatch.setenv(variable, value)
    objects.bucket_of.cache_clear()
    with pytest.raises(SourceError, match=told) as caught:
        collection.add(f"{bucket}/photos", workers=1)
    message = str(caught.value)
    assert message.startswith(f"{bucket}/photos: ")
    for secret in (KEY, SECRET, "wrong-secret", "somebody"):
        assert secret not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "RequestTimeTooSkewed", "this machine's clock is minutes off"),
        (403, "ExpiredToken", "the credentials were refused"),
        (403, "AccessDenied", "these credentials may not do this"),
        (301, "PermanentRedirect", "set AWS_REGION"),
        (503, "SlowDown", "throttling requests"),
        (500, "InternalError", "the server failed"),
    ],
)
def test_what_servers_answer_is_explained(proxy, bucket, quick, status, code, told):
    proxy.fail = lambda method, path: (status, f"<Error><Code>{code}</Code></Error>")
    with pytest.raises(SourceError, match=told):
        list(ObjectSource(bucket).list())


def test_a_missing_bucket_and_an_empty_prefix(s3, bucket, collection):
    with pytest.raises(SourceNotFoundError, match="no such bucket"):
        collection.add(f"{bucket}-missing", workers=1)
    put(f"{bucket}/a.txt", b"x")
    with pytest.raises(SourceError, match="nothing to index"):
        collection.add(f"{bucket}/no/such/prefix", workers=1)
    collection.add(bucket, workers=1)
    delete(f"{bucket}/a.txt")
    with pytest.raises(SourceError, match="lists nothing, but the collection has 1"):
        collection.add(bucket, workers=1)
    assert len(collection) == 1


def test_a_profile_of_the_aws_tools_is_used(s3, bucket, monkeypatch, tmp_path):
    put(f"{bucket}/a.txt", b"x")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL", "AWS_REGION"):
        monkeypatch.delenv(name)
    keys = tmp_path / "keys"
    keys.write_text(f"[work]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    config = tmp_path / "config"
    config.write_text(
        f"[profile work]\nregion = eu-west-1\nendpoint_url = {s3.endpoint}\n"
        "[profile sso]\nsso_session = x\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(keys))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    monkeypatch.setenv("AWS_PROFILE", "work")
    objects.bucket_of.cache_clear()
    assert listed(bucket) == ["a.txt"]
    for profile, told in (("nobody", "no such profile"), ("sso", "export-credentials")):
        monkeypatch.setenv("AWS_PROFILE", profile)
        objects.bucket_of.cache_clear()
        with pytest.raises(ConfigError, match=told):
            listed(bucket)


@pytest.mark.slow
def test_a_listing_that_changes_while_it_is_read_is_read_to_its_end(s3, bucket):
    from concurrent.futures import ThreadPoolExecutor

    names = [f"{i:05}.txt" for i in range(1_300)]  # two pages
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: put(f"{bucket}/all/{name}", b"x"), names))
    found = ObjectSource(f"{bucket}/all").list()
    seen = [next(found)]
    for gone in ("01200.txt", "01250.txt"):
        delete(f"{bucket}/all/{gone}")
    put(f"{bucket}/all/01250-new.txt", b"y")
    put(f"{bucket}/all/00000-before.txt", b"z")
    seen += list(found)
    paths = [asset.path for asset in seen]
    assert len(paths) == len(set(paths))
    assert set(names) - {"01200.txt", "01250.txt"} <= set(paths)
    source = ObjectSource(f"{bucket}/all")
    for asset in seen:
        if asset.path in ("01200.txt", "01250.txt"):  # listed before it went
            with pytest.raises(AssetError, match="is gone") as caught:
                source.open(asset)
            assert not caught.value.final


def test_gs_is_read_by_googles_own_client(google, collection, quick):
    where, url = google
    put(f"{where}/trip/red #1.png", png("red"))
    put(f"{where}/trip/note.txt", b"A red car on the road.")
    put(f"{where}/trip/blue.png", png("blue"))
    assert counts(collection.add(f"{url}/trip", workers=1)) == (3, 0, 0, 0, 0)
    assert counts(collection.add(f"{url}/trip", workers=1)) == (0, 0, 3, 0, 0)
    put(f"{where}/trip/note.txt", b"A green boat on the sea.")
    delete(f"{where}/trip/blue.png")
    assert counts(collection.add(f"{url}/trip", workers=1)) == (0, 1, 1, 1, 0)
    (best,) = collection.search(f"{url}/trip/red #1.png", modalities=["image"])
    assert best.uri == f"{url}/trip/red%20%231.png"
    assert [hit.text for hit in collection.search("boat", mode="text")] == [
        "A green boat on the sea."
    ]
    with pytest.raises(SourceError, match=r"gs://gone.*GOOGLE_APPLICATION_CREDENTIALS"):
        collection.add("gs://gone")
