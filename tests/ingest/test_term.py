import http.server
import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from polyseek.core.errors import AssetError, DecodeError, QueryError, UnsupportedMediaError
from polyseek.core.types import Modality
from polyseek.ingest import term as term_module
from polyseek.ingest.term import MAX_PIECES, MAX_TEXT_CHARS, read_query
from polyseek.testing import FakeEncoder


def picture_bytes(size=(40, 20), kind="PNG", **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, (255, 0, 0)).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a few files."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "red.png").write_bytes(picture_bytes())
    (tmp_path / "my photo.png").write_bytes(picture_bytes())
    (tmp_path / "note.txt").write_text("a dog in the snow")
    (tmp_path / "rows.csv").write_text("caption,n\nfirst,1\nsecond,2\n")
    (tmp_path / "data.bin").write_bytes(b"x")
    (tmp_path / "album").mkdir()
    return tmp_path


def test_a_special_ending_counts_where_the_encoder_has_the_tower(folder):
    (folder / "yard.thermal.png").write_bytes(picture_bytes())
    assert read_query("yard.thermal.png").modality is Modality.THERMAL
    assert read_query("yard.thermal.png", encoder=FakeEncoder().info).modality is Modality.IMAGE
    with pytest.raises(QueryError, match="no such file"):
        read_query("walk.imu.csv", encoder=FakeEncoder().info)


# texts


@pytest.mark.parametrize(
    "text",
    [
        "a red car",
        "and/or in a sentence",
        "what is TCP/IP, in short?",
        "~5 dogs",
        "~nobody",
        "red",
        "node.js",
        "her photo.png",  # a description of one, perhaps
        "ftp: what is it",
        "https://example.org is a site",
        "a\0b",
        "Köln 😀",
        "...",
    ],
)
def test_what_names_no_file_is_text(folder, text):
    query = read_query(text)
    assert (query.modality, query.signals[0], query.label) == (Modality.TEXT, text, text)


def test_the_prefix_forces_text(folder):
    for text in ("red.png", "cats/dogs", "http://127.0.0.1/a.png", "text:x", " spaced "):
        query = read_query(f"text:{text}")
        assert (query.modality, query.signals[0]) == (Modality.TEXT, text)


@pytest.mark.parametrize("text", ["", "  \n", "text:", "text:  "])
def test_an_empty_query_says_what_is_expected(text):
    with pytest.raises(QueryError, match="the query is empty; give a text, or a path"):
        read_query(text)


def test_a_very_long_text_is_cut_to_what_encoders_look_at(folder):
    query = read_query("dog " * 100_000)
    assert query.signals[0] == ("dog " * 100_000)[:MAX_TEXT_CHARS]
    (folder / "book.txt").write_text("dog " * 100_000)
    assert len(read_query("book.txt").signals) == MAX_PIECES


def test_bytes_of_the_command_line_that_are_no_utf8_become_replacement_marks():
    assert read_query(os.fsdecode(b"a \xff dog")).signals[0] == "a � dog"


# files


def test_an_existing_file_is_read_with_or_without_a_slash(folder):
    for term in ("red.png", "./red.png", "my photo.png", str(folder / "red.png")):
        query = read_query(term)
        assert query.modality is Modality.IMAGE
        assert query.signals[0].size == (40, 20)
        assert query.label == str(Path(term))
    assert read_query(folder / "red.png").modality is Modality.IMAGE
    assert read_query("note.txt").signals[0] == "a dog in the snow"
    assert read_query("rows.csv").signals[0] == "first"


def test_a_tilde_is_the_home_folder(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    assert read_query("~/red.png").modality is Modality.IMAGE
    assert read_query(Path("~/red.png")).modality is Modality.IMAGE


@pytest.mark.parametrize(
    "term", ["no/such.png", "./gone.png", "/gone.png", "~/gone", "cats/dogs", "blau.png", "A.MP4"]
)
def test_a_path_to_nothing_names_the_way_to_search_for_it_as_text(folder, term):
    shown = str(Path(term))
    with pytest.raises(QueryError) as caught:
        read_query(term)
    assert str(caught.value) == (
        f"{shown}: no such file; write text:{shown} to search for it as text"
    )


@pytest.mark.parametrize(
    "term", ["a/" * 5000, "a/\0", "~nobody-of-that-name/a.png", "/" + "x" * 300]
)
def test_an_impossible_path_is_no_such_file(folder, term):
    with pytest.raises(QueryError, match="no such file"):
        read_query(term)


@pytest.mark.parametrize("term", ["album/", "./album", "/", Path("album")])
def test_a_folder_is_refused(folder, term):
    with pytest.raises(QueryError, match="is a folder; a query is one file, or text:"):
        read_query(term)


def test_a_file_that_cannot_be_decoded_says_why(folder):
    with pytest.raises(UnsupportedMediaError, match="'.bin' files are not supported"):
        read_query("data.bin")
    (folder / "broken.png").write_bytes(picture_bytes()[:40])
    (folder / "empty.txt").write_bytes(b"")
    for name in ("broken.png", "empty.txt"):
        with pytest.raises(DecodeError, match=name):
            read_query(name)


def test_an_unreadable_file_is_a_query_error(folder, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(QueryError, match=r"red\.png: cannot be read: Permission denied"):
        read_query("red.png")


# pictures and other objects


def test_a_pil_picture_of_any_mode_is_upright_rgb_on_white():
    clear = read_query(Image.new("RGBA", (8, 4), (0, 0, 0, 0)))
    assert (clear.modality, clear.label, clear.signals[0].mode) == (Modality.IMAGE, "image", "RGB")
    assert clear.signals[0].getpixel((0, 0)) == (255, 255, 255)
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(picture_bytes(kind="JPEG", exif=exif))) as photo:
        assert read_query(photo).signals[0].size == (20, 40)


def test_a_pil_picture_that_is_broken_or_empty_is_a_query_error():
    with pytest.raises(QueryError, match="has no pixels: it is 0 x 5"):
        read_query(Image.new("RGB", (0, 5)))
    noise = io.BytesIO()
    Image.effect_noise((200, 200), 90).save(noise, "JPEG")
    with (
        Image.open(io.BytesIO(noise.getvalue()[:2000])) as cut,
        pytest.raises(QueryError, match="the picture cannot be decoded: "),
    ):
        read_query(cut)


@pytest.mark.parametrize("term", [None, 5, b"dog", ["dog"], np.zeros((4, 4, 3), np.uint8)])
def test_other_types_are_named(term):
    name = type(term).__name__
    with pytest.raises(QueryError, match=f"expected a text, a path or a PIL image, got {name}"):
        read_query(term)


# URLs


PAGES = {
    "/a.png": picture_bytes(),
    "/picture": picture_bytes(kind="JPEG"),
    "/thumb.php?id=5": picture_bytes(kind="WEBP"),
    "/K%C3%B6ln%201.png": picture_bytes(),
    "/note.txt": b"a dog in the snow",
    "/page": b"<html>hello</html>",
}


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/cut":
            self.send_response(200)
            self.send_header("Content-Length", "999")
            self.end_headers()
            self.wfile.write(b"short")
            return
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "file:///etc/hostname")
            self.end_headers()
            return
        data = PAGES.get(self.path)
        if data is None:
            self.send_error(404)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")


@pytest.mark.parametrize("page", ["/a.png", "/picture", "/thumb.php?id=5", "/Köln%201.png"])
def test_a_url_is_fetched_whatever_its_ending(site, page):
    query = read_query(site + page)
    assert query.modality is Modality.IMAGE
    assert query.signals[0].size == (40, 20)
    assert query.label == site + page


def test_a_url_of_a_text_is_text(site):
    assert read_query(f"{site}/note.txt").signals[0] == "a dog in the snow"


def test_a_url_that_is_no_picture_is_a_decode_error(site):
    with pytest.raises(AssetError, match=r"/page: is no picture"):
        read_query(f"{site}/page")


@pytest.mark.parametrize(("page", "why"), [("/no", "404"), ("/cut", "994 bytes"), ("/moved", "")])
def test_a_url_that_cannot_be_fetched_is_a_query_error(site, page, why):
    with pytest.raises(QueryError, match=f"{page}: cannot be fetched: .*{why}"):
        read_query(site + page)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:1/a.png", "http://[::bad/a.png", "http://127.0.0.1:port/", "http://a\n"],
)
def test_a_url_without_a_server_is_a_query_error(url):
    with pytest.raises(QueryError, match="cannot be fetched"):
        read_query(url)


def test_a_large_download_is_refused(site, monkeypatch):
    monkeypatch.setattr(term_module, "MAX_REMOTE_BYTES", 50)
    with pytest.raises(QueryError, match="a.png: larger than 50 bytes"):
        read_query(f"{site}/a.png")


def test_offline_refuses_before_anything_is_sent(monkeypatch):
    monkeypatch.setattr(term_module, "urlopen", pytest.fail)
    with pytest.raises(QueryError, match="not fetched, because polyseek is set to offline"):
        read_query("http://127.0.0.1/a.png", offline=True)
