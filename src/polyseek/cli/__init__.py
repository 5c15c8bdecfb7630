"""The command line: a thin face over `polyseek.api`."""

from polyseek.cli.main import main

__all__ = ["main"]
