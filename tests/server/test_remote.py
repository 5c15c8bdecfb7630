"""`polyseek.connect`: the same search through a server in a process of its own."""

import shutil

import pytest
from PIL import Image

import polyseek
from polyseek.api import opening
from polyseek.core import errors
from polyseek.server.keys import KeyFile, Scope
from polyseek.testing import FakeEncoder

pytestmark = pytest.mark.slow


@pytest.fixture
def local(made, monkeypatch):
    monkeypatch.setattr(opening, "load_encoder", lambda name, settings: FakeEncoder())
    return polyseek.open(made / "photos.polyseek")


def same(there, here):
    assert [(h.id, h.uri, h.modality, h.span, h.text, h.rank) for h in there] == [
        (h.id, h.uri, h.modality, h.span, h.text, h.rank) for h in here
    ]
    assert [h.score for h in there] == pytest.approx([h.score for h in here], abs=1e-5)
    assert (there.no_match, there.coverage) == (here.no_match, here.coverage)
    assert (there.notes, there.retriever) == (here.notes, here.retriever)
    assert [(h.ranks, h.duplicates) for h in there] == [(h.ranks, h.duplicates) for h in here]


def test_the_same_search_as_a_local_collection(live, local, made):
    there = polyseek.connect(f"http://127.0.0.1:{live('-c', str(made / 'photos.polyseek')).port}")
    assert len(there) == len(local) == 5
    assert there.fields() == dict(local.fields())
    assert there.status().assets == {**local.status().assets, **there.status().assets}
    assert [f.reason for f in there.status().failures] == [
        f.reason for f in local.status().failures
    ]
    for query, options in [
        ("a red car", {}),
        ("text:red.png", {"limit": 2}),
        (None, {"filter": "width = 64"}),
        ("red", {"modalities": ["image"], "filter": "width > 10", "group": "segment"}),
        (Image.new("RGB", (20, 20), "blue"), {"limit": 1}),
        (polyseek.query("red", minus="green", weights=[2]), {"modalities": ["image"]}),
    ]:
        same(there.search(query, **options), local.search(query, **options))
    red = made / "photos" / "red.png"
    found = there.search(red, limit=3)
    assert [h.uri for h in found] == [h.uri for h in local.search(red, limit=3)]
    first = there.search("red", modalities=["image"], limit=1)
    assert first.preview(first[0]).mime == "image/jpeg"
    evidence = there.search(polyseek.query("red", "car", any=True), limit=1)[0].evidence
    assert [one.term for one in evidence] == ["red", "car"]


def test_errors_are_those_of_a_local_collection(live):
    there = polyseek.connect(f"http://127.0.0.1:{live().port}")
    with pytest.raises(errors.InvalidFilterError, match="nonsense"):
        there.search("red", filter="nonsense = 1")
    with pytest.raises(errors.QueryError):
        there.search("red", limit=0)
    with pytest.raises(errors.QueryError, match=r"nothere\.png"):
        there.search("./nothere.png")
    with pytest.raises(errors.QueryError, match="got int"):
        there.search(5)


def test_what_connect_refuses(live, tmp_path, made):
    keys = KeyFile(tmp_path / "keys.json")
    key = keys.add("me", scope=Scope.READ)
    shutil.copytree(made / "photos.polyseek", tmp_path / "b")
    server = live(
        "--keys", str(keys.path), "-c", f"a={made / 'photos.polyseek'}", "-c", f"b={tmp_path / 'b'}"
    )
    url = f"http://127.0.0.1:{server.port}"
    with pytest.raises(errors.ServerError, match="API key"):
        polyseek.connect(url)
    with pytest.raises(errors.CollectionNotFoundError, match="a, b"):
        polyseek.connect(url, api_key=key)
    with pytest.raises(errors.CollectionNotFoundError, match="'c'"):
        polyseek.connect(url, api_key=key, collection="c")
    assert len(polyseek.connect(url, api_key=key, collection="b").search("red"))
    server.stop()
    with pytest.raises(errors.ServerError, match="cannot be reached"):
        polyseek.connect(url, api_key=key)
    with pytest.raises(errors.ConfigError, match="http://"):
        polyseek.connect("ftp://x")
