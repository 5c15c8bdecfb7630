"""What every segmenter must do: inherit `SegmenterConformance`, give the segmenter and media."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime

import pytest

from polyseek.core.protocols import Segmenter
from polyseek.core.types import Asset, Media, Segment, SpanUnit


class SegmenterConformance(ABC):
    """Checks of `polyseek.core.protocols.Segmenter`; name the subclass ``Test...``."""

    @abstractmethod
    def make_segmenter(self) -> Segmenter:
        """The segmenter."""

    @abstractmethod
    def media(self) -> Mapping[str, Media]:
        """Decoded media of the segmenter's modality by file name, none empty; new at every call."""

    @pytest.fixture
    def segmenter(self) -> Segmenter:
        """The segmenter."""
        return self.make_segmenter()

    def test_segments_belong_to_the_asset(self, segmenter: Segmenter) -> None:
        for name, media in self.media().items():
            assert media.modality is segmenter.modality
            segments = _split(segmenter, name, media)
            assert segments, f"{name} gives no segment"
            for segment in segments:
                assert segment.asset_uri == f"mem:/{name}"
                assert segment.modality is segmenter.modality
                assert segment.signal is not None, "an encoder needs the signal"

    def test_the_medias_metadata_goes_to_every_segment(self, segmenter: Segmenter) -> None:
        for name, media in self.media().items():
            for segment in _split(segmenter, name, media):
                assert segment.metadata.items() >= media.metadata.items()

    def test_ids_are_unique_and_repeatable(self, segmenter: Segmenter) -> None:
        again = self.media()
        for name, media in self.media().items():
            ids = [segment.id for segment in _split(segmenter, name, media)]
            assert len(set(ids)) == len(ids)
            assert [segment.id for segment in _split(segmenter, name, again[name])] == ids

    def test_spans_lie_within_the_media_in_order(self, segmenter: Segmenter) -> None:
        for name, media in self.media().items():
            starts = []
            for segment in _split(segmenter, name, media):
                _assert_within(segment, media)
                starts.append(segment.span.start if segment.span else 0)
            assert starts == sorted(starts)

    def test_a_pickled_copy_splits_alike(self, segmenter: Segmenter) -> None:
        copy: Segmenter = pickle.loads(pickle.dumps(segmenter))  # noqa: S301 - its own bytes
        again = self.media()
        for name, media in self.media().items():
            assert _split(copy, name, media) == _split(segmenter, name, again[name])


def _split(segmenter: Segmenter, name: str, media: Media) -> list[Segment]:
    asset = Asset(
        uri=f"mem:/{name}",
        path=name,
        size_bytes=100,
        modified=datetime(2024, 5, 31, tzinfo=UTC),
        etag="1",
    )
    return list(segmenter.split(asset, media))


def _assert_within(segment: Segment, media: Media) -> None:
    span, whole = segment.span, media.span
    if span is None:
        return
    assert 0 <= span.start < span.end
    if whole is not None and span.unit is whole.unit:
        assert whole.start <= span.start
        assert span.end <= whole.end
    if span.unit is SpanUnit.CHARACTERS and whole is None and isinstance(media.signal, str):
        assert span.end <= len(media.signal)
        assert segment.text == media.signal[int(span.start) : int(span.end)]
