"""One asset's way from bytes to prepared segments: what a worker process does."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from time import perf_counter
from typing import BinaryIO, TypeVar, cast

import numpy as np

from polyseek.core import plugins
from polyseek.core.config import IndexOptions
from polyseek.core.errors import (
    AssetError,
    DecodeError,
    EmptyMediaError,
    UnsupportedMediaError,
)
from polyseek.core.protocols import (
    Decoder,
    DetailedSource,
    FileReader,
    PictureDecoder,
    RemoteStream,
    Segmenter,
    Source,
    SpecialDecoder,
)
from polyseek.core.texts import well_formed
from polyseek.core.types import (
    Asset,
    EncoderInfo,
    Media,
    Metadata,
    MetadataValue,
    Modality,
    Prepare,
    Segment,
    Signal,
    Sound,
    Span,
    SpanUnit,
)
from polyseek.ingest.listening import Listening
from polyseek.ingest.reading import MIN_TEXT_CHARS, passages
from polyseek.ingest.recognise import Recognisers
from polyseek.ingest.segmenters.whole import WholeSegmenter

_T = TypeVar("_T")

MAX_FIELDS = 1000
"""Metadata fields of one segment. A matrix in a .csv file would make the store crawl for hours."""

PART_BYTES, PART_SECONDS = 1024 * 1024, 5.0
"""Prepared signals go to the encoder when there are so many, or so much time has passed."""


@dataclass(frozen=True, kw_only=True)
class Toolbox:
    """Everything a worker needs. Picklable.

    Attributes:
        source: Opens the assets.
        decoders: By file name ending.
        segmenters: By modality.
        prepare: The encoder's preprocessing, by modality.
        readers: Of the encoder's towers that have files of their own.
        recognisers: Engines that find words in pictures and speech.
        passage_chars: Longest passage of the words in a picture.
    """

    source: Source
    decoders: Mapping[str, Decoder]
    segmenters: Mapping[Modality, Segmenter]
    prepare: Mapping[Modality, Prepare]
    readers: Sequence[FileReader] = ()
    recognisers: Recognisers = field(default_factory=Recognisers)
    passage_chars: int = field(default_factory=lambda: IndexOptions().passage_chars)

    def segmenter(self, media: Media) -> Segmenter | None:
        """What splits a medium: of a tower with files of its own, nothing but those."""
        if media.modality not in {reader.modality for reader in self.readers}:
            return self.segmenters.get(media.modality)
        whole = isinstance(media.signal, np.ndarray)
        return WholeSegmenter(media.modality) if whole else None

    def answers(self, asset: Asset, alive: Callable[[], None]) -> Iterator[Part]:
        """What a worker answers when it is asked for an asset."""
        return decode(asset, self, alive)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some of a decoded asset's segments; a long recording comes in many parts.

    Attributes:
        asset: The asset.
        content_hash: Hex digest of its bytes.
        segments: Pieces in order, each with a prepared signal.
        last: Whether the asset ends here.
        reason: Why some of it is missing; None when it is complete. Known at the last part.
        retry: Whether what is missing may come another time: the content is not at fault.
        share: How much of the asset is decoded, 0 to 1; None where that is not known.
    """

    asset: Asset
    content_hash: str
    segments: tuple[Segment, ...]
    last: bool
    reason: str | None = None
    retry: bool = False
    share: float | None = None


def toolbox(
    source: Source,
    info: EncoderInfo,
    options: IndexOptions,
    recognisers: Recognisers | None = None,
) -> Toolbox:
    """The registered decoders and segmenters with an encoder's preprocessing."""
    recognisers = recognisers or Recognisers()
    legible = recognisers.text is not None
    return Toolbox(
        source=source,
        decoders=decoders(info.decoded, legible=legible),
        segmenters=segmenters(replace(options, ocr=legible)),
        prepare={modality: tower.prepare for modality, tower in info.towers.items()},
        readers=info.readers,
        recognisers=recognisers,
        passage_chars=options.passage_chars,
    )


def segmenters(options: IndexOptions | None = None) -> dict[Modality, Segmenter]:
    """The registered segmenters by the modality they split."""
    options = options or IndexOptions()
    made = [plugins.load("segmenter", name)(options) for name in plugins.names("segmenter")]
    return {segmenter.modality: segmenter for segmenter in made}


def decoders(
    wanted: Container[Modality] = frozenset(Modality), *, legible: bool = False
) -> dict[str, Decoder]:
    """The registered decoders by the file name endings they read.

    Args:
        wanted: Modalities whose special endings count: ``a.depth.png`` is a picture without depth.
        legible: Their pictures are for reading what is written in them.
    """
    made = [plugins.load("decoder", name)() for name in plugins.names("decoder")]
    made = [d for d in made if not isinstance(d, SpecialDecoder) or d.modality in wanted]
    if legible:
        made = [d.legible() if isinstance(d, PictureDecoder) else d for d in made]
    return {suffix: decoder for decoder in made for suffix in decoder.suffixes}


def reader_of(path: str, readers: Iterable[FileReader]) -> FileReader | None:
    """The reader whose file this is; None for none of them."""
    return next((reader for reader in readers if reader.reads(path)), None)


def decoder_for(
    asset: Asset, known: Mapping[str, Decoder], readers: Iterable[FileReader] = ()
) -> Decoder:
    """The reader whose file an asset is, else the decoder for its file name ending.

    Raises:
        UnsupportedMediaError: There is none.
    """
    decoder = reader_of(asset.path, readers) or known.get(suffix_of(asset.path, known))
    if decoder is None:
        raise UnsupportedMediaError(asset.uri, no_decoder(asset))
    return decoder


def suffix_of(path: str, known: Container[str] = ()) -> str:
    """The file name ending that decides on the decoder: the last two together, if known."""
    suffixes = [each.lower() for each in PurePosixPath(path).suffixes]
    both = "".join(suffixes[-2:])
    return both if both in known else "".join(suffixes[-1:])


def no_decoder(asset: Asset) -> str:
    """The reason of an asset that has no decoder."""
    suffix = suffix_of(asset.path)
    named = f"'{suffix}' files" if suffix else "files without an ending"
    return f"{named} are not supported"


def cannot_read(modalities: Iterable[Modality]) -> str:
    """The reason of an asset that holds nothing but these, for which there is no tower."""
    return f"the encoder cannot read {' and '.join(sorted(modalities))}"


def decode(
    asset: Asset, tools: Toolbox, alive: Callable[[], None] = lambda: None
) -> Iterator[Part]:
    """Read, hash, decode, split and prepare one asset, part by part.

    What decodes before or after an error is kept and the error becomes the last part's `reason`.

    Args:
        asset: The asset.
        tools: What reads it.
        alive: Called at every step forward, also at those that give no segment.

    Raises:
        AssetError: Nothing of it can be indexed.
    """
    decoder = decoder_for(asset, tools.decoders, tools.readers)
    if asset.size_bytes == 0:
        raise DecodeError(asset.uri, "is empty")
    if isinstance(tools.source, DetailedSource):
        asset = tools.source.detail(asset)
    with tools.source.open(asset) as stream:
        content_hash = asset.content_hash or _hash(asset, stream, alive)
        run = _Run(asset, tools, content_hash, alive)
        yield from run.parts(decoder, asset, stream)
    for companion in asset.companions:
        yield from run.companion(companion)
    yield run.last()


class _Run:
    """One asset being decoded: what waits to be handed over, and what went wrong."""

    def __init__(
        self, asset: Asset, tools: Toolbox, content_hash: str, alive: Callable[[], None]
    ) -> None:
        self._asset, self._tools, self._hash, self._alive = asset, tools, content_hash, alive
        self._waiting: list[Segment] = []
        self._waiting_bytes = 0
        self._ids: set[str] = set()
        self._handed_over = perf_counter()
        self._errors: list[AssetError] = []
        self._empty: list[EmptyMediaError] = []
        self._unread: set[Modality] = set()
        self._text_chars: dict[Span, int] = {}
        self._recognising = False

    def parts(self, decoder: Decoder, asset: Asset, stream: BinaryIO) -> Iterator[Part]:
        """Full parts; what is left over waits for the next call."""
        noted = len(self._errors)
        try:
            for media in self._watched(decoder.open(asset, stream)):
                try:
                    for segment in self._segments(media):
                        self._add(segment)
                        if self._due():
                            yield self._part(last=False, share=_share(segment, media))
                except EmptyMediaError as error:
                    self._empty.append(error)
                except DecodeError as error:  # one stream is broken; another may not be
                    self._errors.append(error)
        except DecodeError as error:
            self._errors.append(error)
        except OSError:
            if _failure(stream) is None:
                raise
        failure = _failure(stream)
        if failure:  # whatever the decoder made of it: the content is not at fault
            self._errors[noted:] = [AssetError(asset.uri, failure.reason)]

    def companion(self, companion: Asset) -> Iterator[Part]:
        """Parts of a file that belongs to the asset."""
        try:
            decoder = decoder_for(companion, self._tools.decoders)
            with self._tools.source.open(companion) as stream:
                yield from self.parts(decoder, companion, stream)
        except AssetError as error:
            name = PurePosixPath(companion.path).name
            kind = DecodeError if error.final else AssetError
            self._errors.append(kind(self._asset.uri, f"{name}: {error.reason}"))

    def last(self) -> Part:
        """The last part.

        Raises:
            AssetError: There was nothing at all.
        """
        if not self._ids:
            if self._errors or self._empty:
                raise [*self._errors, *self._empty][0]
            if self._unread:
                raise UnsupportedMediaError(self._asset.uri, cannot_read(self._unread))
            raise DecodeError(self._asset.uri, "holds nothing that can be indexed")
        problems = [self._asset.problem] if self._asset.problem else []
        problems += dict.fromkeys(error.reason for error in self._errors)
        reason = "; ".join(problems) or None
        retry = not all(error.final for error in self._errors)
        return replace(self._part(last=True, share=1.0), reason=reason, retry=retry)

    def _add(self, segment: Segment) -> None:
        segment = self._distinct(segment)
        self._ids.add(segment.id)
        self._waiting.append(segment)
        signal = segment.signal
        self._waiting_bytes += signal.nbytes if isinstance(signal, np.ndarray) else 1024

    def _distinct(self, segment: Segment) -> Segment:
        """Subtitles in two languages have the same times: a thousandth more tells them apart."""
        while segment.id in self._ids:
            if segment.span is None:
                raise DecodeError(
                    self._asset.uri, f"the decoder gives two {segment.modality} segments no span"
                )
            span = replace(segment.span, end=round(segment.span.end + 0.001, 6))
            segment = replace(segment, span=span)
        return segment

    def _due(self) -> bool:
        """Before a recogniser goes to work, all is handed over: should it hang, that is kept."""
        late = perf_counter() - self._handed_over > PART_SECONDS
        hurry = self._recognising or late
        return self._waiting_bytes >= PART_BYTES or (hurry and bool(self._waiting))

    def _part(self, *, last: bool, share: float | None) -> Part:
        segments, self._waiting, self._waiting_bytes = tuple(self._waiting), [], 0
        self._handed_over = perf_counter()
        return Part(
            asset=self._asset,
            content_hash=self._hash,
            segments=segments,
            last=last,
            share=share,
        )

    def _segments(self, media: Media) -> Iterator[Segment]:
        for segment in self._found(media):
            prepare, signal = self._tools.prepare.get(segment.modality), segment.signal
            if prepare is None:
                self._unread.add(segment.modality)
                continue
            if signal is None:
                raise DecodeError(self._asset.uri, f"a {segment.modality} segment has no signal")
            yield replace(
                segment,
                text=segment.text and well_formed(segment.text),
                metadata=_metadata(self._asset, segment.metadata),
                signal=prepare(well_formed(signal) if isinstance(signal, str) else signal),
            )

    def _watched(self, pieces: Iterator[_T]) -> Iterator[_T]:
        for piece in pieces:
            self._alive()
            yield piece

    def _found(self, media: Media) -> Iterator[Segment]:
        """What the segmenter makes of a medium, and the words that recognisers find in it."""
        segmenter = self._tools.segmenter(media)
        reads, listening = self._to_be_read(media), self._listening(media)
        self._recognising = reads or listening is not None
        usable = media.modality in self._tools.prepare or reads or listening
        if segmenter is None or not usable:
            self._unread.add(media.modality)
            return
        if isinstance(media.signal, Iterator):
            media = replace(media, signal=cast("Signal", self._watched(media.signal)))
        if listening:
            heard = listening.through(cast("Iterator[Sound]", media.signal))
            media = replace(media, signal=heard)
        broken: DecodeError | None = None
        try:
            for segment in segmenter.split(self._asset, media):
                yield segment
                if reads:
                    yield from self._read(segment)
                if listening:
                    yield from listening.passages()
        except DecodeError as error:
            broken = error
        if listening:  # also after an error: what came before it was heard
            yield from listening.passages(ended=True)
            self._note("what is said cannot be written down", listening.error)
        if broken:
            raise broken

    def _to_be_read(self, media: Media) -> bool:
        """Whether there may be words in its pictures that the asset's own text does not have."""
        if media.modality is Modality.TEXT and media.span:
            self._text_chars[media.span] = len(str(media.signal))
        if self._tools.recognisers.text is None:
            return False
        known_chars = self._text_chars.get(media.span, 0) if media.span else 0
        picture = media.modality in (Modality.IMAGE, Modality.VIDEO)
        return picture and known_chars < MIN_TEXT_CHARS

    def _read(self, segment: Segment) -> list[Segment]:
        recogniser = self._tools.recognisers.text
        assert recogniser is not None  # noqa: S101 - asked before, for the type checker
        try:
            chars = self._tools.passage_chars
            return list(passages(segment, recogniser, passage_chars=chars))
        except Exception as error:  # noqa: BLE001 - an engine's failure costs one picture's words
            self._note("the words in it cannot be read", error)
            return []

    def _listening(self, media: Media) -> Listening | None:
        recogniser = self._tools.recognisers.speech
        if recogniser is None or media.modality is not Modality.AUDIO:
            return None
        return Listening(recogniser, self._asset.uri, media.metadata)

    def _note(self, what: str, error: Exception | None) -> None:
        if error is not None:
            told = " ".join(str(error).split())[:200]
            reason = f"{what}: {type(error).__name__}: {told}"
            self._errors.append(DecodeError(self._asset.uri, reason))


def _failure(stream: BinaryIO) -> AssetError | None:
    return stream.failure if isinstance(stream, RemoteStream) else None


def _share(segment: Segment, media: Media) -> float | None:
    timed = segment.span is not None and segment.span.unit is SpanUnit.SECONDS
    if segment.span is not None and timed and media.duration_s:
        return min(1.0, segment.span.end / media.duration_s)
    return media.share


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


def _hash(asset: Asset, stream: BinaryIO, alive: Callable[[], None]) -> str:
    try:
        digest = hashlib.blake2b(digest_size=16)
        while block := stream.read(1024 * 1024):
            digest.update(block)
            alive()
        stream.seek(0)
    except OSError as error:
        raise AssetError(asset.uri, f"cannot be read: {error.strerror}") from error
    return digest.hexdigest()
