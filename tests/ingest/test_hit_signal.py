"""What hits hold, decoded once more: whole pictures, moments of videos, spans of sounds."""

import av
import numpy as np
import pytest
from PIL import Image

from polyseek.core.hits import Hit
from polyseek.core.types import Modality, Span, SpanUnit
from polyseek.ingest.hit_signal import signal_of

RATE_HZ = 16_000


def hit(path, modality, start=None, end=None):
    span = None if start is None else Span(unit=SpanUnit.SECONDS, start=start, end=end)
    return Hit(id="1", uri=path.as_uri(), modality=modality, score=0.5, span=span)


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """8 s in stereo, each second a level of its own: .1, .2, ... on the left, 0 on the right."""
    path = tmp_path_factory.mktemp("sound") / "steps.wav"
    left = np.repeat(np.arange(1, 9) / 10, RATE_HZ)
    both = (np.stack([left, np.zeros_like(left)], axis=1) * 32767).astype(np.int16)
    with av.open(str(path), "w") as file:
        track = file.add_stream("pcm_s16le", rate=RATE_HZ, layout="stereo")
        frame = av.AudioFrame.from_ndarray(both.reshape(1, -1), format="s16", layout="stereo")
        frame.sample_rate = RATE_HZ
        file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """2 s of film: red, and blue from second 1 on."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    with av.open(str(path), "w") as file:
        track = file.add_stream("libx264", rate=10, options={"g": "5"})
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for i in range(20):
            picture = np.full((48, 64, 3), (200, 0, 0) if i < 10 else (0, 0, 200), np.uint8)
            file.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(track.encode(None))
    return path


def test_a_picture_is_as_large_as_it_is(tmp_path):
    path = tmp_path / "a.png"
    Image.new("RGB", (1000, 500), "red").save(path)
    picture = signal_of(hit(path, Modality.IMAGE))
    assert picture.size == (1000, 500)
    assert picture.getpixel((0, 0)) == (255, 0, 0)


def test_a_picture_that_is_called_like_a_map_is_a_picture(tmp_path):
    path = tmp_path / "yard.thermal.png"
    Image.new("RGB", (20, 10), "red").save(path)
    assert signal_of(hit(path, Modality.IMAGE)).getpixel((0, 0)) == (255, 0, 0)


def test_a_moment_of_a_video_is_its_middle(film):
    red, blue = (
        signal_of(hit(film, Modality.VIDEO, start, start + 1)).getpixel((30, 20))
        for start in (0, 1)
    )
    assert red[0] > 150 > red[2]
    assert blue[2] > 150 > blue[0]


def test_a_span_of_a_sound_is_its_samples_as_one_channel(steps):
    sound = signal_of(hit(steps, Modality.AUDIO, 3, 6))
    assert (sound.sample_rate_hz, sound.start_s) == (RATE_HZ, 3)
    assert len(sound.samples) / RATE_HZ == pytest.approx(3, abs=0.15)
    first, last = np.median(sound.samples[:RATE_HZ]), np.median(sound.samples[-RATE_HZ:])
    assert first > 0.1
    assert first / last == pytest.approx(4 / 6, abs=0.01)


def test_a_sound_without_a_span_is_all_of_it(steps):
    sound = signal_of(hit(steps, Modality.AUDIO))
    assert len(sound.samples) == 8 * RATE_HZ


def test_texts_hold_no_signal(steps):
    assert signal_of(hit(steps, Modality.TEXT)) is None


@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.VIDEO, Modality.AUDIO])
def test_there_is_nothing_of_what_is_gone_or_broken(tmp_path, modality):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    assert signal_of(hit(broken, modality)) is None
    assert signal_of(hit(tmp_path / "gone.mp4", modality, 0, 2)) is None
