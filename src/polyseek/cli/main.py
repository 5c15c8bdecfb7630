"""Entry point of the `polyseek` command: errors become one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from polyseek.cli import exits
from polyseek.cli.app import app
from polyseek.core.errors import PolyseekError


def main() -> NoReturn:
    """Run the command line and exit."""
    sys.exit(_run())


def _run() -> int:
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        _say("interrupted")
        return exits.INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) is gone: keep the interpreter from flushing into it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    except PolyseekError as error:
        _say(f"polyseek: {' '.join(str(error).split())}")
        return exits.code_of(error)
    return code if isinstance(code, int) else exits.OK


def _say(message: str) -> None:
    sys.stderr.write(message.encode(errors="replace").decode() + "\n")
