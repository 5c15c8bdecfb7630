"""Every protocol of polyseek, on one page.

Capabilities are data (``encoder.info.towers``, ``decoder.suffixes``), never `NotImplementedError`.
Conformance suites for third-party implementations live in `polyseek.testing`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from polyseek.core.columns import SegmentColumns, Version
from polyseek.core.config import Group, Settings
from polyseek.core.errors import AssetError
from polyseek.core.filters import FieldType, Filter
from polyseek.core.hits import Candidates, Hit, HubCorrection, Retrieval, Terms
from polyseek.core.model_files import ModelFiles
from polyseek.core.reranking import Candidate, Question
from polyseek.core.sparse import SparseVector
from polyseek.core.tuning import Calibration, Numbers, Pair, Tuning
from polyseek.core.types import (
    Asset,
    AssetCounts,
    AssetRecord,
    Embeddings,
    EncoderInfo,
    Floats,
    Line,
    Manifest,
    Media,
    Modality,
    Prepared,
    Role,
    Segment,
    SegmentBatch,
    Signal,
    Sound,
    Space,
    Utterance,
)

if TYPE_CHECKING:
    import pyarrow as pa
    from PIL.Image import Image


class Source(Protocol):
    """Lists assets and opens their bytes. Picklable: workers open assets themselves."""

    def list(self) -> Iterator[Asset | AssetError]:
        """Every asset below the root, in a stable order.

        An unreadable part is yielded as an `AssetError`; it hides its uri and all below it.

        Raises:
            SourceError: The root itself is missing or unreadable.
        """
        ...

    def open(self, asset: Asset) -> BinaryIO:
        """The asset's bytes, seekable. Raises `AssetError`."""
        ...

    def covers(self, uri: str) -> bool:
        """Whether an asset with this uri would be listed here if it existed."""
        ...


@runtime_checkable
class DetailedSource(Source, Protocol):
    """A source that keeps some of what belongs to an asset until the asset is work."""

    def detail(self, asset: Asset) -> Asset:
        """The asset with all that is beside it. Called by the worker that is to decode it."""
        ...


@runtime_checkable
class JoiningSource(Source, Protocol):
    """A source that joins a metadata table to its assets."""

    def joined(self) -> Iterator[tuple[str, bool]]:
        """Path of each row of the table, in order, and whether it belongs to an asset."""
        ...


@runtime_checkable
class RemoteStream(Protocol):
    """A stream that may fail under way: whatever decoders make of that, the content is sound."""

    failure: AssetError | None
    """What made a read raise `OSError`; None as long as nothing did."""


class Decoder(Protocol):
    """Bytes -> signals. Picklable; runs in a worker process."""

    suffixes: frozenset[str]
    """File name endings it reads, lower case, with the dot: ``.png``, or ``.depth.png``."""

    def open(self, asset: Asset, stream: BinaryIO) -> Iterator[Media]:
        """The asset's streams. Raises `DecodeError`."""
        ...


class FileReader(Decoder, Protocol):
    """Whole files -> signals of one tower, one for each file; its `suffixes` are empty."""

    modality: Modality
    """What it reads; nothing else of this modality is indexed."""

    def reads(self, path: str) -> bool:
        """Whether a file is of this tower, whatever decoder there is for its ending."""
        ...

    def ready(self) -> None:
        """Make sure that it can read.

        Raises:
            ConfigError: What it needs is not there, or is another one than before.
        """
        ...


class FileTower(Protocol):
    """File -> its embedding in a space of its own: what `polyseek adapt --tower` joins.

    Called in decode worker processes. It may have an attribute ``revision``, a text that changes
    whenever its vectors do.
    """

    files: str | Sequence[str]
    """Patterns of the names of its files."""

    def __call__(self, file: BinaryIO) -> Floats:
        """``(dim,)`` finite numbers; whatever it raises costs one file."""
        ...


@runtime_checkable
class SpecialDecoder(Decoder, Protocol):
    """A decoder of files that nothing but their last two endings tells from ordinary ones.

    Where no tower takes what it gives, they are ordinary ones.
    """

    modality: Modality
    """Of everything it gives."""


@runtime_checkable
class PictureDecoder(Decoder, Protocol):
    """A decoder that draws pictures no larger than encoders need, or large enough to read."""

    def legible(self) -> Decoder:
        """The decoder with pictures in which small print can be read."""
        ...


class TextRecogniser(Protocol):
    """Picture -> the words in it. Picklable; runs in a worker process, on one thread.

    Plug-ins are called with the `Settings` before a run; the model is loaded at the first use.
    """

    name: str
    """As it is registered: what it has read is read again by one of another name."""

    def read(self, picture: Image) -> Sequence[Line]:
        """The lines in an upright RGB picture, in reading order; whatever it raises costs one."""
        ...


class SpeechRecogniser(Protocol):
    """Sound -> the words spoken in it. As `TextRecogniser`."""

    name: str
    """As it is registered."""

    def transcribe(self, sound: Sound) -> Sequence[Utterance]:
        """What is said in up to 30 seconds at 16 kHz, in order; none where nobody speaks."""
        ...


class Segmenter(Protocol):
    """Signal -> segments. Picklable; runs in a worker process."""

    modality: Modality

    def split(self, asset: Asset, media: Media) -> Iterator[Segment]:
        """Retrievable pieces, each with its signal, in order."""
        ...


class Encoder(Protocol):
    """Towers that share one space."""

    @property
    def info(self) -> EncoderInfo:
        """Name, revision, dimensions and preprocessing."""
        ...

    def encode(self, modality: Modality, batch: Sequence[Prepared], *, role: Role) -> Embeddings:
        """Embed prepared signals of one modality; row i does not depend on the rest of the batch.

        Raises:
            EncoderError: The modality has no tower, or the model files cannot be loaded.
        """
        ...


class SparseEncoder(Protocol):
    """Text -> sparse vector, as SPLADE and its kin make them. Called with the `Settings`."""

    name: str
    """As it is registered."""

    revision: str
    """Changes whenever its vectors change."""

    def encode(self, texts: Sequence[str], *, role: Role) -> Sequence[SparseVector]:
        """One vector per text, empty where it finds nothing in it; no text depends on the others.

        Raises:
            EncoderError: The model files cannot be loaded.
        """
        ...


class EncoderFamily(Protocol):
    """Reads one kind of model, by name: ``--encoder ./folder`` or ``hf:owner/repository``."""

    name: str
    """As it is registered, and as in ``NAME:./folder``."""

    def wanted(self, names: Sequence[str]) -> Sequence[str]:
        """Which of a model's files it needs; none where the model is of another family."""
        ...

    def look(self, folder: Path) -> None:
        """Refuse a model by its small files, before its weights are fetched.

        Raises:
            EncoderError: It cannot be used.
            MissingExtraError: What runs it is not installed.
        """
        ...

    def load(self, files: ModelFiles, settings: Settings) -> Encoder:
        """The encoder. Raises as `look` does."""
        ...


@runtime_checkable
class LicensedFamily(EncoderFamily, Protocol):
    """A family of models that come with one licence where they name none."""

    licence: str


@runtime_checkable
class PatchEncoder(Encoder, Protocol):
    """An encoder that also knows where in a picture something is, and what single words look like.

    Both are compared by cosine.
    """

    def patches(self, picture: Signal) -> Floats:
        """``(side * side, dim)`` unit-length embeddings of parts of a picture, row by row."""
        ...

    def words(self, text: str) -> tuple[Floats, Floats]:
        """``(w, dim)`` unit-length embeddings of the known words of a text; ``(w,)`` weights."""
        ...


@runtime_checkable
class SoundPatchEncoder(Encoder, Protocol):
    """An encoder that also embeds the moments of a sound one by one."""

    def sound_patches(self, sound: Signal) -> Floats:
        """``(n, dim)`` unit-length embeddings of a sound's parts, in order, in the shared space."""
        ...


class ScoreScale(Protocol):
    """How a search makes the scores of different pairs of modalities comparable."""

    def calibration(self, pair: Pair) -> Calibration | None:
        """What turns this pair's scores into probabilities; None where nothing was fitted."""
        ...

    def hub(self, pair: Pair) -> HubCorrection | None:
        """How this pair's cosines are corrected; None for not at all."""
        ...

    def probabilities(self, pair: Pair, vector: Floats, candidates: Candidates) -> Numbers | None:
        """``(n,)`` probability of relevance of each candidate; None without a calibration."""
        ...


class Reranker(Protocol):
    """Scores the best hits of a search anew. Plug-ins are called with a `RerankSetup`.

    It runs in a thread of its own and may be abandoned there when its time is up.
    """

    def scores(self, question: Question, candidates: Sequence[Candidate]) -> Iterable[float | None]:
        """A finite number for each candidate, in order; higher is better.

        None for one it cannot judge, which keeps its place. Given one by one, what is there counts
        when time is up. Whatever it raises, the search goes on with the order it had.
        """
        ...


@runtime_checkable
class Locator(Reranker, Protocol):
    """A reranker that can also say where in a picture it found what was asked for."""

    def where(self, question: Question, hit: Hit) -> Floats | None:
        """``(rows, columns)`` how well each part fits; None where that is not known."""
        ...


class StoreReader(Protocol):
    """The reading half of a collection's store."""

    @property
    def manifest(self) -> Manifest:
        """What the collection was made with."""
        ...

    @property
    def version(self) -> int:
        """Grows with every committed write, also by other processes."""
        ...

    def fields(self) -> Mapping[str, FieldType]:
        """Metadata fields that filters may name, with their types."""
        ...

    def records(self) -> Iterable[AssetRecord]:
        """Every asset the collection remembers."""
        ...

    def counts(self) -> AssetCounts:
        """Number of assets by status and modalities; cheap enough to ask at every search."""
        ...

    def fetch(self, uris: Sequence[str]) -> Sequence[SegmentBatch]:
        """The stored segments of these assets with embeddings and hub biases (NaN where not known).

        One batch per modality.
        """
        ...

    def sample(self, modality: Modality, limit: int) -> SegmentBatch | None:
        """Up to `limit` stored segments, spread evenly over all of them; None when there are none.

        Segments come with uri, span, text and hub biases (NaN where not known); metadata may be
        left out.
        """
        ...

    def vectors(self, modality: Modality, ids: Sequence[str], space: Space) -> Floats:
        """``(n, dim)`` embeddings of these segments in one space; NaN for those that are gone."""
        ...

    @property
    def tuning(self) -> Tuning | None:
        """What was fitted to this collection; None when nothing was."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """Texts kept with the collection by name, such as saved retrievers."""
        ...

    def attachment(self, name: str) -> bytes | None:
        """What was attached to the collection by that name; None for nothing."""
        ...

    def search(self, request: Retrieval) -> Candidates:
        """Nearest segments, best first: by cosine, corrected where the request says so.

        Raises:
            InvalidFilterError: The filter names an unknown field or a value of another type.
            DimensionError: The vector has another length than the space.
        """
        ...

    def search_text(self, terms: Terms, request: Retrieval) -> Candidates:
        """Segments with any of these words, best first: by BM25 over all their texts.

        Their `text_score` is the BM25, `text_share` the share of the words they have, `score` the
        cosine with the request's vector; rows with none of the words are no candidates. Fuzzy
        words may need `optimize` after a write. Raises as `search` does.
        """
        ...

    def search_sparse(self, vector: SparseVector, request: Retrieval) -> Candidates:
        """Segments that share an index with a sparse vector, best first: by the product, exactly.

        Their `sparse_score` is the product, their `score` the cosine with the request's vector.
        Raises as `search` does.
        """
        ...

    def browse(
        self, modality: Modality, condition: Filter | None, *, limit: int, group: Group
    ) -> Candidates:
        """Segments of a modality that pass, ordered by asset uri and by where in it they lie.

        Of each item (see `item_of`) the first, or with `Group.SEGMENT` all of them, up to `limit`;
        their score is 1, and `rows` is the number of all that pass.

        Raises:
            InvalidFilterError: As `search` does.
        """
        ...


class StoreWriter(Protocol):
    """The writing half. Only call within `writing()`."""

    def writing(self) -> AbstractContextManager[None]:
        """Exclusive right to write. Raises `CollectionBusyError` when another process has it."""
        ...

    def upsert(
        self,
        records: Sequence[AssetRecord],
        batches: Sequence[SegmentBatch],
        *,
        keep: Collection[str] = (),
    ) -> None:
        """Replace all segments of these assets by those in `batches`, then record the assets.

        Killed at any point, the same call again leaves the same rows: an asset is recorded only
        after its segments are durable, and its segments never appear twice.

        Args:
            records: Of the assets.
            batches: Their segments.
            keep: Uris of assets that get segments added instead: of those that are stored, only
                segments of the same ids are replaced.
        """
        ...

    def delete(self, uris: Sequence[str]) -> None:
        """Forget these assets and their segments."""
        ...

    def set_hub_bias(
        self, modality: Modality, query: Modality, bias: Callable[[Embeddings], Floats]
    ) -> None:
        """Give every segment of a modality its hub bias for queries of another.

        Args:
            modality: Of the segments.
            query: Of the queries.
            bias: Called with blocks of stored embeddings; ``(n,)`` biases of each.
        """
        ...

    def save_tuning(self, tuning: Tuning) -> None:
        """Replace what was fitted to this collection, in one commit."""
        ...

    def save_note(self, name: str, text: str | None) -> None:
        """Keep a text with the collection, or forget it, in one commit."""
        ...

    def attach(self, name: str, data: bytes | None) -> None:
        """Keep some data with the collection by a name, in one commit; None removes it."""
        ...

    def optimize(self) -> None:
        """Compact small writes, drop old versions, and build or refresh search indexes."""
        ...


class Store(StoreReader, StoreWriter, Protocol):
    """A collection's rows: vectors, metadata and asset records."""


@runtime_checkable
class ColumnStore(Store, Protocol):
    """A store that takes and gives segments by the million, as columns."""

    def upsert_columns(self, chunks: Iterable[SegmentColumns]) -> int:
        """Add segments, replacing those of the same asset, modality and span; how many it had.

        Chunks are taken one at a time; no segment comes twice. Assets are recorded by
        `record_assets`, after which searches see them.
        """
        ...

    def record_assets(self) -> None:
        """Bring the records of assets in line with the segments that there are."""
        ...

    def export(self, condition: Filter | None = None) -> pa.RecordBatchReader:
        """All segments that pass, with embeddings, texts and fields; see `store.export`."""
        ...


@runtime_checkable
class VersionedStore(Store, Protocol):
    """A store that keeps old states of its collection."""

    def versions(self) -> Sequence[Version]:
        """Those that are kept, oldest first."""
        ...

    def record_version(self, action: str, detail: Mapping[str, object]) -> None:
        """Keep the state as it is now, unless nothing changed. Only call within `writing()`."""
        ...

    def mark(self) -> Version:
        """The state as it is now, without keeping it; its number is 0."""
        ...

    def at(self, version: Version) -> Store:
        """The collection as it was; cannot be written."""
        ...

    def restore(self, version: Version) -> None:
        """Go back to a version, or to a mark. Only call within `writing()`.

        What leads there is made known first: killed half-way, the next writer goes on.
        """
        ...

    def compact(self, keep: int) -> None:
        """Keep the last versions only, and reclaim space. Only call within `writing()`."""
        ...


@runtime_checkable
class AgedStore(StoreReader, Protocol):
    """A store whose collections an older polyseek may have made."""

    def lacks(self) -> Sequence[str]:
        """What a new collection has and this one does not, for people; writing to it adds that."""
        ...


@runtime_checkable
class SwitchingStore(Store, Protocol):
    """A store beside which other indexes of the same assets may lie."""

    def generations(self) -> Sequence[str]:
        """Names of those that have answered, the one that answers now last; "" for its own."""
        ...

    def serve(self, generations: Sequence[str]) -> None:
        """Replace that list in one commit. Only call within `writing()`."""
        ...

    def clear(self) -> None:
        """Forget all rows for good, and give back their space. Only call within `writing()`."""
        ...

    def remove(self) -> None:
        """Remove the collection itself, for good. Only call within `writing()`, and nothing after.

        Killed half-way, it is still a collection, which can be removed again.
        """
        ...
