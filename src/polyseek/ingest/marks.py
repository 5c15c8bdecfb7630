"""Marks on an asset's etag: the recognisers that have read it.

An asset that was indexed before a recogniser was switched on is not unchanged for it. The mark goes
where the etag goes, so a run that breaks off leaves no asset marked that was not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from polyseek.core.types import Asset, AssetRecord, AssetStatus, Modality

Marks: TypeAlias = "Mapping[str, str]"
"""Name of the recogniser by what it does: ``ocr`` or ``asr``."""

_READS = {
    "ocr": frozenset({Modality.IMAGE, Modality.VIDEO}),
    "asr": frozenset({Modality.AUDIO, Modality.VIDEO}),
}
_MARKS = re.compile(r"(?: (?:ocr|asr)=\S+)+$")


def marked(etag: str, marks: Marks) -> str:
    """The etag with marks."""
    return "".join([etag, *(f" {work}={name}" for work, name in sorted(marks.items()))])


def marks_of(record: AssetRecord) -> Marks:
    """The recognisers that have read an asset."""
    found = _MARKS.search(record.etag)
    return dict(mark.split("=", 1) for mark in found[0].split()) if found else {}


def habits(records: Iterable[AssetRecord]) -> Marks:
    """The recognisers that a collection's assets were read by."""
    found: dict[str, str] = {}
    for record in records:
        found.update(marks_of(record))
    return found


def unchanged(record: AssetRecord, asset: Asset, marks: Marks) -> bool:
    """Whether another run with these recognisers would find in the asset what is recorded.

    What has no pictures and no sound is not read again; of what could not be indexed nobody knows.
    """
    if record.status is AssetStatus.PENDING or not record.etag:
        return False
    if _MARKS.sub("", record.etag) != asset.etag:
        return False
    read, holds = marks_of(record), frozenset(record.modalities)
    return all(
        read.get(work) == name or (holds and not holds & _READS[work])
        for work, name in marks.items()
    )
