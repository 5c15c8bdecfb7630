"""Entry point of the `polyseek` command: errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import typer

from polyseek.cli import exits
from polyseek.cli.app import app
from polyseek.core.errors import PolyseekError

# typer keeps its copy of click private; this is that copy's ClickException.
_UsageError: type[Any] = typer.BadParameter.__mro__[2]


def main() -> NoReturn:
    """Run the command line and exit."""
    sys.exit(_run())


def _run() -> int:
    # Lance's log lines are about its own housekeeping; failures come as exceptions.
    os.environ.setdefault("LANCEDB_LOG", "error")
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except typer.Exit as stop:
        return stop.exit_code
    except _UsageError as error:
        _say_usage(error)
        return exits.USAGE
    except (KeyboardInterrupt, typer.Abort):
        _say("interrupted")
        return exits.INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return exits.OK
    except PolyseekError as error:
        _say(f"polyseek: {' '.join(str(error).split())}")
        return exits.code_of(error)
    return code if isinstance(code, int) else exits.OK


def _say_usage(error: Any) -> None:
    """One line; without any argument at all, the help."""
    message = error.format_message()
    if "\n" in message.strip():
        error.show()
        return
    context = getattr(error, "ctx", None)
    hint = f"; see '{context.command_path} --help'" if context else ""
    _say(f"polyseek: {message.rstrip('.')}{hint}")


def _close_stdout() -> None:
    """The reader (head, less) is gone: keep the interpreter from flushing into it at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(message: str) -> None:
    sys.stderr.write(message.encode(errors="replace").decode() + "\n")
