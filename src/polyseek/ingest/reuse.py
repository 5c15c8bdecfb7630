"""What an older index of the same assets spares a new one: text recognition, speech recognition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from polyseek.core.errors import AssetError
from polyseek.core.protocols import Source
from polyseek.core.types import Asset, AssetRecord, Modality, Prepare, Segment
from polyseek.ingest.decode import Part
from polyseek.ingest.marks import Marks, unchanged


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """Texts that recognisers have found in assets.

    Attributes:
        marks: The recognisers that have read every asset of the old index.
        segments: The old index's text segments of an asset, by its uri.
        prepare: The text tower's preprocessing; None where the new encoder reads no text.
    """

    marks: Marks
    segments: Callable[[str], Sequence[Segment]]
    prepare: Prepare | None

    def added(self, part: Part) -> Part:
        """A part with the texts that were recognised in its asset, if it is the last one."""
        if not (part.last and self.marks and self.prepare):
            return part
        known = [
            replace(segment, signal=self.prepare(segment.text), sparse=None)
            for segment in self.segments(part.asset.uri)
            if segment.modality is Modality.TEXT
            and segment.text
            and segment.metadata.get("text_source") in self.marks
        ]
        return replace(part, segments=(*part.segments, *known))


@dataclass(frozen=True, kw_only=True)
class Known:
    """A source without what an older index does not have, or not as it is now.

    Attributes:
        source: The whole source.
        records: The older index's, by uri. Not sent to workers.
        marks: The recognisers that must have read an asset.
    """

    source: Source
    records: Mapping[str, AssetRecord] = field(repr=False)
    marks: Marks

    def list(self) -> Iterator[Asset | AssetError]:
        """See `polyseek.core.protocols.Source`."""
        for found in self.source.list():
            record = self.records.get(found.uri)
            if record is None or isinstance(found, AssetError):
                continue
            if unchanged(record, found, self.marks):
                yield found

    def open(self, asset: Asset) -> BinaryIO:
        """See `polyseek.core.protocols.Source`."""
        return self.source.open(asset)

    def covers(self, uri: str) -> bool:
        """See `polyseek.core.protocols.Source`."""
        return self.source.covers(uri)

    def __getstate__(self) -> tuple[Source, Marks]:
        """What a worker needs to open assets."""
        return self.source, self.marks

    def __setstate__(self, state: tuple[Source, Marks]) -> None:
        for name, value in zip(("source", "marks", "records"), (*state, {}), strict=True):
            object.__setattr__(self, name, value)
