"""A diagnosis as people read it in a terminal, and the exit code that goes with it."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from polyseek.cli import exits
from polyseek.evaluate.diagnosis import Check, Diagnosis, Verdict

_STYLE = {Verdict.OK: "green", Verdict.WARNING: "yellow", Verdict.FAILURE: "red"}
_EXIT = {
    Verdict.OK: exits.OK,
    Verdict.WARNING: exits.WARNINGS,
    Verdict.FAILURE: exits.UNHEALTHY,
}


def exit_code(found: Diagnosis) -> int:
    """What `polyseek doctor` exits with."""
    return _EXIT[found.verdict]


def show(found: Diagnosis) -> None:
    """Print the verdict and a table of the checks."""
    console = Console(highlight=False)
    console.print(Text(f"{found.location}  (encoder {found.encoder}, {found.elapsed_s:.1f} s)"))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("verdict", "check"):
        table.add_column(name, no_wrap=True)
    table.add_column("found", overflow="fold", ratio=1)
    for check in found:
        table.add_row(
            Text(check.verdict, style=_STYLE[check.verdict]),
            check.name,
            _found(check),
        )
    console.print(table)
    console.print(Text(found.headline, style=f"bold {_STYLE[found.verdict]}"))


def _found(check: Check) -> Text:
    text = Text(check.summary)
    for note in check.notes:
        text.append(f"\n{note}", style="dim")
    if check.advice:
        text.append(f"\n-> {check.advice}", style=_STYLE[check.verdict])
    return text
