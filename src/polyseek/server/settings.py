"""What a server is started with. Uvicorn's workers are processes: they get it as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from polyseek.core.runtime import available_cores

VARIABLE = "POLYSEEK_SERVER"
"""Environment variable that holds the settings of a worker process."""

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How a server serves what.

    Attributes:
        collections: Their locations by the names they have in URLs.
        host: Address to bind to.
        port: Port to bind to.
        keys: File of API keys; None where none are needed, which only a loopback address allows.
        roots: Folders that index jobs may read; none for no jobs.
        jobs: Folder in which the workers share the state of index jobs.
        hosts: Names, besides the address itself, that requests may be for.
        allow_urls: Whether queries may name public URLs.
        max_body_bytes: Longest request body.
        body_timeout_s: Time in which a request's body must have come.
        request_timeout_s: Time in which a search must have been answered.
        doctor_timeout_s: Time in which the page's doctor must be done.
        max_waiting: Requests that may wait for a thread; more are told to come again.
        threads: Requests that are worked on at once.
        requests_per_minute: Of one client; 0 for any number.
    """

    collections: Mapping[str, str]
    host: str = "127.0.0.1"
    port: int = 8000
    keys: Path | None = None
    roots: Sequence[Path] = ()
    jobs: Path | None = None
    hosts: Sequence[str] = ()
    allow_urls: bool = False
    max_body_bytes: int = 64 * MIB
    body_timeout_s: float = 30.0
    request_timeout_s: float = 30.0
    doctor_timeout_s: float = 120.0
    max_waiting: int = 64
    threads: int = field(default_factory=lambda: 2 * available_cores())
    requests_per_minute: int = 0

    @property
    def exposed(self) -> bool:
        """Whether others than this machine's own users can reach it."""
        return not is_loopback(self.host)

    def to_json(self) -> str:
        """For `from_json`, in another process."""
        return json.dumps(asdict(self), default=str)

    @classmethod
    def from_json(cls, text: str) -> ServerSettings:
        """What `to_json` wrote."""
        given: dict[str, Any] = json.loads(text)
        for name in ("keys", "jobs"):
            given[name] = Path(given[name]) if given[name] else None
        given["roots"] = [Path(root) for root in given["roots"]]
        return cls(**given)


def is_loopback(host: str) -> bool:
    """Whether a host name or address, with or without brackets, is this machine alone."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
