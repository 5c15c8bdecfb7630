"""One asset's way from bytes to prepared segments: what a worker process does."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import BinaryIO

from polyseek.core import plugins
from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, DecodeError, UnsupportedMediaError
from polyseek.core.protocols import Decoder, Segmenter, Source
from polyseek.core.types import (
    Asset,
    EncoderInfo,
    Media,
    Metadata,
    MetadataValue,
    Modality,
    Prepare,
    Segment,
)
from polyseek.ingest.sources.metadata import well_formed

MAX_FIELDS = 1000
"""Metadata fields of one segment. A matrix in a .csv file would make the store crawl for hours."""


@dataclass(frozen=True, kw_only=True)
class Toolbox:
    """Everything a worker needs. Picklable.

    Attributes:
        source: Opens the assets.
        decoders: By file name ending.
        segmenters: By modality.
        prepare: The encoder's preprocessing, by modality.
    """

    source: Source
    decoders: Mapping[str, Decoder]
    segmenters: Mapping[Modality, Segmenter]
    prepare: Mapping[Modality, Prepare]


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """A decoded asset.

    Attributes:
        asset: The asset.
        content_hash: Hex digest of its bytes.
        segments: Its pieces, each with a prepared signal; at least one.
        reason: Why some of it is missing; None when it is complete.
    """

    asset: Asset
    content_hash: str
    segments: tuple[Segment, ...]
    reason: str | None


def toolbox(source: Source, info: EncoderInfo, options: IndexOptions) -> Toolbox:
    """The registered decoders and segmenters with an encoder's preprocessing."""
    made = [plugins.load("segmenter", name)(options) for name in plugins.names("segmenter")]
    return Toolbox(
        source=source,
        decoders=decoders(),
        segmenters={segmenter.modality: segmenter for segmenter in made},
        prepare={modality: tower.prepare for modality, tower in info.towers.items()},
    )


def decoders() -> dict[str, Decoder]:
    """The registered decoders by the file name endings they read."""
    made = [plugins.load("decoder", name)() for name in plugins.names("decoder")]
    return {suffix: decoder for decoder in made for suffix in decoder.suffixes}


def decoder_for(asset: Asset, known: Mapping[str, Decoder]) -> Decoder:
    """The decoder for an asset's file name ending.

    Raises:
        UnsupportedMediaError: There is none.
    """
    suffix = PurePosixPath(asset.path).suffix.lower()
    decoder = known.get(suffix)
    if decoder is None:
        named = f"'{suffix}' files" if suffix else "files without an ending"
        raise UnsupportedMediaError(asset.uri, f"{named} are not supported")
    return decoder


def decode(asset: Asset, tools: Toolbox) -> Decoded:
    """Read, hash, decode, split and prepare one asset.

    What decodes before an error is kept and the error becomes `reason`.

    Raises:
        AssetError: Nothing of it can be indexed.
    """
    decoder = decoder_for(asset, tools.decoders)
    if asset.size_bytes == 0:
        raise DecodeError(asset.uri, "is empty")
    segments: list[Segment] = []
    reason = asset.problem
    with tools.source.open(asset) as stream:
        content_hash = _hash(asset, stream)
        try:
            for media in decoder.open(asset, stream):
                segments.extend(_segments(asset, media, tools))
        except DecodeError as error:
            if not segments:
                raise
            reason = error.reason
    if not segments:
        raise DecodeError(asset.uri, "holds nothing that can be indexed")
    return Decoded(asset=asset, content_hash=content_hash, segments=tuple(segments), reason=reason)


def _segments(asset: Asset, media: Media, tools: Toolbox) -> Iterator[Segment]:
    segmenter = tools.segmenters.get(media.modality)
    if segmenter is None:
        raise UnsupportedMediaError(asset.uri, f"nothing splits {media.modality} into segments")
    for segment in segmenter.split(asset, media):
        prepare = tools.prepare.get(segment.modality)
        if prepare is None or segment.signal is None:
            raise UnsupportedMediaError(asset.uri, f"the encoder cannot read {segment.modality}")
        signal = segment.signal
        yield replace(
            segment,
            text=segment.text and well_formed(segment.text),
            metadata=_metadata(asset, segment.metadata),
            signal=prepare(well_formed(signal) if isinstance(signal, str) else signal),
        )


def _metadata(asset: Asset, from_media: Metadata) -> Metadata:
    """Fields of a segment. What users say wins over what was derived, except for the path."""
    path = PurePosixPath(asset.path)
    derived: dict[str, MetadataValue] = {
        "name": path.name,
        "folder": "" if str(path.parent) == "." else str(path.parent),
        "size_bytes": asset.size_bytes,
        "modified": asset.modified,
    }
    fields = {**derived, **from_media, **asset.metadata, "path": asset.path}
    if len(fields) > MAX_FIELDS:
        raise DecodeError(
            asset.uri, f"has {len(fields):,} metadata fields, the limit is {MAX_FIELDS:,}"
        )
    return {well_formed(name): _storable(value) for name, value in fields.items()}


def _storable(value: MetadataValue) -> MetadataValue:
    if isinstance(value, str):
        return well_formed(value)
    return [well_formed(item) for item in value] if isinstance(value, list) else value


def _hash(asset: Asset, stream: BinaryIO) -> str:
    try:
        digest = hashlib.blake2b(digest_size=16)
        while block := stream.read(1024 * 1024):
            digest.update(block)
        stream.seek(0)
    except OSError as error:
        raise AssetError(asset.uri, f"cannot be read: {error.strerror}") from error
    return digest.hexdigest()
