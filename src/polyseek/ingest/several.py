"""Sources that a user names: checked first, then ingested one after the other."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from polyseek.core.artifacts import reporting
from polyseek.core.config import IndexOptions, Settings
from polyseek.core.errors import ConfigError, EmptySourceError
from polyseek.core.hits import HubBiases
from polyseek.core.protocols import Encoder, JoiningSource, Source, SparseEncoder, Store
from polyseek.core.reports import Failure, IngestReport, ProgressCallback
from polyseek.core.types import AssetStatus
from polyseek.ingest.pipeline import ingest
from polyseek.ingest.reuse import Reuse
from polyseek.ingest.sources.locate import source_at, uri_of

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Given:
    """Sources as the user named them.

    Attributes:
        paths: What was typed.
        sources: The source of each path.
        options: How they are ingested.
        warning: What is doubtful about them.
    """

    paths: Sequence[str | Path]
    sources: Sequence[Source]
    options: IndexOptions
    warning: str | None = None

    def hold_nothing(self) -> bool:
        """Whether none of them lists an asset, not even one that cannot be read."""
        return all(next(source.list(), None) is None for source in self.sources)


def given(paths: Sequence[str | Path], options: IndexOptions) -> Given:
    """Refuse what is wrong with any of the sources before anything is done about the others.

    Raises:
        SourceNotFoundError: A source or the metadata table is missing.
        UnknownPluginError: No source is registered for a URL's scheme.
        SourceError: The metadata table cannot be read or joined.
        ConfigError: No row of the metadata table belongs to a file.
    """
    sources = [source_at(path, options) for path in paths]
    warning = _check_table(sources, options)
    return Given(paths=paths, sources=sources, options=options, warning=warning)


def nothing_in(paths: Iterable[str | Path]) -> EmptySourceError:
    """The error of sources that list nothing."""
    return EmptySourceError(
        f"{', '.join(map(str, paths))}: nothing to index (hidden files, collections and what "
        "--include and --exclude leave out do not count)"
    )


def ingest_all(
    sources: Given,
    *,
    encoder: Encoder,
    store: Store,
    hub_biases: HubBiases | None = None,
    progress: ProgressCallback | None = None,
    settings: Settings | None = None,
    sparse: SparseEncoder | None = None,
    reuse: Reuse | None = None,
) -> IngestReport:
    """Ingest the sources one after the other; one that lists nothing is a failure in the report.

    Raises:
        EmptySourceError: All of them list nothing.
    """
    if sources.warning:
        _log.warning(sources.warning)
    total = IngestReport()
    empty: list[EmptySourceError] = []
    for path, source in zip(sources.paths, sources.sources, strict=True):
        try:
            with reporting(progress):
                report = ingest(
                    source,
                    encoder=encoder,
                    store=store,
                    options=sources.options,
                    hub_biases=hub_biases,
                    progress=progress,
                    settings=settings,
                    sparse=sparse,
                    reuse=reuse,
                )
            if not report.interrupted and report == IngestReport(elapsed_s=report.elapsed_s):
                raise nothing_in([path])
        except EmptySourceError as error:
            empty.append(error)
            failure = Failure(uri=uri_of(path), status=AssetStatus.FAILED, reason=str(error))
            report = IngestReport(failures=(failure,))
        total = merged(total, report)
        if total.interrupted:
            break
    if empty and len(empty) == len(sources.paths):
        raise EmptySourceError("; ".join(map(str, empty)))
    return total


def _check_table(sources: Sequence[Source], options: IndexOptions) -> str | None:
    rows = lost = 0
    example = ""
    joining = [source.joined() for source in sources if isinstance(source, JoiningSource)]
    for row in zip(*joining, strict=True):  # all have read the same table
        rows += 1
        if not any(joined for _, joined in row):
            example, lost = example or row[0][0], lost + 1
    if lost and lost == rows:
        raise ConfigError(
            f"--metadata {options.metadata}: none of its {rows:,} rows belongs to a file, "
            f"'{example}' for example; the path column is relative to the source"
        )
    if not lost:
        return None
    return (
        f"--metadata {options.metadata}: {lost:,} of {rows:,} rows belong to no file, "
        f"'{example}' for example"
    )


def merged(a: IngestReport, b: IngestReport) -> IngestReport:
    """Two reports as one."""
    return replace(
        a,
        added=a.added + b.added,
        updated=a.updated + b.updated,
        moved=a.moved + b.moved,
        skipped=a.skipped + b.skipped,
        deleted=a.deleted + b.deleted,
        segments=a.segments + b.segments,
        failures=[*a.failures, *b.failures],
        interrupted=a.interrupted or b.interrupted,
        elapsed_s=a.elapsed_s + b.elapsed_s,
    )
