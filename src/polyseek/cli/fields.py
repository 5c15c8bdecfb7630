"""`polyseek fields`: what filters may name."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from polyseek.cli.options import CollectionOption, JsonOption, print_json

EXAMPLE_CHARS = 40


def fields(
    *,
    collection: CollectionOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the metadata fields that filters may name: type, number of segments, examples."""
    from polyseek import api

    found = api.open(collection, create=False, resident=False).describe_fields()
    if as_json:
        print_json([field.to_dict() for field in found])
        return
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for column in ("field", "type", "segments", "examples"):
        table.add_column(column, justify="right" if column == "segments" else "left")
    for field in found:
        examples = ", ".join(_short(str(value)) for value in field.to_dict()["examples"])
        table.add_row(Text(field.name), str(field.type), f"{field.segments:,}", Text(examples))
    Console(highlight=False).print(table if found else "no metadata yet")


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= EXAMPLE_CHARS else line[: EXAMPLE_CHARS - 1] + "…"
