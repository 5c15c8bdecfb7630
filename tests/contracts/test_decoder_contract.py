import io

import numpy as np
from PIL import Image

from polyseek.ingest.decoders.image import ImageDecoder
from polyseek.ingest.decoders.table import TableDecoder
from polyseek.ingest.decoders.text import TextDecoder
from polyseek.testing.decoder import DecoderConformance

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP"} | {
    ".tif": "TIFF", ".ppm": "PPM"
}  # fmt: skip


class TestImageDecoder(DecoderConformance):
    def make_decoder(self):
        return ImageDecoder()

    def samples(self):
        pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
        files = {}
        for suffix, format_ in FORMATS.items():
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, format_)
            files["photo" + suffix] = stream.getvalue()
        return files


class TestTextDecoder(DecoderConformance):
    truncation_shows = False

    def make_decoder(self):
        return TextDecoder()

    def samples(self):
        return {
            "plain.txt": "Größe 東京: a red car.\r\n".encode() * 9,
            "utf16.txt": ("Größe 東京. " * 9).encode("utf-16"),
            "latin.txt": ("Die Größe der Straße hängt vom Übergang ab. " * 9).encode("latin-1"),
            "notes.md": b"# Title\n\nA paragraph.\n",
            "page.html": b"<html><head><title>T</title></head><body><p>Hello</p></body></html>",
        }


class TestTableDecoder(DecoderConformance):
    truncation_shows = False

    def make_decoder(self):
        return TableDecoder()

    def samples(self):
        return {
            "a.csv": b'text,year,tags\n"A red, fast car",2020,x\nA dog,2021,\n',
            "b.tsv": b"caption\tn\nA red car\t1\n",
            "c.jsonl": b'{"text": "A red car", "n": 1, "tags": ["a"]}\n{"text": "A dog"}\n',
        }
