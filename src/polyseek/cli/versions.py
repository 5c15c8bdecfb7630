"""`polyseek versions`, `rollback` and `compact`: old states of a collection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from polyseek.cli.options import CollectionOption, JsonOption, print_json
from polyseek.core.columns import Version


def versions(*, collection: CollectionOption = None, as_json: JsonOption = False) -> None:
    """List the states that are kept: --at shows them, rollback goes back to one."""
    from polyseek import api

    _show(api.open(collection, create=False, resident=False).versions(), as_json=as_json)


def rollback(
    version: Annotated[str, typer.Argument(help="Its number, or a time.")],
    *,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """Go back to an old version; that is a new version, so you can go forward again."""
    from polyseek import api

    opened = api.open(collection, create=False, resident=False)
    made = opened.rollback(version)
    if as_json:
        print_json(made.to_dict())
    else:
        typer.echo(
            f"{opened.location}: back at version {made.detail['version']}, which is version "
            f"{made.number} now"
        )


def compact(
    *,
    collection: CollectionOption = None,
    keep: Annotated[int, typer.Option(min=1, help="How many versions to keep.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Forget all but the last versions and reclaim their space."""
    from polyseek import api

    opened = api.open(collection, create=False, resident=False)
    _show(opened.compact(keep=keep), as_json=as_json)


def _show(found: Sequence[Version], *, as_json: bool) -> None:
    if as_json:
        print_json([v.to_dict() for v in found])
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("version", "time", "run", "did"):
        table.add_column(column, justify="right" if column == "version" else "left")
    for version in found:
        time = version.time.astimezone().isoformat(" ", timespec="seconds")
        table.add_row(str(version.number), time, version.action, Text(_told(version.detail)))
    Console(highlight=False).print(table if found else "no versions yet")


def _told(detail: Any) -> str:
    """What a run did, on one line."""
    parts = []
    for name, value in detail.items():
        if isinstance(value, int):
            parts.append(f"{value:,} {name}" if name != "version" else f"to version {value}")
        elif isinstance(value, list):
            parts.append(", ".join(map(str, value)))
        elif isinstance(value, str):
            parts.append(value)
    return "; ".join(parts)
