"""What callers give by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from polyseek.core.config import Group
from polyseek.core.errors import ConfigError
from polyseek.core.retriever import SearchMode
from polyseek.core.types import Modality


def options_of(kind: type[Any], given: Mapping[str, Any]) -> Any:
    """The options object of what a caller gave by name.

    Raises:
        ConfigError: An option is unknown.
    """
    try:
        return kind(**given)
    except TypeError as error:
        known = ", ".join(kind.__dataclass_fields__)
        raise ConfigError(f"unknown option: {error}; known: {known}") from None


def modalities_of(names: Sequence[str]) -> tuple[Modality, ...]:
    """Modalities by their names.

    Raises:
        ConfigError: One is unknown.
    """
    found = []
    for name in [names] if isinstance(names, str) else names:
        with suppress(ValueError):
            found.append(Modality(name))
            continue
        raise ConfigError(f"unknown modality '{name}'; known: {', '.join(Modality)}")
    return tuple(found)


def mode_of(name: str) -> SearchMode:
    """A way to search by its name.

    Raises:
        ConfigError: It is unknown.
    """
    with suppress(ValueError):
        return SearchMode(name)
    raise ConfigError(f"unknown mode '{name}'; known: {', '.join(SearchMode)}")


def group_of(name: str) -> Group:
    """What one hit is, by its name. Raises as `mode_of` does."""
    with suppress(ValueError):
        return Group(name)
    raise ConfigError(f"unknown group '{name}'; known: {', '.join(Group)}")
