import io

import av
import numpy as np
from PIL import Image

from made_documents import made_docx, made_epub, made_mail, made_pdf, made_pptx
from polyseek.ingest.decoders.audio import AudioDecoder
from polyseek.ingest.decoders.epub import EpubDecoder
from polyseek.ingest.decoders.image import ImageDecoder
from polyseek.ingest.decoders.mail import MailDecoder
from polyseek.ingest.decoders.maps import DepthDecoder, ThermalDecoder
from polyseek.ingest.decoders.motion import MotionDecoder
from polyseek.ingest.decoders.office import OfficeDecoder
from polyseek.ingest.decoders.pdf import PdfDecoder
from polyseek.ingest.decoders.subtitles import SubtitleDecoder
from polyseek.ingest.decoders.table import TableDecoder
from polyseek.ingest.decoders.text import TextDecoder
from polyseek.ingest.decoders.video import VideoDecoder
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


def encoded(values, kind):
    stream = io.BytesIO()
    if kind == "NPY":
        np.save(stream, values)
    else:
        Image.fromarray(values).save(stream, kind)
    return stream.getvalue()


class TestDepthDecoder(DecoderConformance):
    def make_decoder(self):
        return DepthDecoder()

    def samples(self):
        rng = np.random.default_rng(0)
        mm = rng.integers(0, 8000, (48, 64), np.uint16)
        metres = np.where(mm > 500, mm / 1000, np.nan).astype(np.float32)
        return {
            "a.depth.png": encoded(mm, "PNG"),
            "b.depth.tif": encoded(mm, "TIFF"),
            "c.depth.tiff": encoded(metres, "TIFF"),
            "d.depth.npy": encoded(metres, "NPY"),
        }


class TestThermalDecoder(DecoderConformance):
    def make_decoder(self):
        return ThermalDecoder()

    def samples(self):
        rng = np.random.default_rng(0)
        grey = rng.integers(0, 256, (48, 64), np.uint8)
        return {
            "a.thermal.png": encoded(grey, "PNG"),
            "b.thermal.jpg": encoded(np.stack([grey] * 3, axis=-1), "JPEG"),
            "c.thermal.tif": encoded(rng.integers(29_000, 31_000, (48, 64), np.uint16), "TIFF"),
            "d.thermal.npy": encoded(rng.normal(20, 5, (48, 64)), "NPY"),
        }


class TestMotionDecoder(DecoderConformance):
    truncation_shows = False

    def make_decoder(self):
        return MotionDecoder()

    def samples(self):
        rng = np.random.default_rng(0)
        rows = np.column_stack([np.arange(200) / 100, rng.normal(size=(200, 6))])
        lines = [",".join(f"{value:.4f}" for value in row) for row in rows]
        names = "timestamp,acc_x,acc_y,acc_z,gyro_x,gyro_y,gyro_z"
        return {
            "a.imu.csv": "\n".join([names, *lines]).encode(),
            "b.imu.csv": "\r\n".join(lines).encode(),
            "c.imu.npy": encoded(rows, "NPY"),
        }


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


class TestPdfDecoder(DecoderConformance):
    def make_decoder(self):
        return PdfDecoder()

    def samples(self):
        return {"paper.pdf": made_pdf(["A red car", "and a dog"], ["Page two"])}


class TestOfficeDecoder(DecoderConformance):
    def make_decoder(self):
        return OfficeDecoder()

    def samples(self):
        return {"letter.docx": made_docx(), "talk.pptx": made_pptx()}


class TestEpubDecoder(DecoderConformance):
    def make_decoder(self):
        return EpubDecoder()

    def samples(self):
        return {"book.epub": made_epub("<p>It was a dark night.</p>", "<p>The end.</p>")}


class TestMailDecoder(DecoderConformance):
    truncation_shows = False

    def make_decoder(self):
        return MailDecoder()

    def samples(self):
        plain = b"From: a@b.example\nDate: Fri, 31 May 2024 10:00:00 +0200\nSubject: Hi\n\nHello\n"
        attached = made_mail()
        attached.add_attachment("one,two\n1,2\n", subtype="csv", filename="table.csv")
        return {"plain.eml": plain, "attached.eml": attached.as_bytes()}


class TestSubtitleDecoder(DecoderConformance):
    truncation_shows = False

    def make_decoder(self):
        return SubtitleDecoder()

    def samples(self):
        cues = "".join(
            f"{n}\n00:00:{n:02},000 --> 00:00:{n:02},900\nGröße number {n}\n\n" for n in range(9)
        )
        return {
            "clip.srt": cues.encode(),
            "clip.vtt": ("WEBVTT\n\n" + cues.replace(",", ".")).encode("utf-16"),
        }


class TestVideoDecoder(DecoderConformance):
    def make_decoder(self):
        return VideoDecoder()

    def samples(self):
        files = {}
        for suffix, codec in {".mp4": "libx264", ".mkv": "mpeg4", ".avi": "mjpeg"}.items():
            stream = io.BytesIO()
            kind = "matroska" if suffix == ".mkv" else suffix[1:]
            with av.open(stream, "w", format=kind) as container:
                track = container.add_stream(codec, rate=5)
                track.width, track.height = 64, 48
                track.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                for seed in range(12):
                    pixels = np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8)
                    container.mux(track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
                container.mux(track.encode(None))
            files["clip" + suffix] = stream.getvalue()
        return files


class TestAudioDecoder(DecoderConformance):
    truncation_shows = False  # half a recording is a recording

    def make_decoder(self):
        return AudioDecoder()

    def samples(self):
        wave = (8000 * np.sin(np.arange(12_000) / 9)).astype(np.int16)[None]
        files = {}
        for name, kind, codec in (
            ("a.wav", "wav", "pcm_s16le"),
            ("a.flac", "flac", "flac"),
            ("a.mp3", "mp3", "libmp3lame"),
        ):
            stream = io.BytesIO()
            with av.open(stream, "w", format=kind) as container:
                track = container.add_stream(codec, rate=16_000, layout="mono")
                frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
                frame.sample_rate = 16_000
                form, size = track.codec_context.format.name, track.codec_context.frame_size or 0
                shaper = av.AudioResampler(format=form, layout="mono", rate=16_000, frame_size=size)
                for piece in [*shaper.resample(frame), *shaper.resample(None)]:
                    container.mux(track.encode(piece))
                container.mux(track.encode(None))
            files[name] = stream.getvalue()
        return files
