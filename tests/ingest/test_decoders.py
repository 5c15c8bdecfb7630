import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from polyseek.core.config import IndexOptions
from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Modality
from polyseek.ingest.decoders import image as image_module
from polyseek.ingest.decoders.image import ImageDecoder
from polyseek.ingest.decoders.table import TableDecoder
from polyseek.ingest.decoders.text import TextDecoder
from polyseek.ingest.segmenters.text import TextSegmenter


def asset(name, size=1):
    return Asset(
        uri=f"file:///{name}",
        path=name,
        size_bytes=size,
        modified=datetime(2024, 1, 1, tzinfo=UTC),
        etag="1",
    )


def decode(decoder, name, data):
    return list(decoder.open(asset(name), io.BytesIO(data)))


def picture(data, name="a.png"):
    (media,) = decode(ImageDecoder(), name, data)
    assert media.signal.mode == "RGB"
    return media


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


RED = Image.new("RGB", (40, 20), (255, 0, 0))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("AVIF", {}),
        ("JPEG2000", {}),
    ],
)
def test_every_format_gives_its_pixels_and_size(kind, options):
    media = picture(saved(RED, kind, **options))
    assert np.abs(np.asarray(media.signal).reshape(-1, 3).mean(0) - (255, 0, 0)).max() < 6
    assert (media.metadata["width"], media.metadata["height"]) == (40, 20)


def test_heic_is_read():
    # pi-heif only decodes, so the smallest check is that its opener is registered and refuses junk.
    with pytest.raises(DecodeError):
        decode(ImageDecoder(), "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50)
    assert "HEIF" in Image.OPEN


def test_cmyk_jpeg_palette_and_alpha_over_white():
    cmyk = saved(RED.convert("CMYK"), "JPEG")
    assert np.asarray(picture(cmyk).signal)[5, 5, 0] > 200
    palette = saved(RED.quantize(4), "PNG")
    assert tuple(np.asarray(picture(palette).signal)[0, 0]) == (255, 0, 0)
    clear = saved(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG")
    assert tuple(np.asarray(picture(clear).signal)[0, 0]) == (255, 255, 255)
    half = saved(Image.new("LA", (4, 4), (0, 128)), "PNG")
    assert 120 < np.asarray(picture(half).signal)[0, 0, 0] < 135


def test_16_bit_is_scaled_not_clipped():
    deep = Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16))
    assert 126 <= np.asarray(picture(saved(deep, "PNG")).signal)[0, 0, 0] <= 129
    dark = Image.fromarray(np.full((4, 4), 2.0, dtype=np.float32))
    assert picture(saved(dark, "TIFF")).signal.size == (4, 4)


def test_first_frame_of_an_animation():
    blue = Image.new("RGB", (40, 20), (0, 0, 255))
    data = saved(RED, "GIF", save_all=True, append_images=[blue])
    assert tuple(np.asarray(picture(data).signal)[0, 0]) == (255, 0, 0)


def test_orientation_date_camera_and_position():
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise
    exif[0x010F], exif[0x0110] = "NIKON CORPORATION", "NIKON D90"
    details = exif.get_ifd(0x8769)
    details[0x9003], details[0x9011] = "2021:07:04 12:30:00", "+02:00"
    gps = exif.get_ifd(0x8825)
    gps.update({1: "S", 2: (33.0, 30.0, 0.0), 3: "E", 4: (151.0, 12.0, 36.0)})
    two = Image.new("RGB", (40, 20), (255, 0, 0))
    two.paste((0, 0, 255), (0, 0, 20, 20))
    media = picture(saved(two, "JPEG", exif=exif, quality=95), "a.jpg")
    assert media.signal.size == (20, 40)
    assert np.asarray(media.signal)[5, 10, 2] > 200  # the left half is on top now
    assert (media.metadata["width"], media.metadata["height"]) == (20, 40)
    assert media.metadata["taken_at"] == datetime(2021, 7, 4, 10, 30, tzinfo=UTC)
    assert media.metadata["year"] == 2021
    assert media.metadata["camera"] == "NIKON D90"
    assert media.metadata["latitude"] == pytest.approx(-33.5)
    assert media.metadata["longitude"] == pytest.approx(151.21)


def test_large_jpegs_are_decoded_at_a_reduced_scale_but_keep_their_size():
    data = saved(Image.new("RGB", (4000, 3000)), "JPEG")
    media = picture(data, "a.jpg")
    assert media.signal.size == (1000, 750)
    assert (media.metadata["width"], media.metadata["height"]) == (4000, 3000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 40,
        saved(RED, "PNG")[:60],
        saved(Image.effect_noise((200, 200), 90), "JPEG")[:2000],
        b"GIF89a" + b"\xff" * 5,
    ],
)
def test_broken_pictures_are_decode_errors(data):
    with pytest.raises(DecodeError):
        decode(ImageDecoder(), "a.png", data)


def test_a_bomb_is_refused_before_its_pixels_are_decoded(monkeypatch):
    monkeypatch.setattr(image_module, "MAX_PIXELS", 100)
    with pytest.raises(DecodeError, match="too large: 40 x 20 pixels"):
        picture(saved(RED, "PNG"))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße aus Köln, schöne Häuser und süße Brötchen überall.", "utf-8"),
        ("Grüße aus Köln", "utf-8-sig"),
        ("Grüße aus Köln", "utf-16"),
        ("Les élèves français ont mangé des crêpes à la crème près de l'hôtel. " * 4, "cp1252"),
        ("日本語のテキストです。今日は天気がいいので散歩に行きました。" * 4, "shift_jis"),
    ],
)
def test_encodings_are_detected(text, encoding):
    (media,) = decode(TextDecoder(), "a.txt", text.encode(encoding))
    assert media.signal == text


def test_line_ends_become_newlines_and_html_loses_its_markup():
    (media,) = decode(TextDecoder(), "a.txt", b"a\r\nb\rc")
    assert media.signal == "a\nb\nc"
    page = b"<html><head><title> My  page </title><style>x{}</style></head><body><nav>menu</nav>"
    (media,) = decode(TextDecoder(), "a.HTML", page + b"<p>Hello <b>you</b></p><script>1</script>")
    assert media.signal == "Hello\nyou"
    assert media.metadata == {"title": "My page"}


@pytest.mark.parametrize("data", [b"", b"   \n", bytes(range(256)) * 20, b"\0" * 100])
def test_no_text_is_a_decode_error(data):
    with pytest.raises(DecodeError):
        decode(TextDecoder(), "a.txt", data)


def test_rows_of_tables_are_segments_with_metadata():
    data = b'id,Caption,stars\n1,"two\nlines",5\n2,,3\n3,x,4,extra\n'
    rows = decode(TableDecoder(), "a.csv", data)
    assert [r.signal for r in rows] == ["two\nlines", "2, 3", "x"]
    assert rows[0].metadata == {"id": "1", "stars": "5"}
    assert rows[2].metadata["column_4"] == "extra"
    assert [(r.span.start, r.span.unit) for r in rows] == [(1, "row"), (2, "row"), (3, "row")]


def test_jsonl_rows_are_typed_and_a_broken_line_keeps_the_rows_before():
    decoder = TableDecoder().open(asset("a.jsonl"), io.BytesIO(b'{"text": "a", "n": 1}\n{oops\n'))
    assert next(decoder).metadata == {"n": 1}
    with pytest.raises(DecodeError, match="line 2 is no JSON"):
        next(decoder)
    with pytest.raises(DecodeError, match="no row with text"):
        decode(TableDecoder(), "b.csv", b"a,b\n")


def test_passages_index_into_the_text_they_come_from():
    text = (
        "\n\n".join(f"Paragraph {i} talks about thing number {i}. " * 6 for i in range(8)) + "é😀"
    )
    (media,) = decode(TextDecoder(), "a.txt", text.encode())
    segments = list(TextSegmenter(IndexOptions(passage_chars=200)).split(asset("a.txt"), media))
    assert len(segments) > 8
    for s in segments:
        assert len(s.text) <= 200
        assert media.signal[int(s.span.start) : int(s.span.end)] == s.text
        assert s.modality is Modality.TEXT
    assert len({s.id for s in segments}) == len(segments)
