"""`polyseek index --watch`: a line for every run that found something."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import typer

from polyseek.api import Collection
from polyseek.cli import exits, render
from polyseek.cli.progress import progress_bar
from polyseek.core.reports import IngestReport, Progress, ProgressCallback


def run(
    collection: Collection, sources: Sequence[str], options: Mapping[str, Any], *, as_json: bool
) -> int:
    """Index until Ctrl-C, which ends the waiting at once and a run after the batch in hand."""
    first, bar = True, _Bar()
    try:
        for report in collection.watch(*sources, progress=bar, **options):
            bar.close()
            if first or _found_something(report):
                _show(collection, report, as_json=as_json)
            if first and not as_json:
                typer.echo("watching; Ctrl-C ends it", err=True)
            first = False
            if report.interrupted:
                return exits.INTERRUPTED
    except KeyboardInterrupt:
        if first:
            raise
    finally:
        bar.close()
    return exits.OK


class _Bar(ExitStack):
    """A progress bar while there is progress; none while nothing happens."""

    _update: ProgressCallback | None = None

    def __call__(self, event: Progress) -> None:
        if self._update is None:
            self._update = self.enter_context(progress_bar())
        self._update(event)

    def close(self) -> None:
        self._update = None
        super().close()


def _found_something(report: IngestReport) -> bool:
    return bool(
        report.added or report.updated or report.moved or report.deleted or report.interrupted
    )


def _show(collection: Collection, report: IngestReport, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(render.report_dict(report), ensure_ascii=False))
    else:
        render.report(report, location=collection.location)
