"""Recordings: formats, rates, channels, tags, windows, silence, and files that break off."""

import io
from datetime import UTC, datetime

import av
import numpy as np
import pytest

from polyseek.core.config import IndexOptions
from polyseek.core.errors import ConfigError, DecodeError
from polyseek.core.types import Asset, Media, Modality, Sound
from polyseek.ingest.decoders.audio import AudioDecoder
from polyseek.ingest.segmenters.audio import SILENCE_DBFS, AudioSegmenter, loudness_dbfs
from polyseek.ingest.segmenters.stream import until_broken


def tone(seconds, rate, hertz=440.0, level=0.5):
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )


def encoded(wave, rate, container, codec, *, layout="mono", tags=None, muxer=None, options=None):
    """A file's bytes. `wave` is ``(n,)`` or ``(channels, n)``."""
    wave = np.atleast_2d(wave)
    interleaved = np.ascontiguousarray(wave.T.reshape(1, -1))
    interleaved = (interleaved * 32_767).astype(np.int16)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=muxer or {}) as file:
        file.metadata.update(tags or {})
        track = file.add_stream(codec, rate=rate, layout=layout, options=options or {})
        frame = av.AudioFrame.from_ndarray(interleaved, format="s16", layout=layout)
        frame.sample_rate = rate
        wanted = track.codec_context.format.name
        resampler = av.AudioResampler(
            format=wanted, layout=layout, rate=rate, frame_size=track.codec_context.frame_size or 0
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            file.mux(track.encode(piece))
        file.mux(track.encode(None))
    return buffer.getvalue()


def asset(name):
    return Asset(uri=f"mem:/{name}", path=name, size_bytes=1, modified=datetime.now(UTC), etag="1")


def decode(name, content):
    """The media with their sounds read."""
    found = []
    for media in AudioDecoder().open(asset(name), io.BytesIO(content)):
        stream = media.modality is Modality.AUDIO
        found.append((media, list(media.signal) if stream else media.signal))
    return found


def wave_of(name, content):
    (media, sounds), *_ = decode(name, content)
    assert [s.start_s for s in sounds] == sorted(s.start_s for s in sounds)
    return media, np.concatenate([s.samples for s in sounds])


def pitch(wave, rate):
    spectrum = np.abs(np.fft.rfft(wave[:rate], rate))
    return spectrum.argmax()


@pytest.mark.parametrize(
    ("name", "container", "codec", "rate"),
    [
        ("a.wav", "wav", "pcm_u8", 8_000),
        ("a.wav", "wav", "pcm_s16le", 22_050),
        ("a.wav", "wav", "pcm_s24le", 48_000),
        ("a.wav", "wav", "pcm_s32le", 44_100),
        ("a.wav", "wav", "pcm_f32le", 96_000),
        ("a.wav", "wav", "pcm_alaw", 8_000),
        ("a.wav", "wav", "libmp3lame", 44_100),
        ("a.flac", "flac", "flac", 44_100),
        ("a.mp3", "mp3", "libmp3lame", 44_100),
        ("a.opus", "ogg", "libopus", 48_000),
        ("a.m4a", "mp4", "aac", 44_100),
        ("a.aac", "adts", "aac", 44_100),
        ("a.aiff", "aiff", "pcm_s16be", 44_100),
    ],
)
def test_formats_and_rates(name, container, codec, rate):
    media, wave = wave_of(name, encoded(tone(1.5, rate), rate, container, codec))
    assert media.metadata["sample_rate_hz"] == rate
    assert media.metadata["channels"] == 1
    assert len(wave) / rate == pytest.approx(1.5, abs=0.12)
    assert wave.dtype == np.float32
    assert pitch(wave[int(0.2 * rate) :], rate) == pytest.approx(440, abs=2)
    # The beginning of a lossy file may overshoot.
    middle = wave[len(wave) // 3 : len(wave) // 2]
    assert np.abs(middle).max() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(("layout", "channels"), [("stereo", 2), ("5.1", 6), ("7.1", 8)])
def test_any_number_of_channels_is_mixed_to_one(layout, channels):
    wave = np.stack([tone(1, 16_000, level=0.1)] * channels)
    content = encoded(wave, 16_000, "wav", "pcm_s16le", layout=layout)
    media, mixed = wave_of("a.wav", content)
    assert media.metadata["channels"] == channels
    assert pitch(mixed, 16_000) == pytest.approx(440, abs=1)
    assert np.abs(mixed).max() < 1


@pytest.mark.parametrize("channels", [9, 31])
def test_channels_that_ffmpeg_has_no_layout_for_are_averaged(channels):
    content = bytearray(encoded(tone(1, 16_000 * channels), 16_000, "wav", "pcm_s16le"))
    one = (tone(1, 16_000) * 32_767).astype("<i2")
    content[-channels * 32_000 :] = np.repeat(one, channels).tobytes()
    content[22:24] = channels.to_bytes(2, "little")
    content[32:34] = (2 * channels).to_bytes(2, "little")
    content[28:32] = (32_000 * channels).to_bytes(4, "little")
    media, mixed = wave_of("a.wav", bytes(content))
    assert media.metadata["channels"] == channels
    assert pitch(mixed, 16_000) == pytest.approx(440, abs=1)
    assert np.abs(mixed).max() == pytest.approx(0.5, abs=0.01)


def test_tags_are_metadata_and_a_text():
    tags = {"title": "Rain on a tin roof", "artist": "Ada", "comment": "recorded at night"}
    found = decode("a.flac", encoded(tone(1, 16_000), 16_000, "flac", "flac", tags=tags))
    (media, _), (words, text) = found
    assert media.metadata["title"] == "Rain on a tin roof"
    assert media.metadata["duration_s"] == pytest.approx(1)
    assert words.modality is Modality.TEXT
    assert text.splitlines() == ["Rain on a tin roof", "Ada", "recorded at night"]


def test_a_hundredth_of_a_second_is_a_sound():
    _, wave = wave_of("a.wav", encoded(tone(0.01, 16_000), 16_000, "wav", "pcm_s16le"))
    assert len(wave) == 160


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"RIFF\x00\x00\x00\x00WAVE"])
def test_what_is_no_recording_is_an_error(content):
    with pytest.raises(DecodeError):
        decode("a.wav", content)


def test_a_video_without_sound_under_an_audio_name_is_an_error():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as file:
        track = file.add_stream("mpeg4", rate=5)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        picture = np.zeros((48, 64, 3), np.uint8)
        file.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(track.encode(None))
    with pytest.raises(DecodeError, match="no audio track"):
        decode("a.m4a", buffer.getvalue())


def test_a_session_description_opens_no_connection():
    lines = (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n"
    )
    with pytest.raises(DecodeError, match="cannot be opened"):
        decode("a.wav", lines.encode())


def heard(name, content):
    """Seconds of sound, and what is missing."""
    opened = AudioDecoder().open(asset(name), io.BytesIO(content))
    media = next(opened)
    broken = []
    sounds = list(until_broken(media.signal, broken))
    return sum(len(s.samples) / s.sample_rate_hz for s in sounds), [b.reason for b in broken]


@pytest.mark.parametrize(
    ("name", "container", "codec"),
    [
        ("a.wav", "wav", "pcm_s16le"),
        ("a.aiff", "aiff", "pcm_s16be"),
        ("a.mp3", "mp3", "libmp3lame"),
        ("a.mka", "matroska", "aac"),
    ],
)
@pytest.mark.slow
def test_a_recording_that_breaks_off_says_so(name, container, codec):
    whole = encoded(tone(12, 44_100), 44_100, container, codec)
    assert heard(name, whole) == (pytest.approx(12, abs=0.2), [])
    length_s, (reason,) = heard(name, whole[: len(whole) // 2])
    assert length_s == pytest.approx(6, abs=0.5)
    assert "it ends after 6." in reason or "it ends after 5." in reason
    assert "of 12." in reason


@pytest.mark.slow
def test_lengths_that_are_unknown_or_guessed_are_not_missed():
    piped = bytearray(encoded(tone(5, 16_000), 16_000, "wav", "pcm_s16le"))
    at = piped.index(b"data") + 4
    for unknown in (bytes(4), b"\xff" * 4):
        piped[at : at + 4] = unknown
        assert heard("a.wav", bytes(piped)) == (pytest.approx(5), [])
    # A guess from the bit rate of the first packets, which noise at the end makes far too long.
    loud = np.random.default_rng(0).normal(0, 0.2, 8 * 44_100).astype(np.float32)
    wave = np.concatenate([tone(8, 44_100), loud])
    varying = {"flags": "+qscale", "global_quality": "700"}
    content = encoded(wave, 44_100, "mp3", "libmp3lame", options=varying, muxer={"write_xing": "0"})
    assert heard("a.mp3", content) == (pytest.approx(16, abs=0.2), [])


@pytest.mark.slow
def test_a_hole_in_a_recording_is_reported():
    content = encoded(tone(30, 44_100), 44_100, "matroska", "aac")
    buffer = io.BytesIO()
    with (
        av.open(io.BytesIO(content)) as whole,
        av.open(buffer, "w", format="matroska") as file,
    ):
        track = file.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(whole.streams.audio[0]):
            if packet.size and not 10 < packet.pts * packet.time_base < 18:
                packet.stream = track
                file.mux(packet)
    length_s, (reason,) = heard("a.mka", buffer.getvalue())
    assert length_s == pytest.approx(22, abs=0.2)
    assert "nothing between 10.0 s and 18.0 s" in reason


def test_a_damaged_middle_costs_only_itself():
    content = bytearray(encoded(tone(20, 44_100), 44_100, "mp3", "libmp3lame"))
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    opened = AudioDecoder().open(asset("a.mp3"), io.BytesIO(bytes(content)))
    media = next(opened)
    broken = []
    heard = list(until_broken(media.signal, broken))
    assert "damaged in" in broken[0].reason
    assert sum(len(s.samples) for s in heard) / 44_100 > 18


def test_a_short_hole_in_a_lossless_recording_is_reported():
    """FFmpeg leaves damaged FLAC frames out without a word."""
    content = bytearray(encoded(tone(3, 44_100), 44_100, "flac", "flac"))
    middle = len(content) // 2
    damage = np.random.default_rng(0).integers(0, 256, len(content) // 6, np.uint8)
    content[middle : middle + len(damage)] = damage.tobytes()
    length_s, (reason,) = heard("a.flac", bytes(content))
    assert 1.5 < length_s < 2.9
    assert "damaged in 1 place: nothing between" in reason
    assert heard("a.flac", encoded(tone(3, 44_100), 44_100, "flac", "flac"))[1] == []


# windows


def split(sounds, **options):
    media = Media(modality=Modality.AUDIO, signal=iter(sounds), metadata={"title": "x"})
    return list(AudioSegmenter(IndexOptions(**options)).split(asset("a.wav"), media))


def sound(seconds, start_s=0.0, rate=1000, **more):
    return Sound(samples=tone(seconds, rate, **more), sample_rate_hz=rate, start_s=start_s)


def spans(segments):
    return [s.span and (s.span.start, s.span.end) for s in segments]


def test_a_short_sound_is_one_segment_of_the_whole():
    (segment,) = split([sound(1), sound(1, 1), sound(0.5, 2)])
    assert segment.span is None
    assert len(segment.signal.samples) == 2500
    assert segment.metadata == {"title": "x"}


def test_a_long_recording_is_cut_into_overlapping_windows():
    pieces = [sound(1, i) for i in range(23)]
    assert spans(split(pieces)) == [(0, 10), (5, 15), (10, 20), (15, 23)]
    assert spans(split(pieces, window_s=8, hop_s=8)) == [(0, 8), (8, 16), (16, 23)]
    assert [len(s.signal.samples) for s in split(pieces)] == [10_000, 10_000, 10_000, 8_000]


def test_a_rest_that_the_last_window_nearly_covers_gets_none_of_its_own():
    assert spans(split([sound(10.3)])) == [(0, 10)]
    assert spans(split([sound(10.6)])) == [(0, 10), (5, 10.6)]


def test_silence_is_left_out_and_nothing_else_is_an_error():
    quiet = [sound(1, i, level=1e-5) for i in range(12)]
    loud = [sound(1, 12 + i) for i in range(12)]
    assert spans(split(quiet + loud)) == [(5, 15), (10, 20), (15, 24)]
    with pytest.raises(DecodeError, match="only silence"):
        split(quiet)


def test_a_hole_in_the_recording_starts_a_new_window():
    assert spans(split([sound(4), sound(4, 100)])) == [(0, 4), (100, 104)]


def test_what_came_before_an_error_counts():
    def breaking():
        yield sound(7)
        raise DecodeError("mem:/a.wav", "damaged")

    media = Media(modality=Modality.AUDIO, signal=breaking())
    broken = []
    segments = AudioSegmenter(IndexOptions()).split(asset("a.wav"), media)
    (found,) = until_broken(segments, broken)
    assert len(found.signal.samples) == 7000
    assert broken[0].reason == "damaged"


@pytest.mark.parametrize(("window_s", "hop_s"), [(10, 0), (10, 11), (0, 0), (-1, -2)])
def test_windows_that_would_leave_gaps_are_refused(window_s, hop_s):
    with pytest.raises(ConfigError, match="hop_s|window_s"):
        AudioSegmenter(IndexOptions(window_s=window_s, hop_s=hop_s))


def test_loudness_is_in_decibels_below_full_scale():
    assert loudness_dbfs(np.ones(100, np.float32)) == pytest.approx(0)
    assert loudness_dbfs(np.full(100, 0.1, np.float32)) == pytest.approx(-20, abs=1e-4)
    assert loudness_dbfs(np.zeros(100, np.float32)) < SILENCE_DBFS
    assert loudness_dbfs(np.zeros(0, np.float32)) < SILENCE_DBFS
