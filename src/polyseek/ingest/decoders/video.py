"""Videos: MP4, MOV, MKV, WebM, AVI, MPEG and others that FFmpeg reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any, BinaryIO

from polyseek.core.errors import DecodeError
from polyseek.core.runtime import available_cores
from polyseek.core.types import Asset, Frame, Media, MetadataValue, Modality
from polyseek.ingest.decoders.audio import AudioDecoder, sound_media
from polyseek.ingest.decoders.container import Damage, duration_s, facts, frames, opened, origin_s
from polyseek.ingest.decoders.subtitles import embedded_subtitles, subtitle_track
from polyseek.ingest.decoders.video_frames import LEGIBLE_SIDE, SHORT_SIDE, FramePictures
from polyseek.ingest.decoders.video_track import (
    Clock,
    Packets,
    keyframe_gap_s,
    video_track,
)

KEYFRAME_GAP_S = 1.0
"""Where keyframes are at most this far apart, as in recordings of phones and cameras, they alone
are decoded: several times as fast, and no shot of a second is missed."""

_THREADS = 4  # more need memory for frames that are decoded ahead
_SMOOTH_FPS = 20  # from here on, frames that no other frame refers to are not missed


class VideoDecoder:
    """About two frames a second, the sound track, and subtitles inside of the file.

    Args:
        keyframe_gap_s: Only keyframes are decoded where their median distance is at most this;
            0 decodes everything, infinity only keyframes.
        short_side: Of the frames' pictures at most, in pixels.
    """

    suffixes = frozenset(
        ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .m2ts .3gp .wmv .flv .ogv".split()
    )

    def __init__(
        self, *, keyframe_gap_s: float = KEYFRAME_GAP_S, short_side: int = SHORT_SIDE
    ) -> None:
        self._keyframe_gap_s, self._short_side = keyframe_gap_s, short_side

    def legible(self) -> VideoDecoder:
        """See `polyseek.core.protocols.PictureDecoder`."""
        return VideoDecoder(keyframe_gap_s=self._keyframe_gap_s, short_side=LEGIBLE_SIDE)

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """See `polyseek.core.protocols.Decoder`."""
        with opened(asset, stream) as container:
            if container.format.name.endswith("_pipe"):
                raise DecodeError(asset.uri, "is a picture, not a video")
            track = video_track(container)
            seen, heard = track is not None, bool(container.streams.audio)
            read = subtitle_track(container) is not None
            gap_s = keyframe_gap_s(container, track) if seen else 0.0
        if not seen and not heard:
            raise DecodeError(asset.uri, "holds neither a video nor an audio track")
        # Each track is read from the start: reading one of them uses up the container.
        if seen:
            with opened(asset, stream) as container:
                keyframes = gap_s <= self._keyframe_gap_s
                yield _video_media(
                    asset, container, keyframes=keyframes, short_side=self._short_side
                )
        if heard and seen:
            with opened(asset, stream) as container:
                yield sound_media(asset, container, facts(container))
        elif heard:
            yield from AudioDecoder().open(asset, stream)
        if read:
            with opened(asset, stream) as container:
                yield from embedded_subtitles(asset, container)


def _video_media(asset: Asset, container: Any, *, keyframes: bool, short_side: int) -> Media:
    track = video_track(container)
    context = track.codec_context
    fps = float(track.average_rate or track.guessed_rate or 0)
    track.thread_type = "AUTO"
    context.thread_count = min(_THREADS, available_cores())
    if fps >= _SMOOTH_FPS and not keyframes:
        context.skip_frame = "NONREF"
    packets = Packets(container, track, fps, keyframes=keyframes)
    clock, damage = Clock(origin_s(container), fps), Damage()
    decoded = frames(packets, track, damage)
    first = next(decoded, None)  # only a frame knows which way is up
    pictures = FramePictures(track, short_side=short_side)
    metadata: dict[str, MetadataValue] = {**facts(container), "video_codec": str(context.name)}
    if first is not None:
        metadata["width"], metadata["height"] = pictures.size(first)
        decoded = chain([first], decoded)
    if fps:
        metadata["fps"] = round(fps, 3)
    return Media(
        modality=Modality.VIDEO,
        signal=_to_the_end(_sampled(decoded, pictures, clock, damage), asset, packets, damage),
        metadata=metadata,
        duration_s=duration_s(container, track),
    )


def _to_the_end(
    sampled: Iterator[Frame], asset: Asset, packets: Packets, damage: Damage
) -> Iterator[Frame]:
    """Each frame is shown until the next one is, the last one until the track ends.

    Raises:
        DecodeError: At the end, when some of it, or all, could not be decoded.
    """
    waiting: Frame | None = None
    for frame in sampled:
        if waiting:
            yield replace(waiting, end_s=frame.start_s)
        waiting = frame
    if waiting:
        yield replace(waiting, end_s=max(waiting.end_s, packets.clock.end_s))
        packets.check_length(damage)
    damage.check(asset, "video track", decoded=waiting is not None)


def _sampled(
    decoded: Iterator[Any], pictures: FramePictures, clock: Clock, damage: Damage
) -> Iterator[Frame]:
    """The first frame of every stretch of `SAMPLE_S`."""
    import av

    for frame in decoded:
        start_s = clock.start_s(frame)
        if frame.is_corrupt:
            damage.note(ValueError("a frame is damaged"))
        elif clock.due(start_s):
            try:
                image = pictures(frame)
            except (av.error.FFmpegError, ValueError) as error:
                damage.note(error)
            else:
                yield Frame(image=image, start_s=start_s, end_s=clock.end_s)
