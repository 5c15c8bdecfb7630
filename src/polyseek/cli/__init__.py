"""The command line: a thin face over `polyseek.api`."""

from polyseek.cli.entry import main

__all__ = ["main"]
