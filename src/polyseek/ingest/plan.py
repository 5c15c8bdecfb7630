"""What an ingest run has to do: the source's listing against the collection's records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from functools import cache

from polyseek.core.config import IndexOptions
from polyseek.core.errors import AssetError, EmptySourceError
from polyseek.core.protocols import Decoder, Source, SpecialDecoder
from polyseek.core.reports import Failure, Progress, ProgressCallback
from polyseek.core.types import Asset, AssetRecord, AssetStatus, EncoderInfo, Modality
from polyseek.ingest.decode import cannot_read, decoders, no_decoder, reader_of, suffix_of
from polyseek.ingest.marks import Marks, marked, unchanged


@dataclass(kw_only=True)
class Plan:
    """The work of one run.

    Attributes:
        todo: Assets to decode, new and changed, in listing order.
        known: The collection's records, by uri.
        by_content: Records with segments that this run does not replace, by content hash.
        unreadable: Parts of the source that could not be listed.
        deleted: Uris that are gone from the source.
        skipped: Number of unchanged assets.
        whole: Uris of assets whose segments the collection has, perhaps in an earlier state.
    """

    todo: list[Asset] = field(default_factory=list)
    known: Mapping[str, AssetRecord]
    by_content: Mapping[str, AssetRecord] = field(default_factory=dict)
    unreadable: list[AssetError] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    skipped: int = 0
    whole: frozenset[str] = frozenset()

    def announcements(self) -> list[AssetRecord]:
        """Records to write before the work: new assets are pending, unreadable parts failed.

        An unreadable asset that was indexed before keeps its record and stays searchable.
        """
        pending = [
            AssetRecord(
                uri=asset.uri,
                status=AssetStatus.PENDING,
                etag=asset.etag,
                size_bytes=asset.size_bytes,
            )
            for asset in self.todo
            if asset.uri not in self.known
        ]
        failed = [
            failed_record(error.uri, error)
            for error in self.unreadable
            if error.uri not in self.known
        ]
        return pending + failed

    def failures(self) -> list[Failure]:
        """The unreadable parts as a report shows them."""
        return [
            Failure(uri=e.uri, status=AssetStatus.FAILED, reason=e.reason) for e in self.unreadable
        ]


def make_plan(
    source: Source,
    records: Iterable[AssetRecord],
    options: IndexOptions,
    progress: ProgressCallback | None = None,
    *,
    encoder: EncoderInfo,
    marks: Marks | None = None,
) -> Plan:
    """List the source and compare it with the collection's records.

    An asset whose etag its record has is unchanged, also a failed one: it would fail again. Where
    a recogniser of this run has not read it yet, it is work all the same; so is an unsupported one
    once there is a decoder for it, and any once it is a tower's own file.

    Raises:
        SourceError: The source cannot be listed.
        EmptySourceError: It lists nothing, and did so before: no reason to forget everything.
    """
    known = {record.uri: record for record in records}
    plan = Plan(known=known)
    plan.whole = frozenset(
        uri
        for uri, record in known.items()
        if record.segments and record.status is not AssetStatus.PENDING
    )
    listed: set[str] = set()
    for found in source.list():
        listed.add(found.uri)
        if isinstance(found, AssetError):
            plan.unreadable.append(found)
            continue
        record = known.get(found.uri)
        same = record is not None and unchanged(record, found, marks or {})
        if record and same and not _readable_now(record, found, encoder):
            plan.skipped += 1
        else:
            plan.todo.append(replace(found, etag=marked(found.etag, marks or {})))
        if progress and len(listed) % 1000 == 0:
            progress(Progress(stage="list", done=len(listed), total=None))
    plan.by_content = _lenders(plan)
    if not options.keep_deleted:
        plan.deleted = _gone(source, plan, listed)
    return plan


def _readable_now(record: AssetRecord, asset: Asset, encoder: EncoderInfo) -> bool:
    """Whether there is a decoder for an asset that had none, or a tower that has claimed it."""
    reader = reader_of(asset.path, encoder.readers)
    if reader is not None and record.status is not AssetStatus.FAILED:
        return reader.modality not in record.modalities
    if record.status is not AssetStatus.UNSUPPORTED:
        return False
    known = _decoders(encoder.decoded)
    found = known.get(suffix_of(asset.path, known))
    return found is not None and record.reason in (no_decoder(asset), _as_special(asset, found))


def _as_special(asset: Asset, found: Decoder) -> str | None:
    """The reason of an asset whose special ending counted, though no tower takes what it names."""
    every = _decoders(frozenset(Modality))
    special = every[suffix_of(asset.path, every)]
    if isinstance(special, SpecialDecoder) and not isinstance(found, SpecialDecoder):
        return cannot_read([special.modality])
    return None


@cache
def _decoders(wanted: frozenset[Modality]) -> Mapping[str, Decoder]:
    return decoders(wanted)


def _lenders(plan: Plan) -> dict[str, AssetRecord]:
    """Records whose segments stay as they are: those of an asset in `todo` change under way."""
    changing = {asset.uri for asset in plan.todo}
    return {
        record.content_hash: record
        for record in plan.known.values()
        if record.content_hash and record.segments and record.uri not in changing
    }


def _gone(source: Source, plan: Plan, listed: Set[str]) -> list[str]:
    """Uris that the source would list if they were still there; an unreadable part hides some."""
    hidden = tuple(error.uri.rstrip("/") + "/" for error in plan.unreadable)
    gone = [
        uri
        for uri in plan.known
        if uri not in listed and source.covers(uri) and not uri.startswith(hidden)
    ]
    if gone and not listed:
        raise EmptySourceError(
            f"the source lists nothing, but the collection has {len(gone):,} assets of it, "
            f"{gone[0]} for example; none was removed. Is a drive or a folder missing? "
            "'polyseek remove' forgets what is gone for good"
        )
    return gone


def failed_record(uri: str, error: AssetError, asset: Asset | None = None) -> AssetRecord:
    """The record of an asset of which nothing can be indexed.

    Where the asset's content is not at fault, it has no etag: the next run tries again.
    """
    return AssetRecord(
        uri=uri,
        status=AssetStatus(error.status),
        reason=error.reason,
        etag=asset.etag if asset and error.final else "",
        size_bytes=asset.size_bytes if asset else 0,
    )
