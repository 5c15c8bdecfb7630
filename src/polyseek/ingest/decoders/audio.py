"""Recordings: WAV, FLAC, MP3, Ogg, Opus, M4A, AAC, AIFF and others that FFmpeg reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from polyseek.core.errors import DecodeError
from polyseek.core.types import Asset, Floats, Media, Modality, Sound, Span, SpanUnit
from polyseek.ingest.decoders.container import (
    Damage,
    duration_s,
    facts,
    frames,
    opened,
    origin_s,
    tag_text,
)

BLOCK_S = 1.0
GAP_S = 0.5
"""A hole in the timestamps larger than this moves the clock; smaller ones are rounding."""

_FULL_SCALE = 8.0  # float files may exceed 1; beyond this they are no sound


class AudioDecoder:
    """One mono stream at the file's own rate; the tags become metadata and a text."""

    suffixes = frozenset(
        ".wav .wave .flac .mp3 .ogg .oga .opus .m4a .m4b .aac .aif .aiff .aifc .wma .amr .au .caf "
        ".mka .ac3".split()
    )

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        with opened(asset, stream) as container:
            if not container.streams.audio:
                raise DecodeError(asset.uri, "holds no audio track")
            metadata = facts(container)
            text = tag_text(container)
            yield sound_media(asset, container, metadata)
            if text:
                length = duration_s(container)
                yield Media(
                    modality=Modality.TEXT,
                    signal=text,
                    span=Span(unit=SpanUnit.SECONDS, start=0, end=length) if length else None,
                    metadata=metadata,
                )


def sound_media(asset: Asset, container: Any, metadata: dict[str, Any]) -> Media:
    """The container's first audio track."""
    track = container.streams.audio[0]
    context = track.codec_context
    if context is None:
        raise DecodeError(asset.uri, "the audio track has a codec that is not known")
    return Media(
        modality=Modality.AUDIO,
        signal=_sounds(asset, container, track),
        metadata={
            **metadata,
            "sample_rate_hz": int(context.sample_rate),
            "channels": int(context.layout.nb_channels),
            "audio_codec": str(context.name),
        },
        duration_s=duration_s(container, track),
    )


def _sounds(asset: Asset, container: Any, track: Any) -> Iterator[Sound]:
    """Blocks of about a second, in order, mixed to mono.

    Raises:
        DecodeError: At the end, when some of it, or all, could not be decoded.
    """
    import av

    damage, clock, decoded = Damage(), None, False
    shift_s = -origin_s(container)
    rate = int(track.codec_context.sample_rate)
    mono = av.AudioResampler(format="flt", layout="mono", rate=rate)
    waiting: list[Floats] = []
    start_s = 0.0
    for frame in frames(container, track, damage):
        at_s = float(frame.pts * frame.time_base) + shift_s if frame.pts is not None else clock
        if clock is None:
            clock = start_s = max(at_s or 0.0, 0.0)
        elif at_s is not None and abs(at_s - clock) > GAP_S:
            if waiting:
                yield _block(waiting, rate, start_s)
            waiting, clock, start_s = [], max(at_s, clock), max(at_s, clock)
        try:
            resampled = mono.resample(frame)
        except (av.error.FFmpegError, ValueError) as error:  # the format changed in mid-stream
            damage.note(error)
            continue
        for piece in resampled:
            waiting.append(_samples(piece))
            clock += piece.samples / rate
        if clock - start_s >= BLOCK_S:
            yield _block(waiting, rate, start_s)
            waiting, start_s, decoded = [], clock, True
    if waiting:
        yield _block(waiting, rate, start_s)
        decoded = True
    damage.check(asset, "audio track", decoded=decoded)


def _samples(frame: Any) -> Floats:
    samples: Floats = frame.to_ndarray().reshape(-1)
    return np.clip(np.nan_to_num(samples, posinf=0, neginf=0), -_FULL_SCALE, _FULL_SCALE)


def _block(parts: list[Floats], rate: int, start_s: float) -> Sound:
    return Sound(samples=np.concatenate(parts), sample_rate_hz=rate, start_s=start_s)
