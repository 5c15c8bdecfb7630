"""What a collection holds, item by item, and what the names in a user's file stand for.

An item is what a hit stands for: an asset, or a row of a table.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from polyseek.core.hits import Item, item_of
from polyseek.core.protocols import StoreReader
from polyseek.core.types import (
    AssetRecord,
    AssetStatus,
    Metadata,
    Modality,
    Segment,
    SpanUnit,
)

ID_FIELDS = ("id", "_id", "doc_id", "docid", "asset_id")
_CHUNK = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One item of a collection.

    Attributes:
        item: Its key, as a hit has it.
        modality: What it is in the first place: a photograph with recognised words is an image, a
            page with a picture a text.
        modalities: Of all its segments.
        metadata: Fields of its segments together.
        texts: The words of its text segments.
        content_hash: Of the asset's bytes; what exact copies share. None where not known.
    """

    item: Item
    modality: Modality
    modalities: frozenset[Modality]
    metadata: Metadata
    texts: Sequence[str] = ()
    content_hash: str | None = None

    @property
    def name(self) -> str:
        """The file name, without folders."""
        return PurePosixPath(_path_of(self.item[0])).name


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Inventory:
    """All searchable items of a collection, and those that are known but not searchable."""

    entries: Mapping[Item, Entry]
    unsearchable: Mapping[str, AssetRecord]
    names: Mapping[str, Sequence[Item]]
    """Items by every name they answer to."""

    @classmethod
    def of(cls, store: StoreReader) -> Inventory:
        """Read all of a collection but its vectors.

        Raises:
            StoreError: The collection cannot be read.
        """
        records = {record.uri: record for record in store.records()}
        searchable = (AssetStatus.INDEXED, AssetStatus.PARTIAL)
        uris = [uri for uri, record in records.items() if record.status in searchable]
        known = frozenset(uris)
        parts: dict[Item, list[Segment]] = defaultdict(list)
        for start in range(0, len(uris), _CHUNK):
            for batch in store.fetch(uris[start : start + _CHUNK]):
                for segment in batch.segments:
                    parts[item_of(segment.asset_uri, segment.span)].append(segment)
        entries = {
            item: _entry(item, segments, records[item[0]]) for item, segments in parts.items()
        }
        names: dict[str, list[Item]] = defaultdict(list)
        for entry in entries.values():
            for name in dict.fromkeys(_names(entry)):
                names[name].append(entry.item)
        return cls(
            entries=entries,
            unsearchable={uri: r for uri, r in records.items() if uri not in known},
            names=names,
        )

    def __len__(self) -> int:
        return len(self.entries)

    def find(self, name: str, *, beside: Path | None = None) -> Sequence[Item]:
        """The items of a name; none when nothing has it, several when it is ambiguous.

        Args:
            name: A uri, a path, a file name with or without its ending, or an id from the fields.
            beside: The folder that relative paths may start from.
        """
        for form in _forms(name, beside):
            if form in self.names:
                return self.names[form]
        return ()

    def is_unsearchable(self, name: str, *, beside: Path | None = None) -> bool:
        """Whether it names an asset that failed or is still pending."""
        return any(form in self.unsearchable for form in _forms(name, beside))

    def of_modality(self, modality: Modality) -> Iterator[Entry]:
        """Items that are of this modality in the first place."""
        return (entry for entry in self.entries.values() if entry.modality is modality)


def _entry(item: Item, segments: Sequence[Segment], record: AssetRecord) -> Entry:
    metadata: dict[str, object] = {}
    for segment in segments:
        metadata.update(segment.metadata)
    return Entry(
        item=item,
        modality=_main(segments),
        modalities=frozenset(segment.modality for segment in segments),
        metadata=metadata,  # type: ignore[arg-type]
        texts=[s.text for s in segments if s.modality is Modality.TEXT and s.text],
        content_hash=record.content_hash if not item[1] else None,
    )


def _main(segments: Sequence[Segment]) -> Modality:
    present = {segment.modality for segment in segments}
    if len(present) == 1:
        return present.pop()
    for modality in (Modality.VIDEO, Modality.AUDIO):
        if modality in present:
            return modality
    # The picture of a page has a span; a photograph is the whole asset.
    pages = {SpanUnit.PAGE, SpanUnit.PART}
    whole = any(
        s.modality is Modality.IMAGE and (s.span is None or s.span.unit not in pages)
        for s in segments
    )
    return Modality.IMAGE if whole or Modality.TEXT not in present else Modality.TEXT


def _names(entry: Entry) -> Iterable[str]:
    """Everything an item may be called; names of a whole table are not those of its rows."""
    uri, row = entry.item
    ids = (entry.metadata.get(field) for field in ID_FIELDS)
    yield from (str(one) for one in ids if isinstance(one, (str, int)))
    if row:
        return
    path = _path_of(uri)
    yield uri
    yield path
    below = entry.metadata.get("path")
    if isinstance(below, str):
        yield below
    yield PurePosixPath(path).name
    yield PurePosixPath(path).stem


def _forms(name: str, beside: Path | None) -> Iterator[str]:
    """A name as it may be known here, the most exact first."""
    if "://" in name:
        yield name
        return
    plain = name.replace("\\", "/").removeprefix("./")
    for folder in (beside, Path.cwd()):
        if folder is not None:
            path = str((folder / plain).absolute())
            yield path
            yield "file://" + quote(path)
    yield plain
    yield name
    for spelled in (plain, unquote(plain)):  # formats without spaces write them as %20
        file_name = PurePosixPath(spelled).name
        if file_name:
            yield file_name


def _path_of(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return uri
    return unquote(parts.path) if parts.scheme else uri
