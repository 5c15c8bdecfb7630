"""Small copies of what was found: thumbnails, and clips that a browser plays."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from typing import Any

import numpy as np

from polyseek.core.hits import Clip, Hit
from polyseek.core.types import Modality, SpanUnit
from polyseek.ingest.decoders.video_frames import FramePictures
from polyseek.ingest.decoders.video_track import video_track
from polyseek.ingest.hit_signal import between, made, middle_frame, whole
from polyseek.ingest.sources.locate import open_uri

THUMBNAIL_SIDE = 320
CLIP_S = 10.0
CLIP_HEIGHT, CLIP_FPS = 180, 10
WAVE_BARS = 80
_WAVE_RATE_HZ, _WAVE_STRIDE = 8_000, 100
SOUND_RATE_HZ, SOUND_BITS_PER_S = 48_000, 32_000


def preview(hit: Hit) -> Clip | None:
    """A JPEG of a picture, page or map, an Opus clip of a sound, a silent MP4 of a video moment.

    None for what has no picture and no sound, and for assets that cannot be read any more.
    """
    make = {
        Modality.IMAGE: _picture,
        Modality.AUDIO: _sound,
        Modality.VIDEO: _film,
        Modality.DEPTH: _picture,
        Modality.THERMAL: _picture,
    }.get(hit.modality)
    return None if make is None else made(hit, make)


def picture(hit: Hit) -> Clip | None:
    """A still picture: of a picture or page itself, of a video moment, of a sound's waveform.

    None as for `preview`; a text has a picture where it is on the page of a document.
    """
    if hit.span is not None and hit.span.unit is SpanUnit.SECONDS:  # also words that are spoken
        return made(hit, _small_frame) or made(hit, _waveform)
    make = {Modality.AUDIO: _waveform, Modality.VIDEO: _small_frame}.get(hit.modality, _picture)
    return made(hit, make)


def _picture(hit: Hit) -> Clip | None:
    image = whole(hit)
    return None if image is None else _thumbnail(image)


def _thumbnail(image: Any) -> Clip:
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return Clip(mime="image/jpeg", data=buffer.getvalue())


def _small_frame(hit: Hit) -> Clip | None:
    image = middle_frame(hit)
    return None if image is None else _thumbnail(image)


def _waveform(hit: Hit) -> Clip | None:
    """Bars as high as the loudest sample of each stretch."""
    import av

    peaks: list[float] = []
    with open_uri(hit.uri) as file, av.open(file) as source:
        heard = next(iter(source.streams.audio), None)
        if heard is None:
            return None
        resampler = av.AudioResampler(format="flt", layout="mono", rate=_WAVE_RATE_HZ)
        for frame in between(source, heard, hit.span, longest_s=CLIP_S):
            frame.pts = None
            for piece in resampler.resample(frame):
                samples = np.abs(piece.to_ndarray().ravel())
                edges = np.arange(0, len(samples), _WAVE_STRIDE)
                peaks.extend(np.maximum.reduceat(samples, edges).tolist() if len(edges) else [])
    return Clip(mime="image/svg+xml", data=_bars(peaks).encode()) if peaks else None


def _bars(peaks: list[float]) -> str:
    """An SVG that looks right on light and on dark ground, at any size."""
    groups = np.array_split(np.array(peaks), min(WAVE_BARS, len(peaks)))
    heights = np.array([group.max() for group in groups])
    heights = np.maximum(heights / max(float(heights.max()), 1e-9) * 92, 3)
    bars = "".join(
        f'<rect x="{4 * i + 0.5:g}" y="{50 - h / 2:.1f}" width="3" height="{h:.1f}" rx="1.5"/>'
        for i, h in enumerate(heights.tolist())
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {4 * len(heights)} 100" '
        f'preserveAspectRatio="none" fill="#6b8cae">{bars}</svg>'
    )


def _sound(hit: Hit) -> Clip | None:
    import av

    buffer = BytesIO()
    with (
        open_uri(hit.uri) as file,
        av.open(file) as source,
        av.open(buffer, "w", format="ogg") as target,
    ):
        heard = next(iter(source.streams.audio), None)
        if heard is None:
            return None
        track = target.add_stream("libopus", rate=SOUND_RATE_HZ, layout="mono")
        track.bit_rate = SOUND_BITS_PER_S
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SOUND_RATE_HZ)
        for frame in between(source, heard, hit.span, longest_s=CLIP_S):
            frame.pts = None
            for piece in resampler.resample(frame):
                target.mux(track.encode(piece))
        for piece in resampler.resample(None):
            target.mux(track.encode(piece))
        target.mux(track.encode(None))
    return Clip(mime="audio/ogg", data=buffer.getvalue())


def _film(hit: Hit) -> Clip | None:
    import av

    buffer = BytesIO()
    with (
        open_uri(hit.uri) as file,
        av.open(file) as source,
        av.open(buffer, "w", format="mp4") as target,
    ):
        shown = video_track(source)
        if shown is None:
            return None
        pictures = FramePictures(shown)
        track = target.add_stream("libx264", rate=CLIP_FPS, options={"crf": "30"})
        count = 0
        first_s = None
        for frame in between(source, shown, hit.span, longest_s=CLIP_S):
            if first_s is None:
                first_s = frame.time
                width, height = pictures.size(frame)
                track.width = max(round(width * CLIP_HEIGHT / height / 2) * 2, 2)
                track.height, track.pix_fmt = CLIP_HEIGHT, "yuv420p"
            if frame.time - first_s < count / CLIP_FPS:
                continue
            picture = pictures(frame).resize((track.width, track.height))
            plain = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            small = plain.reformat(format="yuv420p")
            small.pts, small.time_base = count, Fraction(1, CLIP_FPS)
            count += 1
            target.mux(track.encode(small))
        target.mux(track.encode(None))
    return Clip(mime="video/mp4", data=buffer.getvalue()) if count else None
