"""Banks of text queries: the generic one that ships, or the user's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

from polyseek.core.errors import ConfigError
from polyseek.core.protocols import Encoder
from polyseek.core.texts import read_utf8
from polyseek.core.types import Embeddings, Modality, Role

MIN_QUERIES = 100
SAMPLE = 500
"""Queries that stand for a bank where embedding them all would take too long."""

_BATCH = 32


@cache
def generic_queries() -> tuple[str, ...]:
    """3,000 short English queries, written by ``tools/write_bank.py``."""
    text = (files("polyseek.learn") / "data" / "bank.txt").read_text(encoding="utf-8")
    return tuple(text.splitlines())


def sample_of(texts: Sequence[str]) -> Sequence[str]:
    """Up to `SAMPLE` queries, spread evenly over the bank."""
    return texts[:: max(1, -(-len(texts) // SAMPLE))]


def read_bank(path: str | Path) -> tuple[str, ...]:
    """The distinct lines of a UTF-8 text file, blank ones left out.

    Raises:
        ConfigError: It cannot be read, or has fewer than `MIN_QUERIES`.
    """
    lines = read_utf8(path, called=f"--bank {path}").splitlines()
    queries = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if len(queries) < MIN_QUERIES:
        raise ConfigError(
            f"--bank {path}: {len(queries)} distinct queries; a bank needs at least "
            f"{MIN_QUERIES}, one per line, like those people ask"
        )
    return queries


def embed_bank(texts: Sequence[str], encoder: Encoder) -> Embeddings:
    """Embeddings of text queries, one row each.

    Raises:
        ConfigError: The encoder has no text tower.
    """
    tower = encoder.info.towers.get(Modality.TEXT)
    if tower is None:
        raise ConfigError(f"encoder '{encoder.info.name}' reads no text, so it cannot be tuned")
    parts = [
        encoder.encode(
            Modality.TEXT, [tower.prepare(text) for text in texts[i : i + _BATCH]], role=Role.QUERY
        )
        for i in range(0, len(texts), _BATCH)
    ]
    return Embeddings.concat(parts)
