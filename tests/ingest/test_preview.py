"""Thumbnails and clips: small, playable, and never an error."""

import io
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from made_documents import made_pdf
from polyseek.core.hits import Hit
from polyseek.core.types import Modality, Span, SpanUnit
from polyseek.ingest.decoders import pdf
from polyseek.ingest.preview import CLIP_HEIGHT, CLIP_S, THUMBNAIL_SIDE, preview


def hit(path, modality, start=None, end=None):
    uri = path if isinstance(path, str) else path.as_uri()
    span = None if start is None else Span(unit=SpanUnit.SECONDS, start=start, end=end)
    return Hit(id="1", uri=uri, modality=modality, score=0.5, span=span)


@pytest.fixture(scope="module")
def tone(tmp_path_factory):
    """30 s of sound: 440 Hz, and 880 Hz from second 20 on."""
    path = tmp_path_factory.mktemp("sound") / "tone.wav"
    time = np.arange(30 * 16_000) / 16_000
    wave = np.sin(2 * np.pi * np.where(time < 20, 440, 880) * time).astype(np.float32)
    with av.open(str(path), "w") as file:
        track = file.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(
            (wave * 20_000).astype(np.int16)[None], format="s16", layout="mono"
        )
        frame.sample_rate = 16_000
        file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """4 s of film: red, and blue from second 2 on."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=10, options={"g": "5"})
        track.width, track.height, track.pix_fmt = 160, 120, "yuv420p"
        for i in range(40):
            colour = (200, 0, 0) if i < 20 else (0, 0, 200)
            picture = np.full((120, 160, 3), colour, np.uint8)
            file.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(track.encode(None))
    return path


def test_a_picture_becomes_a_small_upright_jpeg(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "größe #1 100%.jpg"
    Image.new("RGB", (1000, 500), "red").save(path, exif=exif)
    clip = preview(hit(path, Modality.IMAGE))
    assert clip.mime == "image/jpeg"
    with Image.open(io.BytesIO(clip.data)) as thumbnail:
        assert thumbnail.format == "JPEG"
        assert thumbnail.size == (THUMBNAIL_SIDE // 2, THUMBNAIL_SIDE)


def test_a_sound_becomes_a_clip_of_its_span(tone):
    clip = preview(hit(tone, Modality.AUDIO, 20, 30))
    assert clip.mime == "audio/ogg"
    assert len(clip.data) < 100_000
    with av.open(io.BytesIO(clip.data)) as file:
        wave = np.concatenate([f.to_ndarray()[0] for f in file.decode(audio=0)])
        rate = file.streams.audio[0].rate
    assert len(wave) / rate == pytest.approx(CLIP_S, abs=0.2)
    spectrum = np.abs(np.fft.rfft(wave[rate : 2 * rate]))
    assert spectrum.argmax() == pytest.approx(880, abs=2)


def test_a_video_moment_becomes_a_small_film(film):
    clip = preview(hit(film, Modality.VIDEO, 2, 4))
    assert clip.mime == "video/mp4"
    with av.open(io.BytesIO(clip.data)) as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert 15 <= len(frames) <= 21
    assert frames[0].shape == (CLIP_HEIGHT, CLIP_HEIGHT * 160 // 120, 3)
    red, _, blue = frames[1].mean(axis=(0, 1))
    assert blue > 4 * red


def test_a_broadcast_that_begins_at_any_time_is_played_from_its_span(tmp_path):
    path = tmp_path / "show.ts"
    with av.open(str(path), "w", format="mpegts") as file:
        track = file.add_stream("mpeg2video", rate=25, options={"g": "5"})
        track.width, track.height, track.pix_fmt = 160, 120, "yuv420p"
        for i in range(100):
            colour = (200, 0, 0) if i < 50 else (0, 0, 200)
            picture = np.full((120, 160, 3), colour, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = i + 25_000, Fraction(1, 25)
            file.mux(track.encode(frame))
        file.mux(track.encode(None))
    for start, wanted in ((0, "red"), (2.2, "blue")):
        frames = frames_of(preview(hit(path, Modality.VIDEO, start, start + 1)))
        red, _, blue = frames[0].mean(axis=(0, 1))
        assert ("red" if red > blue else "blue") == wanted
        assert 8 <= len(frames) <= 11


def test_a_recording_held_upright_is_played_upright(tmp_path):
    path = tmp_path / "phone.mov"
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=10)
        track.width, track.height, track.pix_fmt = 160, 120, "yuv420p"
        track.set_display_rotation(90)
        picture = np.zeros((120, 160, 3), np.uint8)
        picture[:, :80] = 255
        for _ in range(10):
            file.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(track.encode(None))
    frame = frames_of(preview(hit(path, Modality.VIDEO, 0, 1)))[0]
    assert frame.shape == (CLIP_HEIGHT, 136, 3)
    halves = frame[:80].mean(), frame[100:].mean()
    assert abs(halves[0] - halves[1]) > 200


def frames_of(clip):
    with av.open(io.BytesIO(clip.data)) as file:
        return [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]


def test_only_the_page_that_was_found_is_drawn(tmp_path, monkeypatch):
    path = tmp_path / "book.pdf"
    path.write_bytes(made_pdf(*([f"Page {number}"] for number in range(1, 31))))
    drawn = []
    draw = pdf._picture
    monkeypatch.setattr(
        pdf, "_picture", lambda page, side: (drawn.append(page), draw(page, side))[1]
    )
    span = Span(unit=SpanUnit.PAGE, start=30, end=31)
    found = replace(hit(path, Modality.IMAGE), span=span)
    assert preview(found).mime == "image/jpeg"
    assert len(drawn) == 1
    assert preview(replace(found, span=replace(span, start=31, end=32))) is None


def test_texts_have_no_preview(tmp_path):
    (tmp_path / "note.txt").write_text("A red car.")
    assert preview(hit(tmp_path / "note.txt", Modality.TEXT)) is None


@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.AUDIO, Modality.VIDEO])
def test_there_is_no_preview_of_what_is_gone_broken_or_no_local_file(tmp_path, modality):
    (tmp_path / "broken.png").write_bytes(b"x")
    (tmp_path / "broken.mp4").write_bytes(b"x" * 500)
    (tmp_path / "note.txt").write_text("A red car.")
    uris = [
        (tmp_path / "gone.png").as_uri(),
        (tmp_path / "broken.png").as_uri(),
        (tmp_path / "broken.mp4").as_uri(),
        (tmp_path / "note.txt").as_uri(),
        tmp_path.as_uri(),
        "file:///a%00.png",
        "s3://bucket/red.png",
    ]
    assert [preview(hit(uri, modality)) for uri in uris] == [None] * len(uris)


def test_maps_are_shown_in_grey(tmp_path):
    near = np.full((40, 60), 4000, np.uint16)
    near[:, :20], near[:, 40:] = 1000, 0
    Image.fromarray(near).save(tmp_path / "a.depth.png")
    shown = np.asarray(
        Image.open(io.BytesIO(preview(hit(tmp_path / "a.depth.png", Modality.DEPTH)).data))
    )
    assert shown[20, 5] > 240
    assert 10 < shown[20, 30] < 60
    assert shown[20, 55] < 8
    np.save(tmp_path / "b.thermal.npy", np.repeat([[10.0, 30.0]], 20, axis=0).repeat(20, axis=1))
    found = preview(hit(tmp_path / "b.thermal.npy", Modality.THERMAL))
    warm = np.asarray(Image.open(io.BytesIO(found.data)))
    assert warm[10, 5] < 20
    assert warm[10, 35] > 235
