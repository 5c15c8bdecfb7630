"""Starting and stopping the server."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from polyseek import api
from polyseek.core.errors import ConfigError
from polyseek.server.keys import KeyFile
from polyseek.server.listening import (
    BACKLOG,
    MAX_CONNECTIONS,
    Connection,
    address_of,
    bound,
)
from polyseek.server.metrics import MULTIPROCESS
from polyseek.server.settings import VARIABLE, ServerSettings

_log = logging.getLogger(__name__)

GRACE_S = 15
"""Requests in hand have so long when the server stops."""


def run(server: ServerSettings, *, workers: int = 1, log_level: str = "info") -> None:
    """Serve until the process is told to stop.

    Args:
        server: What is served, and how.
        workers: Processes; each has its own encoder, threads and limits.
        log_level: From which level on lines are logged.

    Raises:
        ConfigError: The address is taken or not this machine's, or it can be reached by others
            and there are no keys.
        StoreError: A collection is not there, or cannot be read.
    """
    require_keys(server)
    for location in server.collections.values():
        api.open(location, create=False, resident=False)
    with bound(server.host, server.port) as listening, _shared(server, workers) as settings:
        os.environ[VARIABLE] = settings.to_json()
        config = config_of(
            "polyseek.server.app:from_environment", factory=True, workers=workers, level=log_level
        )
        announce(server, address_of(listening))
        with stopping():
            if workers > 1:
                Multiprocess(config, sockets=[listening]).run()
            else:
                uvicorn.Server(config).run(sockets=[listening])


def config_of(
    app: ASGIApp | str, *, factory: bool = False, workers: int = 1, level: str = "info"
) -> uvicorn.Config:
    """How uvicorn serves an application, or one that a function of that name makes."""
    return uvicorn.Config(
        app,
        factory=factory,
        workers=workers,
        http=Connection,
        log_level="warning",
        log_config=_logging(level),
        access_log=False,  # its lines hold queries; `guard` writes better ones
        server_header=False,
        proxy_headers=False,
        ws="none",
        backlog=BACKLOG,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=GRACE_S,
    )


def announce(server: ServerSettings, address: str) -> None:
    """Say where it is."""
    names = ", ".join(sorted(server.collections))
    _log.info("serving %s at %s (Ctrl-C stops)", names, address)


@contextmanager
def stopping() -> Iterator[None]:
    """Uvicorn raises the signal that stopped it once more: here is its end."""

    def stop(number: int, _: FrameType | None) -> None:
        raise KeyboardInterrupt(number)

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        _log.info("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)


def require_keys(server: ServerSettings) -> None:
    """Nobody else reaches a server without keys.

    Raises:
        ConfigError: Others would.
    """
    if server.keys is None and server.exposed:
        raise ConfigError(f"--host {server.host} can be reached by others, so it needs --keys")
    if server.keys is not None and not KeyFile(server.keys).keys():
        raise ConfigError(
            f"--host {server.host}: {server.keys} has no API keys, and without keys the server "
            "only answers this machine; make one with 'polyseek keys add NAME'"
        )


@contextmanager
def _shared(server: ServerSettings, workers: int) -> Iterator[ServerSettings]:
    """Folders in which workers share the state of jobs and their figures."""
    folder = Path(tempfile.mkdtemp(prefix="polyseek-serve-"))
    try:
        if workers > 1:
            figures = folder / "metrics"
            figures.mkdir()
            os.environ[MULTIPROCESS] = str(figures)
        jobs = folder / "jobs"
        jobs.mkdir()
        yield replace(server, jobs=jobs)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _logging(level: str) -> dict[str, object]:
    """Lines of the server and of polyseek on standard error."""
    logger = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "loggers": {"uvicorn": logger, "polyseek": logger},
    }
