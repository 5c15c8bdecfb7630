"""Contact sheets: whole pages that need nothing from elsewhere and run nothing they were given."""

from base64 import b64decode
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO

import pytest
from PIL import Image

from polyseek.core.hits import Account, Clip, Hit, Moment
from polyseek.core.reports import Coverage
from polyseek.core.types import Modality, Span, SpanUnit
from polyseek.search.results import Results
from polyseek.search.sheet import page

VOID = frozenset({"meta", "img", "br", "link", "input"})
EVIL = "<script>alert(1)</script><img src=x onerror=alert(1)>\"'></title></style>&amp;"


class Page(HTMLParser):
    """Reads a page strictly: every tag is closed by its own end tag, in order."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names)
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


JPEG = Clip(mime="image/jpeg", data=b"jpeg")


def hit(**given):
    given = {"id": "1", "uri": "file:///a.jpg", "modality": Modality.IMAGE, "rank": 1} | given
    return Hit(**{"score": 0.5, **given})


def results(*hits, query="a red car", preview=None):
    coverage = Coverage(searched=7, failed=2, pending=1)
    return Results(query=query, hits=hits, coverage=coverage, preview=preview)


@pytest.fixture(params=["page", "notebook"])
def read(request):
    """Reads results as a whole page, and as a notebook shows them."""
    return lambda found: Page(page(found) if request.param == "page" else found._repr_html_())


def test_a_page_is_titled_and_shows_hits_and_coverage(read):
    seen = read(results(hit(), hit(uri="file:///notes/b%20c.txt", text="some words", rank=2)))
    text = " ".join(seen.text)
    assert "a red car" in text
    assert "2 hits; 7 assets searched, 2 failed, 1 pending" in text
    assert "some words" in text
    assert "b c.txt" in seen.text
    assert len(seen.all("li")) == 2
    assert [each["href"] for each in seen.all("a")] == ["file:///a.jpg", "file:///notes/b%20c.txt"]


def test_a_page_is_a_document_and_a_fragment_is_not():
    assert page(results()).startswith("<!doctype html>")
    assert Page(page(results())).all("title") == [{}]
    assert not Page(results()._repr_html_()).all("html")


def test_an_empty_result_is_a_page_too(read):
    seen = read(results())
    assert seen.all("ol") == [{}]
    assert not seen.all("li")
    assert "0 hits" in " ".join(seen.text)


def test_thumbnails_are_inside_the_page(read):
    pictures = {"1": Clip(mime="image/jpeg", data=b"\xff\xd8 one"), "2": None}
    found = results(hit(), hit(id="2", uri="file:///b.jpg"), preview=lambda each: pictures[each.id])
    seen = read(found)
    (image,) = seen.all("img")
    kind, data = image["src"].split(",")
    assert kind == "data:image/jpeg;base64"
    assert b64decode(data) == pictures["1"].data
    assert image["alt"] == "a.jpg"
    assert len(seen.all("blockquote")) == 1


def test_nothing_is_fetched_from_anywhere(read):
    seen = read(results(hit(uri="https://example.org/a.jpg"), preview=lambda _: JPEG))
    assert not seen.all("script")
    assert not seen.all("link")
    for tag, attrs in seen.tags:
        loaded = {name: value for name, value in attrs.items() if name in ("src", "srcset")}
        assert all(value.startswith("data:") for value in loaded.values()), tag
    html = page(results(hit()))
    assert "@import" not in html
    assert "url(" not in html


@pytest.mark.parametrize("preview", [None, lambda _: JPEG], ids=["text", "picture"])
def test_hostile_names_texts_and_queries_are_only_shown(read, preview):
    found = results(hit(uri=f"file:///{EVIL}", text=EVIL), query=EVIL, preview=preview)
    seen = read(found)
    assert not seen.all("script")
    assert EVIL in seen.text
    assert all(not name.startswith("on") for _, attrs in seen.tags for name in attrs)
    assert len(seen.all("img")) == (1 if preview else 0)
    assert [each["href"] for each in seen.all("a")] == [f"file:///{EVIL}"]


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "http://[broken",
        "a.jpg",
    ],
)
def test_only_addresses_of_files_and_pages_become_links(read, uri):
    seen = read(results(hit(uri=uri)))
    assert not seen.all("a")
    assert len(seen.all("li")) == 1


@pytest.mark.parametrize("uri", ["file:///a.jpg", "http://x.org/a.jpg", "https://x.org/?q=a&b"])
def test_ordinary_addresses_are_links(read, uri):
    assert read(results(hit(uri=uri))).all("a") == [{"href": uri}]


def test_names_that_utf8_cannot_hold_can_be_written():
    html = page(results(hit(uri="file:///caf\udce9.jpg", text="\ud800"), query="caf\udce9"))
    assert html.encode().decode() == html
    assert "caf?" in Page(html).text


def test_sounds_and_films_play_inside_the_page(read):
    clips = {"1": Clip(mime="audio/ogg", data=b"OggS"), "2": Clip(mime="video/mp4", data=b"film")}
    span = Span(unit=SpanUnit.SECONDS, start=12, end=22)
    moment = Moment(modality=Modality.AUDIO, score=0.2, span=replace(span, start=65, end=75))
    found = results(
        hit(uri="file:///a.wav", span=span, moments=(moment,)),
        hit(id="2", uri="file:///b.mp4"),
        preview=lambda each: clips[each.id],
    )
    seen = read(found)
    assert seen.all("audio")[0]["src"].startswith("data:audio/ogg;base64,")
    assert seen.all("video")[0]["src"].startswith("data:video/mp4;base64,")
    assert "00:12-00:22, 01:05-01:15" in page(found)


def drawn(width, height):
    """A picture that can be opened, as a preview of every hit."""
    buffer = BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "JPEG")
    return lambda _: Clip(mime="image/jpeg", data=buffer.getvalue())


def test_a_picture_is_darker_where_it_does_not_answer(read):
    account = Account(where=((0.1, 0.9), (0.5, 0.1)))
    shown = read(results(hit(account=account), preview=drawn(300, 100)))
    [picture] = shown.all("image")
    assert picture["href"].startswith("data:image/jpeg;base64,")
    cells = shown.all("rect")
    places = [(float(cell["x"]), float(cell["y"])) for cell in cells]
    assert places == [(100, 0), (150, 0), (100, 50), (150, 50)]  # the middle square of it
    dark = [float(cell["opacity"]) for cell in cells]
    assert dark == [0.75, 0, pytest.approx(0.38, abs=0.01), 0.75]


def test_a_picture_that_answers_everywhere_alike_is_drawn_too(read):
    account = Account(where=((0.5, 0.5), (0.5, 0.5)))
    shown = read(results(hit(account=account), preview=drawn(100, 100)))
    assert {cell["opacity"] for cell in shown.all("rect")} == {"0.00"}


def test_a_recording_has_a_curve_of_its_seconds(read):
    curve = ((0.0, 10.0, 0.2), (10.0, 20.0, 0.8), (20.0, 30.0, 0.5))
    shown = read(results(hit(modality=Modality.AUDIO, account=Account(curve=curve))))
    [line] = shown.all("polyline")
    points = [tuple(map(float, point.split(","))) for point in line["points"].split()]
    assert [x for x, _ in points] == pytest.approx([16.7, 50, 83.3])
    lowest, highest, middle = (y for _, y in points)
    assert highest < middle < lowest  # downwards in SVG
    assert "0.20 to 0.80 over 30 s" in "".join(shown.text)


def test_one_moment_is_no_curve(read):
    account = Account(curve=((0.0, 10.0, 0.2),))
    assert not read(results(hit(modality=Modality.AUDIO, account=account))).all("polyline")
