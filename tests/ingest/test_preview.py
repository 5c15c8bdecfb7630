"""Thumbnails and clips: small, playable, and never an error."""

import io

import av
import numpy as np
import pytest
from PIL import Image

from polyseek.core.types import Hit, Modality, Span, SpanUnit
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
