"""Searches over HTTP: every kind of term, both kinds of body, and what is refused."""

import base64
import json

import pytest
from served import picture, problem

from polyseek.core.types import asset_id

SEARCH = "/v1/collections/photos/search"


def ask(client, *terms, **more):
    return client.post(SEARCH, json={"terms": list(terms), **more})


def names(response):
    assert response.status_code == 200, response.text
    return [hit["metadata"]["name"] for hit in response.json()["hits"]]


def test_a_text_finds_pictures_and_texts(client):
    found = ask(client, {"text": "a red car"}, limit=2)
    assert set(names(found)) == {"red.png", "note.txt"}
    hit = found.json()["hits"][0]
    assert hit["asset"] == asset_id(hit["uri"])
    assert client.get(hit["links"]["media"]).status_code == 200
    assert client.get(hit["links"]["preview"]).headers["content-type"] == "image/jpeg"


def test_a_text_that_looks_like_a_path_is_a_text(client, made):
    assert ask(client, {"text": str(made / "photos" / "red.png")}).status_code == 200
    assert ask(client, {"text": "/etc/passwd"}).json()["query"] == "/etc/passwd"


def test_an_inline_file(client):
    data = base64.b64encode(picture("green")).decode()
    assert names(ask(client, {"data": data, "name": "x.png"}, modalities=["image"]))[0] == (
        "green.png"
    )


def test_an_uploaded_file(client):
    options = json.dumps({"modalities": ["image"], "limit": 1})
    found = client.post(
        SEARCH, files={"file": ("any.jpg", picture("blue"))}, data={"request": options}
    )
    assert names(found) == ["blue.png"]
    assert found.json()["query"] == "any.jpg"


def test_several_uploaded_files_are_terms(client):
    asked = {"terms": [{"file": "not", "weight": -1}], "modalities": ["image"], "any": True}
    found = client.post(
        SEARCH,
        files={"this": ("a.png", picture("red")), "not": ("b.png", picture("blue"))},
        data={"request": json.dumps(asked)},
    )
    assert names(found)[0] == "red.png"
    missing = client.post(
        SEARCH,
        files={"this": ("a.png", picture("red"))},
        data={"request": json.dumps({"terms": [{"file": "that"}]})},
    )
    assert "that" in problem(missing, 400, "invalid-query")


def test_more_like_an_asset(client, made):
    uri = (made / "photos" / "green.png").as_uri()
    same = ask(client, {"asset": asset_id(uri)}, modalities=["image"], limit=1)
    assert names(same) == names(ask(client, {"uri": uri}, modalities=["image"], limit=1))
    assert names(same) == ["green.png"]
    segment = same.json()["hits"][0]["id"]
    assert names(ask(client, {"asset": asset_id(uri), "segment": segment}, limit=1))
    problem(ask(client, {"asset": asset_id(uri), "segment": "0" * 32}), 404, "unknown-asset")
    problem(ask(client, {"uri": "file:///etc/passwd"}), 404, "unknown-asset")


def test_a_vector(client):
    red = [1.0, 0, 0, 0, 0, 0, 0]
    assert names(ask(client, {"vector": red}, modalities=["image"], limit=1)) == ["red.png"]
    assert names(ask(client, {"vector": red}, limit=2)) == ["red.png", "note.txt"]
    both = {"vector": red, "tower": [1.0] * 64}
    assert len(names(ask(client, both))) > 1
    assert "7" in problem(ask(client, {"vector": [1.0]}), 400, "invalid-query")
    problem(ask(client, {"vector": [0.0] * 7}), 400, "invalid-query")
    problem(ask(client, {"vector": red, "modality": "audio"}), 400, "invalid-query")


def test_weights_and_unwanted_terms(client):
    terms = [{"text": "red", "weight": 2}, {"text": "green", "weight": -1}]
    found = ask(client, *terms, modalities=["image"], explain=True)
    assert names(found)[0] == "red.png"
    assert [e["weight"] for e in found.json()["hits"][0]["terms"]] == [2, -1]
    assert found.json()["plan"][0]["modality"] == "image"
    problem(ask(client, {"text": "red", "weight": -1}), 400, "invalid-query")


def test_pages(client):
    whole = names(ask(client, {"text": "red"}, show_all=True, limit=4))
    pages = [
        names(ask(client, {"text": "red"}, show_all=True, limit=2, offset=offset))
        for offset in (0, 2)
    ]
    assert pages[0] + pages[1] == whole
    ranks = ask(client, {"text": "red"}, limit=1, offset=1).json()["hits"]
    assert [hit["rank"] for hit in ranks] == [2]


def test_segments_by_themselves(client):
    assert len(names(ask(client, {"text": "red"}, group="segment", show_all=True))) >= 4


def test_filters(client):
    assert names(ask(client, {"text": "red"}, filter="name = 'blue.png'")) == ["blue.png"]
    assert "does not parse" in problem(
        ask(client, {"text": "red"}, filter="name ="), 400, "invalid-filter"
    )
    problem(ask(client, {"text": "red"}, filter="nonsense = 1"), 400, "invalid-filter")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"terms": [{"text": "red"}], "limit": 0}, "body.limit"),
        ({"terms": [{"text": "red"}], "limit": 10**6}, "body.limit"),
        ({"terms": [{"text": "red", "extra": 1}]}, "body.terms.0.text.extra"),
        ({"terms": [{"nothing": 1}]}, "body.terms.0"),
        ({"terms": [{"text": " "}]}, "body.terms.0.text.text"),
        ({"terms": [{"data": "%%%"}]}, "body.terms.0.data.data"),
        ({"terms": [{"text": "red"}], "surprise": 1}, "body.surprise"),
        ({"terms": [{"text": "red"}], "modalities": ["smell"]}, "body.modalities.0"),
    ],
)
def test_what_does_not_follow_the_schema(client, body, where):
    answer = client.post(SEARCH, json=body)
    problem(answer, 422, "invalid-request")
    assert answer.json()["errors"][0]["where"] == where


def test_bodies_that_are_none(client):
    problem(client.post(SEARCH), 415, "unsupported-body")
    problem(client.post(SEARCH, content=b"red", headers={"content-type": "text/plain"}), 415,
            "unsupported-body")  # fmt: skip
    broken = client.post(SEARCH, content=b"{", headers={"content-type": "application/json"})
    problem(broken, 422, "invalid-request")
    broken = client.post(SEARCH, content=b"x", headers={"content-type": "multipart/form-data"})
    assert broken.status_code == 400
    assert broken.headers["content-type"] == "application/problem+json"
    problem(ask(client), 400, "invalid-query")


def test_files_that_cannot_be_decoded(client):
    def send(name, data):
        return client.post(SEARCH, files={"file": (name, data)})

    problem(send("x.png", b"nothing"), 422, "undecodable-media")
    problem(send("x.exe", b"MZ"), 415, "unsupported-media")
    problem(send("x.png", b""), 422, "undecodable-media")
    assert send("../../etc/passwd.png", picture("red")).json()["query"] == "passwd.png"


def test_a_decompression_bomb_is_refused(client):
    """100,000 x 100,000 pixels in a few kilobytes: 30 GB if anybody decoded them."""
    import struct
    import zlib

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(
            ">I", zlib.crc32(kind + data)
        )  # fmt: skip

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    bomb += chunk(b"IDAT", zlib.compress(b"\0" * 1_000_000)) + chunk(b"IEND", b"")
    answer = client.post(SEARCH, files={"file": ("bomb.png", bomb)})
    problem(answer, 422, "undecodable-media")
    assert ask(client, {"text": "red"}).status_code == 200


def test_a_crashing_decoder_costs_one_request(client, monkeypatch):
    state = client.app.state.polyseek
    worker = state.aside._idle.get()
    worker.kill()
    state.aside._idle.put(worker)
    first = client.post(SEARCH, files={"file": ("x.png", picture("red"))})
    assert first.status_code in (200, 422)
    assert client.post(SEARCH, files={"file": ("x.png", picture("red"))}).status_code == 200


def test_urls_are_refused(client):
    detail = problem(ask(client, {"uri": "http://example.org/x.jpg"}), 403, "urls-not-allowed")
    assert "example" not in detail


def test_a_stream_ends_with_the_answer(client):
    with client.stream(
        "POST", f"{SEARCH}/stream", json={"terms": [{"text": "a red car"}], "limit": 2}
    ) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in response.iter_lines()]
    assert [line["final"] for line in lines] == [False, True]
    whole = ask(client, {"text": "a red car"}, limit=2).json()
    assert lines[-1]["hits"] == whole["hits"]
    assert lines[0]["hits"]


def test_a_stream_tells_of_problems(client):
    refused = client.post(f"{SEARCH}/stream", json={"terms": 1})
    problem(refused, 422, "invalid-request")
    late = client.post(f"{SEARCH}/stream", json={"terms": [{"text": "x"}], "filter": "="})
    assert json.loads(late.text)["problem"]["code"] == "invalid-filter"
    assert client.post("/v1/collections/none/search/stream", json={}).status_code == 404


def test_no_query_in_the_log(client, caplog):
    caplog.set_level("INFO")
    ask(client, {"text": "secretword"})
    client.get("/v1/collections?q=secretword")
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("polyseek")]
    assert any("/v1/collections/photos/search" in line for line in ours)
    assert not any("secretword" in line for line in ours)


def test_a_filter_alone_lists_by_path(client):
    def listed(**asked):
        answer = client.post(SEARCH, json=asked).json()
        return [hit["metadata"]["path"] for hit in answer["hits"]], answer

    names, answer = listed(filter="width = 64")
    assert names == ["blue.png", "green.png", "red.png"]
    assert not answer["no_match"]
    assert answer["hits"][0]["probability"] is None
    assert client.get(answer["hits"][0]["links"]["preview"]).status_code == 200
    assert listed(filter="width = 64", limit=1, offset=1)[0] == ["green.png"]
    assert listed(modalities=["text"])[0] == ["note.txt", "page.html"]
    assert listed(filter="width > 64")[1]["no_match"]
    problem(client.post(SEARCH, json={"filter": "colour = 1"}), 400, "invalid-filter")
    problem(client.post(SEARCH, json={}), 400, "invalid-query")
