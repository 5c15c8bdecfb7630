"""What every decoder must do: inherit `DecoderConformance`, give the decoder and sample files."""

from __future__ import annotations

import io
import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

import numpy as np
import pytest

from polyseek.core.errors import DecodeError
from polyseek.core.protocols import Decoder
from polyseek.core.types import Asset, Frame, Media, Modality, Motion, Signal, Sound

Piece: TypeAlias = "Signal | Sound | Frame"


class DecoderConformance(ABC):
    """Checks of `polyseek.core.protocols.Decoder`; name the subclass ``Test...``.

    Attributes:
        truncation_shows: Whether half a file is broken; False for formats, such as plain text,
            of which any piece reads as a whole.
    """

    truncation_shows = True

    @abstractmethod
    def make_decoder(self) -> Decoder:
        """The decoder."""

    @abstractmethod
    def samples(self) -> Mapping[str, bytes]:
        """Good files by name, of each suffix that is decoded in its own way."""

    @pytest.fixture
    def decoder(self) -> Decoder:
        """The decoder."""
        return self.make_decoder()

    def test_suffixes_are_lower_case_with_a_dot(self, decoder: Decoder) -> None:
        assert decoder.suffixes
        for suffix in decoder.suffixes:
            assert suffix == suffix.lower()
            assert suffix.startswith(".")
            assert len(suffix) > 1
        for name in self.samples():
            assert name.lower().endswith(tuple(decoder.suffixes))

    def test_samples_decode(self, decoder: Decoder) -> None:
        for name, content in self.samples().items():
            media = _decode(decoder, name, content)
            assert media, f"{name} holds nothing"
            for each, pieces in media:
                assert pieces, f"{name}: an empty {each.modality} stream"
                for piece in pieces:
                    assert _fits(each.modality, piece), f"{name}: {type(piece)}"
                starts = [p.start_s for p in pieces if isinstance(p, Sound | Frame)]
                assert starts == sorted(starts), f"{name}: pieces out of order"
                for field, value in each.metadata.items():
                    assert _is_metadata(value), f"{name}: {field} is {value!r}"
                    if isinstance(value, datetime):
                        assert value.tzinfo is not None, f"{name}: {field} has no time zone"

    def test_media_of_one_modality_are_told_apart_by_their_spans(self, decoder: Decoder) -> None:
        for name, content in self.samples().items():
            whole = [m.modality for m, _ in _decode(decoder, name, content) if m.span is None]
            assert len(set(whole)) == len(whole), f"{name}: two media without a span"

    def test_a_pickled_copy_decodes_alike(self, decoder: Decoder) -> None:
        copy: Decoder = pickle.loads(pickle.dumps(decoder))  # noqa: S301 - its own bytes
        assert copy.suffixes == decoder.suffixes
        for name, content in self.samples().items():
            pairs = zip(_decode(decoder, name, content), _decode(copy, name, content), strict=True)
            for (here, here_pieces), (there, there_pieces) in pairs:
                assert (here.modality, here.span) == (there.modality, there.span)
                assert dict(here.metadata) == dict(there.metadata)
                for one, other in zip(here_pieces, there_pieces, strict=True):
                    assert np.array_equal(_content(one), _content(other))

    def test_an_empty_file_raises_decode_error(self, decoder: Decoder) -> None:
        for name in self.samples():
            _assert_broken(decoder, name, b"")

    @pytest.mark.parametrize("seed", range(4))
    def test_noise_raises_decode_error(self, decoder: Decoder, seed: int) -> None:
        for name in self.samples():
            _assert_broken(decoder, name, np.random.default_rng(seed).bytes(2048))

    def test_a_good_start_followed_by_noise_raises_nothing_else(self, decoder: Decoder) -> None:
        for name, content in self.samples().items():
            for keep in (8, 32, len(content) // 2):
                _raises_only_decode_error(
                    decoder, name, content[:keep] + np.random.default_rng(keep).bytes(2048)
                )

    def test_a_truncated_file_raises_decode_error(self, decoder: Decoder) -> None:
        for name, content in self.samples().items():
            for part in (1, len(content) // 4, len(content) - 1):
                _raises_only_decode_error(decoder, name, content[:part])
            half = content[: len(content) // 2]
            if self.truncation_shows:
                _assert_broken(decoder, name, half)
            else:
                _raises_only_decode_error(decoder, name, half)


def _decode(decoder: Decoder, name: str, content: bytes) -> list[tuple[Media, list[Piece]]]:
    """The media with their content; of streams, all pieces, read before the next media."""
    opened = decoder.open(_asset(name, content), io.BytesIO(content))
    return [(media, _pieces(media)) for media in opened]


def _pieces(media: Media) -> list[Piece]:
    if isinstance(media.signal, Iterator):
        return list(media.signal)
    return [cast("Piece", media.signal)]


def _asset(name: str, content: bytes) -> Asset:
    return Asset(
        uri=f"mem:/{name}",
        path=name,
        size_bytes=len(content),
        modified=datetime(2024, 5, 31, tzinfo=UTC),
        etag="1",
    )


def _assert_broken(decoder: Decoder, name: str, content: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        _decode(decoder, name, content)
    assert caught.value.uri == f"mem:/{name}"
    assert "\n" not in caught.value.reason.strip()


def _raises_only_decode_error(decoder: Decoder, name: str, content: bytes) -> None:
    try:
        _decode(decoder, name, content)
    except DecodeError:
        return


def _fits(modality: Modality, piece: Piece) -> bool:
    from PIL.Image import Image

    match modality:
        case Modality.TEXT:
            return isinstance(piece, str) and bool(piece.strip())
        case Modality.IMAGE:
            return isinstance(piece, Image)
        case Modality.AUDIO:
            return (
                isinstance(piece, Sound)
                and piece.samples.dtype == np.float32
                and piece.samples.ndim == 1
                and bool(np.isfinite(piece.samples).all())
            )
        case Modality.VIDEO:
            return (
                isinstance(piece, Frame)
                and piece.image.mode == "RGB"
                and (piece.start_s < piece.end_s)
            )
        case Modality.IMU:
            return (
                isinstance(piece, Motion)
                and piece.samples.dtype == np.float32
                and piece.samples.shape[0] == 6
                and bool(np.isfinite(piece.samples).all())
            )
        case Modality.DEPTH | Modality.THERMAL:
            return (
                isinstance(piece, np.ndarray)
                and piece.dtype == np.float32
                and piece.ndim == 2
                and bool(np.isfinite(piece).all())
            )


def _content(piece: Piece) -> Any:
    match piece:
        case Sound() | Motion():
            return piece.samples
        case Frame():
            return np.asarray(piece.image)
        case _:
            return np.asarray(piece)


def _is_metadata(value: object) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float | datetime)
