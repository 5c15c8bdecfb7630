"""Recordings: WAV, FLAC, MP3, Ogg, Opus, M4A, AAC, AIFF and others that FFmpeg reads."""

from __future__ import annotations

import io
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
    stated_s,
    tag_text,
)

BLOCK_S = 1.0
GAP_S = 0.5
"""A hole in the timestamps larger than this moves the clock; smaller ones are rounding."""

HOLE_S = 1.0
"""Where nothing decodes for longer than this, something is missing; codecs that save silence send
a packet more often."""

_GAPLESS = frozenset({"flac", "alac", "wavpack", "tta", "ape"})
_GAPLESS_S = 0.1
"""Lossless codecs leave nothing out: there, so short a hole is one."""

_MIXED_CHANNELS = 8  # up to 7.1 FFmpeg can mix what it can decode
_UNKNOWN_SIZE = 0x7FFF0000  # what programs that write WAV into a pipe put into its header
_FULL_SCALE = 8.0  # float files may exceed 1; beyond this they are no sound


class AudioDecoder:
    """One mono stream at the file's own rate; the tags become metadata and a text."""

    suffixes = frozenset(
        ".wav .wave .flac .mp3 .ogg .oga .opus .m4a .m4b .aac .aif .aiff .aifc .wma .amr .au .caf "
        ".mka .ac3".split()
    )

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        kept = _kept_of_wav(stream)
        with opened(asset, stream) as container:
            if not container.streams.audio:
                raise DecodeError(asset.uri, "holds no audio track")
            metadata = facts(container)
            text = tag_text(container)
            yield sound_media(asset, container, metadata, kept=kept)
            if text:
                length = duration_s(container)
                yield Media(
                    modality=Modality.TEXT,
                    signal=text,
                    span=Span(unit=SpanUnit.SECONDS, start=0, end=length) if length else None,
                    metadata=metadata,
                )


def sound_media(
    asset: Asset, container: Any, metadata: dict[str, Any], *, kept: float = 1.0
) -> Media:
    """The container's first audio track.

    Args:
        asset: What it is part of.
        container: Open container with an audio track.
        metadata: Fields of the container.
        kept: Share of the track that the file still has, where FFmpeg only sees what is left.
    """
    track = container.streams.audio[0]
    context = track.codec_context
    if context is None:
        raise DecodeError(asset.uri, "the audio track has a codec that is not known")
    return Media(
        modality=Modality.AUDIO,
        signal=_sounds(asset, container, track, kept),
        metadata={
            **metadata,
            "sample_rate_hz": int(context.sample_rate),
            "channels": int(context.layout.nb_channels),
            "audio_codec": str(context.name),
        },
        duration_s=duration_s(container, track),
    )


def _sounds(asset: Asset, container: Any, track: Any, kept: float) -> Iterator[Sound]:
    """Blocks of about a second, in order, mixed to mono.

    Raises:
        DecodeError: At the end, when some of it, or all, could not be decoded.
    """
    damage, clock, decoded = Damage(), None, False
    rate = int(track.codec_context.sample_rate)
    stated = stated_s(container, track)
    gapless = track.codec_context.name in _GAPLESS
    gap_s, hole_s = (_GAPLESS_S, _GAPLESS_S) if gapless else (GAP_S, HOLE_S)
    waiting: list[Floats] = []
    start_s = 0.0
    for at_s, pieces in _mixed(container, track, damage):
        if clock is None:
            clock = start_s = max(at_s or 0.0, 0.0)
        elif at_s is not None and abs(at_s - clock) > gap_s:
            if waiting:
                yield _block(waiting, rate, start_s)
            if at_s - clock > hole_s:
                damage.note(ValueError(f"nothing between {clock:.1f} s and {at_s:.1f} s"))
            waiting, clock, start_s = [], max(at_s, clock), max(at_s, clock)
        for piece in pieces:
            waiting.append(piece)
            clock += len(piece) / rate
        if clock - start_s >= BLOCK_S:
            yield _block(waiting, rate, start_s)
            waiting, start_s, decoded = [], clock, True
    if waiting:
        yield _block(waiting, rate, start_s)
        decoded = True
    if clock is not None and stated is not None:
        damage.check_length(clock, stated / kept)
    damage.check(asset, "audio track", decoded=decoded)


def _mixed(
    container: Any, track: Any, damage: Damage
) -> Iterator[tuple[float | None, list[Floats]]]:
    """When each frame begins, where it says so, and its samples as one channel."""
    import av

    mono = _Mono(int(track.codec_context.sample_rate))
    shift_s = -origin_s(container)
    for frame in frames(container, track, damage):
        at_s = None if frame.pts is None else float(frame.pts * frame.time_base) + shift_s
        try:
            yield at_s, mono(frame)
        except (av.error.FFmpegError, ValueError) as error:  # the format changed in mid-stream
            damage.note(error)


class _Mono:
    """One channel of any number. FFmpeg knows how most are mixed; the others are averaged."""

    def __init__(self, rate_hz: int) -> None:
        import av

        self._rate_hz = rate_hz
        self._mixed = av.AudioResampler(format="flt", layout="mono", rate=rate_hz)
        self._apart: Any = None

    def __call__(self, frame: Any) -> list[Floats]:
        import av

        channels = int(frame.layout.nb_channels)
        if self._apart is None:
            try:
                return [_samples(piece) for piece in self._mixed.resample(frame)]
            except av.error.ArgumentError:
                if channels <= _MIXED_CHANNELS:
                    raise
                self._apart = av.AudioResampler(
                    format="flt", layout=frame.layout, rate=self._rate_hz
                )
        apart = [_samples(piece).reshape(-1, channels) for piece in self._apart.resample(frame)]
        return [samples.mean(axis=1) for samples in apart]


def _kept_of_wav(stream: BinaryIO) -> float:
    """Share of a WAV file's samples that are there; 1 where its header does not say, as in pipes.

    FFmpeg takes what is left of a file that was cut off for all of it.
    """
    stream.seek(0)
    riff = stream.read(12)
    if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
        return 1.0
    while len(head := stream.read(8)) == 8:
        size = int.from_bytes(head[4:], "little")
        if head[:4] == b"data":
            start = stream.tell()
            left = stream.seek(0, io.SEEK_END) - start
            return left / size if left < size < _UNKNOWN_SIZE else 1.0
        stream.seek(size + size % 2, io.SEEK_CUR)
    return 1.0


def _samples(frame: Any) -> Floats:
    samples: Floats = frame.to_ndarray().reshape(-1)
    return np.clip(np.nan_to_num(samples, posinf=0, neginf=0), -_FULL_SCALE, _FULL_SCALE)


def _block(parts: list[Floats], rate: int, start_s: float) -> Sound:
    return Sound(samples=np.concatenate(parts), sample_rate_hz=rate, start_s=start_s)
