"""The page's HTML and its form, in this process."""

import pytest
from served import ORIGIN, picture
from starlette.datastructures import QueryParams
from starlette.testclient import TestClient

from polyseek.core.errors import InvalidFilterError
from polyseek.core.types import Modality, asset_id
from polyseek.server.keys import KeyFile, Scope
from polyseek.server.links import Links
from polyseek.server.page_query import MAX_SHOWN, PAGE_SIZE, read_fields
from polyseek.server.page_shell import render
from polyseek.server.page_view import (
    NAMES,
    ONE,
    PASSAGE_CHARS,
    card_of,
    likely,
    passage,
    stems,
    value_of,
)

pytestmark = pytest.mark.slow

FRAGMENT = {"HX-Request": "true"}


def asked(query):
    return read_fields(QueryParams(query))


def key(made, name):
    return asset_id((made / "photos" / name).as_uri())


def test_the_start_page_shows_what_there_is(client):
    page = client.get("/")
    assert page.status_code == 200
    for name in ("red.png", "green.png", "blue.png", "note.txt"):
        assert name in page.text
    assert "unsafe-inline" not in page.headers["content-security-policy"]
    assert "<style" not in page.text
    assert " style=" not in page.text
    assert page.text.count("<script") == 2


def test_texts_are_escaped(client):
    page = client.get("/c/photos", params={"q": '"><script>alert(1)</script>'})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text


def test_a_fragment_has_its_address(client):
    part = client.post("/c/photos", data={"q": "red car", "modality": "image"}, headers=FRAGMENT)
    assert part.headers["hx-push-url"] == "/c/photos?q=red+car&modality=image"
    assert "<html" not in part.text
    assert "red.png" in part.text
    assert "note.txt" not in part.text
    assert 'id="said"' in part.text


def test_words_are_marked(client):
    assert "<mark>red</mark>" in client.get("/c/photos", params={"q": "red cars"}).text


def test_a_file_is_a_term(client):
    sent = {"file": ("mine.png", picture("red"), "image/png")}
    part = client.post("/c/photos", files=sent, data={"q": ""}, headers=FRAGMENT).text
    assert part.index("red.png") < part.index("blue.png")
    broken = {"file": ("mine.png", b"no picture", "image/png")}
    refused = client.post("/c/photos", files=broken, headers=FRAGMENT)
    assert refused.status_code == 422
    assert 'role="alert"' in refused.text
    assert "/tmp" not in refused.text


def test_like_and_unlike(client, made):
    more = client.get("/c/photos", params={"more": key(made, "red.png"), "q": "blue"})
    assert "like <b>red.png</b>" in more.text
    assert 'value="blue"' not in more.text
    unknown = client.get("/c/photos", params={"like": "0" * 32})
    assert unknown.status_code == 404
    assert client.get("/c/photos", params={"like": "../etc"}).status_code == 404


def test_a_wrong_filter_is_told(client):
    page = client.get("/c/photos", params={"q": "red", "filter": "width >> 3"})
    assert page.status_code == 400
    assert "That did not work" in page.text


def test_filters_are_made_of_fields(client):
    panel = client.get("/c/photos/filters").text
    assert 'name="f:width:min"' in panel
    found = client.get("/c/photos", params={"q": "red", "f:width:min": "65"})
    assert "passes these filters" in found.text


def test_a_filter_alone_lists_what_passes(client):
    page = client.get("/c/photos", params={"f:width:min": "64", "limit": "2"})
    assert "blue.png" in page.text
    assert "note.txt" not in page.text
    assert '<span class="what" title="red.png">' not in page.text
    assert "Show more" in page.text
    assert "similar" not in page.text
    assert "by path" in page.text
    part = client.post("/c/photos", data={"modality": "text"}, headers=FRAGMENT)
    assert part.headers["hx-push-url"] == "/c/photos?modality=text"
    assert "2 listed." in part.text
    nothing = client.get("/c/photos", params={"f:width:min": "65"}).text
    assert "passes these filters" in nothing


def test_an_asset_in_full(client, made):
    page = client.get(f"/c/photos/assets/{key(made, 'red.png')}")
    assert "<dt>width</dt><dd>64</dd>" in page.text
    failed = client.get(f"/c/photos/assets/{key(made, 'bad.png')}", headers=FRAGMENT).text
    assert "<b>failed</b>" in failed
    assert "<html" not in failed
    text = client.get(f"/c/photos/assets/{key(made, 'page.html')}").text
    assert "<script>alert" not in text
    assert client.get("/c/photos/assets/nothing").status_code == 404


def test_status_and_report(client):
    status = client.get("/c/photos/status").text
    assert "bad.png" in status
    assert "Run the doctor" in client.get("/c/photos/report").text
    assert client.get("/c/other/status").status_code == 404
    assert "<html" in client.get("/c/other").text


def test_the_doctor_reports(client):
    part = client.post("/c/photos/report", headers=FRAGMENT)
    assert part.status_code == 200
    assert "Coverage" in part.text
    assert " style=" not in part.text


def test_a_key_is_asked_for_and_kept(app_of, tmp_path):
    keys = tmp_path / "keys.json"
    secret = KeyFile(keys).add("me", scope=Scope.READ)
    with TestClient(app_of(keys=keys), base_url=ORIGIN) as client:
        looks = {"Accept": "text/html"}
        assert "API key" in client.get("/", headers=looks).text
        assert client.get("/").status_code == 401
        assert client.post("/login", data={"key": "wrong"}).status_code == 401
        assert "red.png" in client.post("/login", data={"key": secret}).text
        assert "red.png" in client.get("/c/photos").text
        assert client.post("/c/photos/report").status_code == 403


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("q=a+red+car+-+rain", [("a red car", 1), ("rain", -1)]),
        ("q=red-hot", [("red-hot", 1)]),
        ("q=-+rain", [("rain", -1)]),
        ("q=++", []),
    ],
)
def test_terms_as_on_the_command_line(query, terms):
    assert [(t.text, t.weight) for t in asked(query).request([]).terms] == terms


def test_conditions():
    one = asked("f:a%22b:is=it's&f:year:min=2020&f:day:to=2020-01-02&f:on:true=no&filter=x+>+1")
    assert one.filter() == (
        '"a""b" ILIKE \'%it\'\'s%\' AND "year" >= 2020 AND '
        '"day" <= \'2020-01-02T23:59:59\' AND "on" = false AND (x > 1)'
    )
    assert asked(one.url("").removeprefix("?")) == one
    for wrong in ("f:year:min=old", "f:year:drop=1"):
        with pytest.raises(InvalidFilterError):
            asked(wrong).filter()


def test_buttons_change_what_is_asked():
    assert asked("like=a&less=a").unlike == ["a"]
    assert asked("like=a&less=a").like == []
    assert asked("like=a&unlike=b&drop=b&plus=c").like == ["a", "c"]
    assert asked("limit=99999").limit == MAX_SHOWN
    assert asked("limit=-1").limit == PAGE_SIZE
    assert asked("all=48").show_all
    assert asked("all=48").limit == 48


@pytest.mark.parametrize("modality", list(Modality))
def test_every_modality_has_a_tile_and_a_page_of_its_own(modality):
    assert set(NAMES) == set(ONE) == set(Modality)
    hit = {"uri": "file:///x/y.bin", "modality": str(modality), "span": None, "text": None}
    links = Links("photos", show_files=True)
    hit = links.hit({**hit, "id": "a" * 32, "duplicates": [], "metadata": {"width": 64}})
    card = card_of(hit, set())
    around = {"name": "photos", "asked": asked(""), "found": None, "browsed": True}
    tile = render("card.html", card=card, **around).body.decode()
    assert f"y.bin, {ONE[modality]}" in tile
    failed = {"name": "y.bin", "reason": "", "status": "indexed"}
    page = render("asset.html", card=card, failed=failed, media=hit["links"]["media"], **around)
    pictures = b"<img" in page.body
    assert pictures == (modality in ("image", "audio", "depth", "thermal"))
    assert b"None" not in page.body


def test_values_as_people_read_them():
    assert value_of("size_bytes", 112525) == "112,525"
    assert value_of("width", 112525) == "112525"
    assert value_of("tags", ["a", "b"]) == "a, b"
    assert value_of("modified", "2026-11-29T10:35:46.068146+02:00") == "2026-11-29 08:35 UTC"
    assert value_of("title", "2026-11-29T10:35") == "2026-11-29T10:35"
    assert value_of("on", value=True) == "True"


def test_an_error_has_a_way_back(client):
    wrong = client.get("/c/photos", params={"filter": "width >> 3"}).text
    assert '<a href="/c/photos">Back' in wrong
    unknown = client.get("/c/other").text
    assert '<a href="/">Back' in unknown
    assert "/c/other" not in unknown


def test_probabilities_in_words():
    said = [likely(p) for p in (None, 0.0, 0.3, 0.5, 0.7, 1.0)]
    assert said[0] == "not rated"
    assert said[1:] == ["unlikely", "possible", "likely", "very likely", "almost certain"]
    hit = {"asset": "a", "id": "b", "uri": "file:///x/y.png", "modality": "image"}
    card = card_of({**hit, "probability": 1.0, "span": None, "text": None, "metadata": {}}, set())
    assert (card.name, card.percent) == ("y.png", "99 %")


def test_a_passage_starts_near_the_first_wanted_word():
    text = "word " * 200 + "the harbour <b>at night " + "word " * 200
    pieces = list(passage(text, stems("old harbours")))
    shown = "".join(piece for piece, _ in pieces)
    assert [piece for piece, wanted in pieces if wanted] == ["harbour"]
    assert shown.startswith("… ")
    assert len(shown) <= PASSAGE_CHARS + 4
    assert list(passage("", stems("x"))) == [("", False)]
