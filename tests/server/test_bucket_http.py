"""A collection in a bucket of assets in a bucket, behind a server."""

import pytest
from served import ORIGIN, picture, problem
from starlette.testclient import TestClient

import polyseek
from polyseek.api import opening
from polyseek.core.errors import ConfigError
from polyseek.core.types import asset_id
from polyseek.server.media import range_of
from polyseek.server.problems import ProblemError
from polyseek.testing import FakeEncoder
from s3_fixtures import delete, put

NAME = "a b#1.png"


@pytest.fixture
def bucketed(s3, bucket, app_of, monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    large = "\n".join(f"line {i} about something" for i in range(120_000)).encode()
    put(f"{bucket}/photos/{NAME}", picture("red"))
    put(f"{bucket}/photos/page.html", b"<script>alert(1)</script><p>white walls</p>")
    put(f"{bucket}/photos/large.bin.png", large)  # no picture, and more than is fetched at once
    polyseek.open(f"{bucket}/c", encoder="fake").add(f"{bucket}/photos", workers=1)
    app = app_of(collections={"c": f"{bucket}/c"})
    with TestClient(app, base_url=ORIGIN, raise_server_exceptions=False) as client:
        yield client, bucket, large


def media(bucket, quoted):
    return f"/v1/collections/c/assets/{asset_id(f'{bucket}/photos/{quoted}')}/media"


@pytest.mark.s3
def test_search_and_media_from_a_bucket(bucketed):
    client, bucket, large = bucketed
    found = client.post(
        "/v1/collections/c/search", json={"terms": [{"text": "red"}], "modalities": ["image"]}
    ).json()["hits"][0]
    assert found["uri"] == f"{bucket}/photos/a%20b%231.png"
    whole = client.get(found["links"]["media"])
    assert (whole.status_code, whole.content) == (200, picture("red"))
    assert whole.headers["content-type"] == "image/png"
    assert "a%20b%231.png" in whole.headers["content-disposition"]
    assert "sandbox" in whole.headers["content-security-policy"]
    assert client.get(found["links"]["preview"]).headers["content-type"] == "image/jpeg"
    page = client.get(media(bucket, "page.html"))
    assert page.headers["content-type"].startswith("text/plain")

    url = media(bucket, "large.bin.png")
    assert client.get(url).content == large
    for wanted, part in [
        ("bytes=0-9", large[:10]),
        (f"bytes={len(large) - 3}-", large[-3:]),
        ("bytes=-5", large[-5:]),
        ("bytes=1500000-2200000", large[1_500_000:2_200_001]),
    ]:
        answer = client.get(url, headers={"Range": wanted})
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["content-length"] == str(len(part))
        assert answer.headers["content-range"].endswith(f"/{len(large)}")
    beyond = client.get(url, headers={"Range": f"bytes={len(large)}-"})
    problem(beyond, 416, "no-such-range")
    assert beyond.headers["content-range"] == f"bytes */{len(large)}"
    changed = client.get(url, headers={"Range": "bytes=0-9", "If-Range": '"an older one"'})
    assert (changed.status_code, changed.content) == (200, large)

    delete(f"{bucket}/photos/{NAME}")
    problem(client.get(found["links"]["media"]), 404, "no-media")


@pytest.mark.s3
def test_media_of_a_server_that_is_gone(bucketed, monkeypatch):
    from obstore.exceptions import GenericError

    from polyseek.ingest.sources import remote

    client, bucket, _ = bucketed

    def unreachable(*_):
        raise GenericError("error sending request")

    monkeypatch.setattr(remote, "client_of", lambda uri: (None, ""))
    monkeypatch.setattr("obstore.head", unreachable)
    problem(client.get(media(bucket, "page.html")), 502, "unreachable-media")


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (None, None),
        ("bytes=-", None),
        ("bytes=3-2", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 5000 + "-", None),
        ("bytes=0-0", range(1)),
        ("bytes=4-99", range(4, 10)),
        ("bytes=-99", range(10)),
        ("bytes=9-", range(9, 10)),
    ],
)
def test_ranges(wanted, expected):
    assert range_of(wanted, 10) == expected


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=-0", "bytes=99-100"])
def test_ranges_that_are_not_there(wanted):
    with pytest.raises(ProblemError) as refused:
        range_of(wanted, 10)
    assert refused.value.status == 416


def test_what_minus_c_may_name(tmp_path, monkeypatch):
    from polyseek.cli.serve import named_collections

    monkeypatch.chdir(tmp_path)
    assert named_collections(
        ["s3://b/photos.polyseek", "x=s3://b/year=2020", "gs://alone", "y=a=b"]
    ) == {
        "photos": "s3://b/photos.polyseek",
        "x": "s3://b/year=2020",
        "alone": "gs://alone",
        "y": str(tmp_path / "a=b"),
    }
    assert named_collections(["photos.polyseek"]) == {"photos": str(tmp_path / "photos.polyseek")}
    with pytest.raises(ConfigError, match="write -c NAME=s3://b/year=2020"):
        named_collections(["s3://b/year=2020"])
    with pytest.raises(ConfigError, match="twice"):
        named_collections(["s3://b/a", "s3://c/a"])
