"""What segmenters of recordings share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from polyseek.core.errors import DecodeError

Piece = TypeVar("Piece")


def until_broken(pieces: Iterator[Piece], broken: list[DecodeError]) -> Iterator[Piece]:
    """The pieces up to an error, which is noted: what came before it still counts."""
    try:
        yield from pieces
    except DecodeError as error:
        broken.append(error)
