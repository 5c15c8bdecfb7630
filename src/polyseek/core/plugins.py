"""Plug-in lookup through entry points; built-ins register the same way as everybody else."""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from polyseek.core.errors import UnknownPluginError


@cache
def _registered(role: str) -> dict[str, EntryPoint]:
    plural = f"{role[:-1]}ies" if role.endswith("y") else f"{role}s"
    group = f"polyseek.{plural}"
    return {entry.name: entry for entry in entry_points(group=group)}


def names(role: str) -> list[str]:
    """Sorted names of the plug-ins registered for a role such as ``encoder`` or ``store``."""
    return sorted(_registered(role))


def load(role: str, name: str) -> Any:
    """Import and return the object registered as `name` for a role.

    Raises:
        UnknownPluginError: Nothing of that name is registered; the message lists what is.
    """
    entry = _registered(role).get(name)
    if entry is None:
        raise UnknownPluginError(role, name, _registered(role))
    return entry.load()


def find(role: str, name: str) -> Any | None:
    """The object registered as `name` for a role, or None."""
    return load(role, name) if name in _registered(role) else None
