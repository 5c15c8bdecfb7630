import base64
import io
import json
import warnings
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from polyseek.core.config import IndexOptions
from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Media, Modality
from polyseek.ingest import decode as decode_module
from polyseek.ingest.decode import Toolbox
from polyseek.ingest.decoders import image as image_module
from polyseek.ingest.decoders.image import ImageDecoder
from polyseek.ingest.decoders.table import MAX_ROW_CHARS, TableDecoder
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
# 16 x 8 pixels, left half blue, right half red: made with pillow-heif from Image.new and paste.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAXxtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAA"
    "AAAAAAAAAAAAACJpbG9jAAAAAERAAAEAAQAAAAABoAABAAAAAAAAAEMAAAAjaWluZgAAAAAAAQAAABVpbmZlAgAA"
    "AAABAABodmMxAAAAAA5waXRtAAAAAAABAAAA/GlwcnAAAADcaXBjbwAAAHVodmNDAQNwAAAAkAAAAAAAHvAA/P34"
    "+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQApQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbqrprm"
    "4CGgwIAAAAyAAAADAIRiAAEABkQBwXPBiQAAABNjb2xybmNseAABAA0ABoAAAAAUaXNwZQAAAAAAAABAAAAAQAAA"
    "AChjbGFwAAAAEAAAAAEAAAAIAAAAAf///9AAAAAC////yAAAAAIAAAAQcGl4aQAAAAADCAgIAAAAGGlwbWEAAAAA"
    "AAAAAQABBYECAwWEAAAAS21kYXQAAAA/KAGvCchnxhojmVO/7x/vdHf+deMXKxb9U2V5JGn3bSX7NLymTfm+gPOW"
    "CA9xalLpo61ysW6AKWv5Bqh0d282"
)


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
    media = picture(HEIC, "a.heic")
    assert media.metadata == {"format": "heif", "width": 16, "height": 8}
    left, right = np.asarray(media.signal)[4, 2].astype(int), np.asarray(media.signal)[4, 13]
    assert np.abs(left - (0, 0, 255)).max() < 16
    assert np.abs(right.astype(int) - (255, 0, 0)).max() < 16


def test_broken_heic_is_a_decode_error():
    with pytest.raises(DecodeError):
        decode(ImageDecoder(), "a.heic", HEIC[:300])
    with pytest.raises(DecodeError):
        decode(ImageDecoder(), "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 50)


@pytest.mark.parametrize(
    "data",
    [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
        saved(RED, "PDF"),
        saved(RED, "PCX"),
    ],
)
def test_other_formats_under_a_pictures_name_are_refused(data):
    # Pillow would hand PostScript to Ghostscript.
    with pytest.raises(DecodeError, match="is no picture in a format that is known"):
        decode(ImageDecoder(), "a.jpg", data)


def test_cmyk_jpeg_palette_and_alpha_over_white():
    cmyk = saved(RED.convert("CMYK"), "JPEG")
    assert np.asarray(picture(cmyk).signal)[5, 5, 0] > 200
    palette = saved(RED.quantize(4), "PNG")
    assert tuple(np.asarray(picture(palette).signal)[0, 0]) == (255, 0, 0)
    clear = saved(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG")
    assert tuple(np.asarray(picture(clear).signal)[0, 0]) == (255, 255, 255)
    half = saved(Image.new("LA", (4, 4), (0, 128)), "PNG")
    assert 120 < np.asarray(picture(half).signal)[0, 0, 0] < 135


def test_a_colour_or_palette_entry_declared_clear_is_white():
    spot = RED.copy()
    spot.paste((0, 0, 255), (0, 0, 20, 20))
    by_colour = saved(spot, "PNG", transparency=(255, 0, 0))
    by_entry = saved(spot.quantize(2), "GIF", transparency=spot.quantize(2).getpixel((30, 5)))
    for data in (by_colour, by_entry):
        pixels = np.asarray(picture(data).signal)
        assert tuple(pixels[5, 30]) == (255, 255, 255)
        assert tuple(pixels[5, 5]) == (0, 0, 255)


def test_16_bit_is_scaled_not_clipped():
    deep = Image.fromarray(np.full((4, 4), 32768, dtype=np.uint16))
    assert 126 <= np.asarray(picture(saved(deep, "PNG")).signal)[0, 0, 0] <= 129
    dark = Image.fromarray(np.full((4, 4), 2.0, dtype=np.float32))
    assert picture(saved(dark, "TIFF")).signal.size == (4, 4)
    ramp = Image.fromarray(np.array([[0, 2_000_000_000]], dtype=np.int32))  # no agreed white
    assert np.asarray(picture(saved(ramp, "TIFF")).signal)[0, :, 0].tolist() == [0, 255]


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


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "TIFF", "PNG"])
def test_every_orientation_comes_out_upright(orientation, kind):
    corner = Image.new("RGB", (32, 16), (255, 0, 0))
    corner.paste((0, 0, 255), (0, 0, 16, 8))  # a mark on the stored picture's top left
    exif = Image.Exif()
    exif[0x0112] = orientation
    media = picture(saved(corner, kind, exif=exif))
    # EXIF 2.32, 4.6.4: where row 0 and column 0 of the stored picture are seen.
    at_bottom, at_right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    assert media.signal.size == ((16, 32) if orientation > 4 else (32, 16))
    assert (media.metadata["width"], media.metadata["height"]) == media.signal.size
    pixels = np.asarray(media.signal)
    assert pixels[-3 if at_bottom else 2, -3 if at_right else 2, 2] > 200


def test_a_broken_exif_block_costs_its_fields_not_the_picture():
    exif = Image.Exif()
    exif.endian = ">"
    exif[0x0112], exif[0x011A] = 6, 72.5
    good = exif.tobytes()
    text_as_resolution = good.replace(b"\x01\x1a\0\x05", b"\x01\x1a\0\x02")
    text_as_orientation = good.replace(b"\x01\x12\0\x03", b"\x01\x12\0\x02")
    assert len({good, text_as_resolution, text_as_orientation}) == 3
    for block, size in [
        (text_as_resolution, (20, 40)),
        (text_as_orientation, (40, 20)),
        (b"Exif\0\0" + b"junk" * 9, (40, 20)),
        (good[:20], (40, 20)),
    ]:
        assert picture(saved(RED, "JPEG", exif=block), "a.jpg").signal.size == size


def test_multi_picture_jpegs_are_reduced_like_others():
    first = Image.new("RGB", (2000, 1200), (255, 0, 0))
    data = saved(first, "MPO", save_all=True, append_images=[RED])
    media = picture(data, "a.mpo")
    assert media.signal.size == (1000, 600)
    assert media.metadata["width"] == 2000


def test_decoding_leaves_the_libraries_settings_alone(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1234)
    before = list(warnings.filters)
    opened = ImageDecoder().open(asset("a.png"), io.BytesIO(saved(RED, "PNG")))
    assert next(opened).signal.size == (40, 20)
    assert list(warnings.filters) == before
    assert Image.MAX_IMAGE_PIXELS == 1234


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
        b"II*\0" + b"\xff" * 60,
        b"BM" + b"\xff" * 60,
        b"RIFF\x20\0\0\0WEBPVP8 " + b"\xff" * 20,
        saved(RED, "AVIF")[:200],
        saved(RED, "JPEG2000")[:90],
        saved(RED, "ICO")[:30],
        b"P6 -1 2 255 \0",
    ],
)
def test_broken_pictures_are_decode_errors(data):
    with pytest.raises(DecodeError):
        decode(ImageDecoder(), "a.png", data)


def test_a_bomb_is_refused_before_its_pixels_are_decoded(monkeypatch):
    monkeypatch.setattr(image_module, "MAX_PIXELS", 100)
    with pytest.raises(DecodeError, match="too large: 40 x 20 pixels"):
        picture(saved(RED, "PNG"))


def test_a_header_that_claims_terapixels_is_refused():
    header = bytearray(saved(RED.convert("1"), "BMP"))
    header[18:26] = (3_000_000).to_bytes(4, "little") + (2_000_000).to_bytes(4, "little")
    with pytest.raises(DecodeError, match="too large: .*6000000000000 pixels"):
        picture(bytes(header))


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("Grüße aus Köln, schöne Häuser und süße Brötchen überall.", "utf-8"),
        ("Grüße aus Köln", "utf-8-sig"),
        ("Grüße aus Köln", "utf-16"),
        ("Les élèves français ont mangé des crêpes à la crème près de l'hôtel. " * 4, "cp1252"),
        ("café", "latin-1"),
        ("Ein Gruß aus Köln", "latin-1"),
        ("Les élèves français ont mangé des crêpes. " * 5, "latin-1"),
        ("Zażółć gęślą jaźń i inne słowa po polsku, które są długie. " * 3, "cp1250"),
        ("Съешь же ещё этих мягких французских булок, да выпей чаю. " * 3, "cp1251"),
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


@pytest.mark.slow
def test_html_of_any_shape_gives_its_words():
    pages = {
        b"<div>" * 5000 + b"deep": "deep",
        b"<p>open <b>tags": "open\ntags",
        b"<!x [ <p>odd declaration": "odd declaration",
        b"&amp; &#xD800; &#99999999999;": "& \ufffd \ufffd",
        '<meta charset="iso-8859-1"><p>café</p>'.encode("latin-1"): "café",
    }
    for page, words in pages.items():
        (media,) = decode(TextDecoder(), "a.html", page)
        assert media.signal == words
    with pytest.raises(DecodeError, match="holds no text"):
        decode(TextDecoder(), "a.html", b"<script>only()</script><style>p{}</style>")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"   \n",
        b"\xef\xbb\xbf",
        bytes(range(256)) * 20,
        b"\0" * 100,
        b"a\0b\0c",
        saved(Image.effect_noise((64, 64), 90), "PNG"),
    ],
)
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


def test_rows_that_nobody_means_to_write_are_decode_errors():
    unclosed = b'a,b\nfine,1\n"' + b"x,\n" * MAX_ROW_CHARS
    rows = TableDecoder().open(asset("a.csv"), io.BytesIO(unclosed))
    assert next(rows).signal == "fine, 1"
    with pytest.raises(DecodeError, match="row 2: .* is a quotation mark not closed"):
        next(rows)
    for line in (b"[" * 100_000, b'{"a":' * 5000 + b"1" + b"}" * 5000):
        with pytest.raises(DecodeError, match="line 1 is no JSON"):
            decode(TableDecoder(), "a.jsonl", line)
    deep = b'{"text": "x", "a":' + b'{"a":' * 200 + b"1" + b"}" * 201
    with pytest.raises(DecodeError, match="row 1: nested more than 100 levels"):
        decode(TableDecoder(), "a.jsonl", deep)


class Bytes:
    """A source that holds one file."""

    def __init__(self, data):
        self.data = data

    def open(self, asset):
        return io.BytesIO(self.data)


def whole_road(name, data):
    options = IndexOptions()
    tools = Toolbox(
        source=Bytes(data),
        decoders=decode_module.decoders(),
        segmenters={Modality.TEXT: TextSegmenter(options)},
        prepare={Modality.TEXT: str},
    )
    parts = list(decode_module.decode(asset(name, len(data)), tools))
    assert [part.last for part in parts] == [False] * (len(parts) - 1) + [True]
    return [segment for part in parts for segment in part.segments]


def test_halves_of_surrogate_pairs_do_not_reach_encoders_and_stores():
    line = json.dumps({"text": "\ud800 hi", "k\udfff": "\ud83d", "l": ["\udc00"]})
    (segment,) = whole_road("a.jsonl", line.encode())
    assert segment.text == segment.signal == "\ufffd hi"
    assert segment.metadata["k\ufffd"] == "\ufffd"
    assert segment.metadata["l"] == ["\ufffd"]


def test_a_matrix_is_refused_before_its_columns_become_fields():
    wide = ",".join(f"c{i}" for i in range(2000)) + "\n" + ",".join("1" * 2000) + "\n"
    with pytest.raises(DecodeError, match=r"has 2,00\d metadata fields, the limit is 1,000"):
        whole_road("a.csv", wide.encode())


@pytest.mark.parametrize("text", ["x" * 150_000, "漢字仮名交じり文" * 20_000, "word " * 30_000])
@pytest.mark.slow
def test_long_text_without_breaks_is_split_in_reasonable_time(text):
    media = Media(modality=Modality.TEXT, signal=text)
    segments = list(TextSegmenter(IndexOptions()).split(asset("a.txt"), media))
    assert all(len(s.text) <= 600 for s in segments)
    assert "".join(s.text for s in segments).replace(" ", "") == text.replace(" ", "")


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
