import io
from datetime import UTC, datetime
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from polyseek.core.config import IndexOptions
from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Frame, Media, Modality, SpanUnit
from polyseek.ingest.decoders.video import VideoDecoder
from polyseek.ingest.decoders.video_frames import _nits, _standard_range
from polyseek.ingest.decoders.video_track import Clock
from polyseek.ingest.segmenters.video import VideoSegmenter

WIDTH, HEIGHT, FPS = 96, 64, 10
TIME = Fraction(1, 1000)
COLOURS = ["#c82020", "#20a030", "#2040c8", "#d0c020"]


def asset(name, data=b""):
    return Asset(
        uri=f"mem:/{name}",
        path=name,
        size_bytes=len(data),
        modified=datetime(2024, 1, 1, tzinfo=UTC),
        etag="1",
    )


def pictures(count=30, each=10, size=(WIDTH, HEIGHT)):
    """Scenes of `each` frames in one colour, the upper left quarter white."""
    for number in range(count):
        image = Image.new("RGB", size, COLOURS[number // each % len(COLOURS)])
        image.paste("white", (0, 0, size[0] // 2, size[1] // 2))
        yield image


def video(suffix=".mp4", images=None, *, codec="libx264", sound=None, times=None, **given):
    """A small file, as bytes; `times` are the frames' in seconds."""
    buffer = io.BytesIO()
    kind = {".mkv": "matroska", ".ts": "mpegts", ".mpg": "mpeg"}.get(suffix, suffix[1:])
    with av.open(buffer, "w", format=kind) as container:
        container.metadata.update(given.get("tags", {}))
        images = list(pictures() if images is None else images)
        rate = given.get("rate", FPS)
        track = container.add_stream(codec, rate=rate)
        track.width, track.height = images[0].size
        track.pix_fmt = given.get("pix_fmt", "yuv420p")
        track.options = {"preset": "ultrafast", **given.get("options", {})}
        for name, value in given.get("set", {}).items():
            setattr(track.codec_context, name, value)
        if "rotation" in given:
            track.set_display_rotation(given["rotation"])
        tone = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_image(image).reformat(format=track.pix_fmt)
            if times is None:
                frame.pts, frame.time_base = number, Fraction(1, rate)
            else:
                frame.pts, frame.time_base = round(times[number] * 1000), TIME
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
        if tone:
            mux_tone(container, tone, len(images) / rate)
    return buffer.getvalue()


def mux_tone(container, tone, seconds):
    wave = np.sin(np.arange(int(48000 * seconds)) / 20).astype(np.float32) / 2
    frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = 48000, 0, Fraction(1, 48000)
    fifo = av.AudioFifo()
    fifo.write(frame)
    resampler = av.AudioResampler(format=tone.format, layout="mono", rate=48000)
    while piece := fifo.read(tone.codec_context.frame_size or 1024, partial=True):
        for fitting in resampler.resample(piece):
            container.mux(tone.encode(fitting))
    container.mux(tone.encode(None))


def decoded(data, name="clip.mp4", decoder=None):
    """Media by modality with their pieces, and what went wrong."""
    found, problems = {}, []
    try:
        for media in (decoder or VideoDecoder()).open(asset(name, data), io.BytesIO(data)):
            pieces = found.setdefault(media.modality, (media, []))[1]
            if media.modality is Modality.TEXT:
                pieces.append((media.span.start, media.span.end, media.signal))
                continue
            try:
                pieces.extend(media.signal)
            except DecodeError as error:
                problems.append(error.reason)
    except DecodeError as error:
        problems.append(error.reason)
    return found, problems


def colour(image, x=0.75, y=0.75):
    return np.asarray(image)[int(y * image.height), int(x * image.width)].astype(int)


def near(pixel, name, tolerance=24):
    expected = Image.new("RGB", (1, 1), name).getpixel((0, 0))
    return np.abs(pixel - np.array(expected)).max() < tolerance


@pytest.mark.parametrize(
    ("suffix", "codec", "sound"),
    [
        (".mp4", "libx264", "aac"),
        (".mov", "libx264", "aac"),
        (".mkv", "libx264", "libopus"),
        (".webm", "libvpx-vp9", "libopus"),
        (".avi", "mpeg4", "libmp3lame"),
        (".ts", "libx264", "aac"),
        (".mpg", "mpeg2video", "mp2"),
        (".flv", "libx264", "aac"),
    ],
)
@pytest.mark.parametrize("gap_s", [0, np.inf])
def test_containers_give_frames_at_two_a_second_and_sound(suffix, codec, sound, gap_s):
    options = {"g": "5", **({"deadline": "realtime", "cpu-used": "8"} if "vp9" in codec else {})}
    rate = 25 if codec == "mpeg2video" else FPS
    images = pictures(3 * rate, each=rate)
    data = video(suffix, images, codec=codec, sound=sound, options=options, rate=rate)
    found, problems = decoded(data, "clip" + suffix, VideoDecoder(keyframe_gap_s=gap_s))
    assert problems == []
    media, frames = found[Modality.VIDEO]
    assert (media.metadata["width"], media.metadata["height"]) == (WIDTH, HEIGHT)
    assert media.metadata["video_codec"]
    assert media.duration_s == pytest.approx(3, abs=0.2)
    starts = [frame.start_s for frame in frames]
    assert starts[:6] == pytest.approx([0, 0.5, 1, 1.5, 2, 2.5], abs=0.15)
    assert len(starts) == (7 if suffix == ".avi" and not gap_s else 6)
    assert [frame.end_s for frame in frames[:-1]] == starts[1:]
    assert frames[-1].end_s == pytest.approx(3, abs=0.15)
    late_s = -0.1 if suffix == ".avi" else 0.05  # its muxer leaves out a tick
    for frame in frames[:6]:
        scene = max(int(frame.start_s + late_s), 0)
        assert near(colour(frame.image), COLOURS[scene]), frame.start_s
    track, sounds = found[Modality.AUDIO]
    assert track.metadata["sample_rate_hz"] == 48000
    assert sounds[-1].end_s == pytest.approx(3, abs=0.2)


def only_video(data, name="clip.mp4", decoder=None):
    found, problems = decoded(data, name, decoder)
    assert problems == []
    assert set(found) == {Modality.VIDEO}
    return found[Modality.VIDEO]


def test_without_sound_there_is_only_video_with_its_facts():
    media, _ = only_video(video(tags={"title": "A day", "comment": "at sea"}))
    assert media.metadata == {
        "duration_s": 3.0,
        "title": "A day",
        "comment": "at sea",
        "width": WIDTH,
        "height": HEIGHT,
        "fps": 10.0,
        "video_codec": "h264",
    }


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_a_turned_recording_comes_out_upright(rotation):
    upright = Image.new("RGB", (64, 96), "#2040c8")
    upright.paste("white", (0, 0, 32, 48))
    # A camera held aslant stores this, and the turn, counterclockwise, that undoes it.
    stored = upright.rotate(-rotation, expand=True)
    media, frames = only_video(video(".mov", [stored] * 5, rotation=rotation))
    assert (media.metadata["width"], media.metadata["height"]) == (64, 96)
    assert frames[0].image.size == (64, 96)
    assert near(colour(frames[0].image, 0.25, 0.25), "white")
    assert near(colour(frames[0].image, 0.75, 0.25), "#2040c8")
    assert near(colour(frames[0].image, 0.25, 0.75), "#2040c8")


def test_pixels_that_are_not_square_are_stretched():
    data = video(set={"sample_aspect_ratio": Fraction(2, 1)})
    media, frames = only_video(data)
    assert (media.metadata["width"], media.metadata["height"]) == (2 * WIDTH, HEIGHT)
    assert frames[0].image.size == (2 * WIDTH, HEIGHT)


def test_large_frames_are_scaled_down():
    _, frames = only_video(video(images=pictures(3, size=(640, 480))))
    assert frames[0].image.size == (384, 288)


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3", "b-adapt": "0"}])
def test_a_variable_frame_rate_keeps_its_times(options):
    times = [0, 0.1, 0.2, 0.3, 3, 3.1, 3.4, 3.5, 3.6, 7.2]
    data = video(".mkv", pictures(10, each=1), times=times, options={"g": "100", **options})
    _, frames = only_video(data, "clip.mkv")
    assert [frame.start_s for frame in frames] == pytest.approx([0, 3, 3.5, 7.2], abs=0.002)
    assert [frame.end_s for frame in frames[:-1]] == pytest.approx([3, 3.5, 7.2], abs=0.002)
    assert frames[-1].end_s > 7.2


def test_times_count_from_the_start_of_the_file():
    times = [100 + number / 10 for number in range(20)]
    _, frames = only_video(video(".ts", pictures(20), times=times), "clip.ts")
    assert frames[0].start_s == pytest.approx(0, abs=0.01)
    assert frames[-1].end_s == pytest.approx(2, abs=0.11)


def test_a_clock_goes_on_where_timestamps_start_again():
    class At:
        time_base, duration = Fraction(1, 10), 1

        def __init__(self, pts):
            self.pts = pts

    clock = Clock(0, 10)
    stamps = [0, 1, 2, 950_000, 950_001, None, 3, 4]
    assert [clock.start_s(At(pts)) for pts in stamps] == pytest.approx(
        [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    )


@pytest.mark.parametrize("gap_s", [0, np.inf])
def test_one_frame_is_a_video(gap_s):
    decoder = VideoDecoder(keyframe_gap_s=gap_s)
    _, (frame,) = only_video(video(images=pictures(1)), decoder=decoder)
    assert frame.start_s == 0
    assert frame.end_s == pytest.approx(0.1, abs=0.01)


def test_only_sound_in_a_video_file_is_sound():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        mux_tone(container, container.add_stream("aac", rate=48000, layout="mono"), 2)
    found, problems = decoded(buffer.getvalue())
    assert problems == []
    assert set(found) == {Modality.AUDIO}


def test_a_cover_picture_is_no_video():
    cover = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(cover, "JPEG")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        tone = container.add_stream("aac", rate=48000, layout="mono")
        picture = container.add_stream("mjpeg", rate=1)
        picture.width = picture.height = 64
        picture.pix_fmt = "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover.getvalue())
        packet.stream, packet.pts, packet.dts = picture, 0, 0
        packet.time_base = Fraction(1, 48000)
        container.mux(packet)
        mux_tone(container, tone, 2)
    found, problems = decoded(buffer.getvalue())
    assert problems == []
    assert set(found) == {Modality.AUDIO}


def test_text_subtitles_in_the_file_are_passages():
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        track = container.add_stream("libx264", rate=FPS)
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        words = container.add_mux_stream("subrip", rate=0)
        words.time_base = TIME
        cues = {0.5: b"<i>A dog</i>, running", 1: b"on the beach.", 9: b"Later."}
        for start_s, text in cues.items():
            packet = av.Packet(text)
            packet.stream, packet.time_base = words, TIME
            packet.pts = packet.dts = int(start_s * 1000)
            packet.duration = 500
            container.mux(packet)
        for image in pictures(10):
            container.mux(track.encode(av.VideoFrame.from_image(image)))
        container.mux(track.encode(None))
    found, problems = decoded(buffer.getvalue(), "clip.mkv")
    assert problems == []
    assert set(found) == {Modality.VIDEO, Modality.TEXT}
    media, passages = found[Modality.TEXT]
    assert passages == [(0.5, 1.5, "A dog, running on the beach."), (9, 9.5, "Later.")]
    assert media.span.unit is SpanUnit.SECONDS


def noise(count=40, size=(WIDTH, HEIGHT)):
    generator = np.random.default_rng(0)
    for _ in range(count):
        yield Image.fromarray(generator.integers(0, 256, (size[1], size[0], 3), np.uint8))


@pytest.mark.parametrize("gap_s", [0, np.inf])
def test_a_truncated_file_gives_what_is_left_and_says_so(gap_s):
    data = video(".mkv", noise(), options={"g": "5"})
    found, problems = decoded(
        data[: len(data) * 2 // 3], "clip.mkv", VideoDecoder(keyframe_gap_s=gap_s)
    )
    assert 3 <= len(found[Modality.VIDEO][1]) < 8
    assert "it ends after 2." in problems[0]
    faststart = video(images=noise(), options={"g": "5"})
    found, problems = decoded(faststart[: len(faststart) // 2])
    assert found == {}
    assert "cannot be opened" in problems[0]


def test_a_damaged_middle_is_left_out_and_reported():
    data = bytearray(video(images=noise(), options={"g": "5"}))
    middle = len(data) // 2
    data[middle : middle + 6000] = np.random.default_rng(0).bytes(6000)
    found, problems = decoded(bytes(data), decoder=VideoDecoder(keyframe_gap_s=0))
    assert len(found[Modality.VIDEO][1]) >= 5
    assert "damaged" in problems[0]


def test_what_is_no_video_is_an_error():
    photo = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(photo, "JPEG")
    for content, words in [
        (b"", "cannot be opened"),
        (bytes(4096), "cannot be opened"),
        (b"hello " * 100, "cannot be opened"),
        (photo.getvalue(), "is a picture"),
    ]:
        found, problems = decoded(content)
        assert found == {}
        assert words in problems[0]


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_is_neither_dark_nor_washed_out(transfer):
    nits = _nits(transfer)
    assert (np.diff(nits) > 0).all()
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)[None]
    shown = _standard_range(grey, nits, wide=True)[0, :, 1].astype(int)
    assert shown[0] == 0
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] > 250
    white = shown[np.abs(nits - 203).argmin()]
    middle = shown[np.abs(nits - 203 * 0.18).argmin()]
    assert 220 < white < 245
    assert 105 < middle < 130  # 18 % grey is 118 in sRGB


def test_an_hdr_track_is_recognised():
    code = int(np.abs(_nits(16) - 203).argmin())  # diffuse white
    white = Image.new("RGB", (WIDTH, HEIGHT), (code, code, code))
    colours = {"color_trc": 16, "color_primaries": 9, "colorspace": 9}
    _, frames = only_video(video(".mkv", [white] * 3, set=colours), "clip.mkv")
    assert colour(frames[0].image).min() > 210


def test_a_display_matrix_may_mirror():
    from polyseek.ingest.decoders.video_frames import _turn_of_matrix

    def turn(a, b, c, d):
        return _turn_of_matrix(np.array([a, b, 0, c, d, 0, 0, 0, 1 << 14], np.int32).tobytes())

    assert turn(1, 0, 0, 1) is None
    assert turn(-1, 0, 0, 1) == "FLIP_LEFT_RIGHT"
    assert turn(1, 0, 0, -1) == "FLIP_TOP_BOTTOM"
    assert turn(0, 1, 1, 0) == "TRANSPOSE"
    assert _turn_of_matrix(b"") is None


def split(frames, **options):
    media = Media(modality=Modality.VIDEO, signal=iter(frames), metadata={"fps": 25.0})
    return list(VideoSegmenter(IndexOptions(**options)).split(asset("clip.mp4"), media))


def scene(seed, size=(160, 96)):
    """A still scene of coarse coloured blocks."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, 10, 3), np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def film(*scenes, step_s=0.5):
    """Frames of ``(images or seed, seconds)``."""
    frames, at_s = [], 0.0
    for content, seconds in scenes:
        for number in range(round(seconds / step_s)):
            image = scene(content) if isinstance(content, int) else content(number)
            frames.append(Frame(image=image, start_s=at_s, end_s=at_s + step_s))
            at_s += step_s
    return frames


def spans(segments):
    return [(segment.span.start, segment.span.end) for segment in segments]


def test_hard_cuts_are_borders_of_shots():
    segments = split(film((1, 4), (2, 2), (3, 6.5)))
    assert spans(segments) == [(0, 4), (4, 6), (6, 12.5)]
    assert all(segment.modality is Modality.VIDEO for segment in segments)
    assert [len(segment.signal) for segment in segments] == [1, 1, 1]  # nothing moves
    assert segments[0].metadata == {"fps": 25.0}


def test_cuts_of_a_file_are_found_within_half_a_second():
    scenes = [scene(n, (160, 96)) for n in (1, 2, 3) for _ in range(23)]
    _, frames = only_video(video(images=scenes))
    assert [start for start, _ in spans(split(frames))] == pytest.approx([0, 2.5, 5], abs=0.25)


def panorama(number):
    wide = scene(7, (640, 96))
    return wide.crop((number * 6, 0, number * 6 + 160, 96))


def test_a_pan_and_noise_have_no_cuts():
    images = list(noise(24, (160, 96)))
    assert spans(split(film((images.__getitem__, 12)))) == [(0, 12)]
    (pan,) = split(film((panorama, 12)))
    assert len(pan.signal) == 4


def test_slides_that_differ_in_their_words_are_all_kept_where_words_are_read():
    def slide(text):
        image = Image.new("RGB", (640, 360), "white")
        ImageDraw.Draw(image).text((40, 50), text, "black", ImageFont.load_default(18))
        return image

    slides = [slide("Chapter One"), slide("Chapter One"), slide("The End"), slide("The End")]
    frames = film((slides.__getitem__, 2))
    (shot,) = split(frames)
    assert len(shot.signal) == 1
    (shot,) = split(frames, ocr=True)
    assert shot.signal == [slides[0], slides[2]]


def test_short_shots_join_the_next_and_at_the_end_the_one_before():
    assert spans(split(film((1, 3), (2, 0.5), (3, 3), (4, 0.5)))) == [(0, 3), (3, 7)]
    assert spans(split(film((1, 0.5)))) == [(0, 0.5)]


def test_long_shots_are_split_evenly():
    assert spans(split(film((1, 15)))) == [(0, 15)]
    assert spans(split(film((1, 20)))) == [(0, 10), (10, 20)]
    lengths = [end - start for start, end in spans(split(film((panorama, 40), (2, 3))))]
    assert lengths == [15, 12.5, 12.5, 3]


def test_a_frame_that_stands_for_long_is_not_split():
    slides = [Frame(image=scene(n), start_s=40.0 * n, end_s=40.0 * (n + 1)) for n in range(3)]
    assert spans(split(slides)) == [(0, 40), (40, 80), (80, 120)]


def test_what_was_seen_before_an_error_is_kept():
    def broken():
        yield from film((1, 2), (2, 2))
        raise DecodeError("mem:/clip.mp4", "damaged")

    media = Media(modality=Modality.VIDEO, signal=broken())
    segments = []
    with pytest.raises(DecodeError, match="damaged"):
        segments.extend(VideoSegmenter(IndexOptions()).split(asset("clip.mp4"), media))
    assert spans(segments) == [(0, 2), (2, 4)]
