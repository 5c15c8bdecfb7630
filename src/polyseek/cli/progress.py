"""A progress bar on standard error; silent when that is not a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.text import Text

from polyseek.core.reports import Progress, ProgressCallback

_BYTES = "download"
"""The stage that counts bytes."""


class _CountColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.description == _BYTES:
            return _DOWNLOAD.render(task)
        return _COUNT.render(task)


class _RateColumn(ProgressColumn):
    def render(self, task: Task) -> Text:
        if task.description == _BYTES:
            return _SPEED.render(task)
        return Text(f"{task.speed:,.1f}/s" if task.speed else "", style="progress.data.speed")


_COUNT, _DOWNLOAD, _SPEED = MofNCompleteColumn(), DownloadColumn(), TransferSpeedColumn()


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """A callback that draws one bar per stage while the context is open."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description:<6}"),
        BarColumn(),
        _CountColumn(),
        _RateColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[label]}", style="dim"),
    )
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {}

        def update(event: Progress) -> None:
            if event.stage not in tasks:
                tasks[event.stage] = bar.add_task(event.stage, total=event.total, label="")
            # The label is a file name: keep it on the line and free of control characters.
            label = "".join(c if c.isprintable() else "?" for c in event.label[-40:])
            bar.update(tasks[event.stage], completed=event.done, total=event.total, label=label)

        yield update
