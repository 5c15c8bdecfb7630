"""What a hit holds, decoded once more from its asset: a picture, a page, a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import numpy as np

from polyseek.core.errors import AssetError, ConfigError
from polyseek.core.hits import Hit
from polyseek.core.types import Asset, Floats, Modality, Signal, Sound, Span, SpanUnit
from polyseek.ingest.decode import decoder_for, decoders
from polyseek.ingest.decoders.container import origin_s
from polyseek.ingest.decoders.pdf import PdfDecoder, page_picture
from polyseek.ingest.decoders.video_frames import FramePictures
from polyseek.ingest.decoders.video_track import video_track
from polyseek.ingest.sources.locate import open_uri

_Made = TypeVar("_Made")


def signal_of(hit: Hit) -> Signal | None:
    """A PIL image of a picture, a page or the middle of a video's moment; a sound's samples.

    None for texts, and for assets that cannot be read any more.
    """
    match hit.modality:
        case Modality.IMAGE:
            return made(hit, whole)
        case Modality.VIDEO:
            return made(hit, middle_frame)
        case Modality.AUDIO:
            return made(hit, sound)
    return None


def made(hit: Hit, make: Callable[[Hit], _Made]) -> _Made | None:
    """What `make` makes of a hit; None where its asset cannot be read any more."""
    import av

    try:
        return make(hit)
    except (AssetError, ConfigError, OSError, ValueError, av.error.FFmpegError):
        return None


def whole(hit: Hit) -> Any | None:
    """The picture, the page, or a map in grey, as a PIL image. Raises what readers raise."""
    asset = Asset(
        uri=hit.uri,
        path=Path(urlsplit(hit.uri).path).name,
        size_bytes=0,
        modified=datetime.now(UTC),
        etag="",
    )
    with open_uri(hit.uri) as stream:
        decoder = decoder_for(asset, decoders({hit.modality}))
        paged = hit.span is not None and hit.span.unit is SpanUnit.PAGE
        if isinstance(decoder, PdfDecoder) and hit.span is not None and paged:
            return page_picture(asset, stream, int(hit.span.start))
        for media in decoder.open(asset, stream):
            if media.modality is Modality.IMAGE and media.span == hit.span:
                return media.signal
            if media.modality in (Modality.DEPTH, Modality.THERMAL):
                return _grey(np.asarray(media.signal), near=media.modality is Modality.DEPTH)
        return None


def _grey(values: Floats, *, near: bool) -> Any:
    """A map as a picture: what is near or warm is light, what is not known black."""
    from PIL import Image

    known = values[values > 0]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    share = (values - low) / ((high - low) or 1)
    light = np.where(values > 0, 1 - 0.9 * share, 0) if near else values
    return Image.fromarray((255 * light.clip(0, 1)).astype(np.uint8))


def middle_frame(hit: Hit) -> Any | None:
    """The video in the middle of the moment, or where it begins when there is no more."""
    import av

    with open_uri(hit.uri) as file, av.open(file) as source:
        shown = video_track(source)
        if shown is None:
            return None
        best = None
        middle_s = (hit.span.start + hit.span.end) / 2 if hit.span else 0.0
        for one in between(source, shown, hit.span):
            best = one
            if one.time - origin_s(source) >= middle_s:
                break
        return None if best is None else FramePictures(shown)(best)


def sound(hit: Hit) -> Sound | None:
    """The samples of the moment, or of all of it, at the recording's own rate."""
    import av

    with open_uri(hit.uri) as file, av.open(file) as source:
        heard = next(iter(source.streams.audio), None)
        if heard is None:
            return None
        rate_hz = int(heard.codec_context.sample_rate)
        mono = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
        parts = [
            piece.to_ndarray().reshape(-1)
            for one in between(source, heard, hit.span)
            for piece in mono.resample(one)
        ]
    if not parts:
        return None
    start_s = hit.span.start if hit.span else 0.0
    return Sound(samples=np.concatenate(parts), sample_rate_hz=rate_hz, start_s=start_s)


def between(
    source: Any, track: Any, span: Span | None, *, longest_s: float = float("inf")
) -> Iterator[Any]:
    """Decoded frames of a span, or of everything, up to `longest_s` of it."""
    start_s, end_s = (span.start, span.end) if span else (0.0, float("inf"))
    zero_s = origin_s(source)
    if start_s > 0:
        source.seek(int((zero_s + start_s) * 1_000_000))
    for one in source.decode(track):
        if one.time is None:
            continue
        at_s = one.time - zero_s
        if at_s >= min(end_s, start_s + longest_s):
            return
        if at_s >= start_s - 0.05:
            yield one
