"""Files that belong to others: sidecars with metadata, and subtitles."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import PurePosixPath
from typing import TypeAlias

from polyseek.core.types import Metadata
from polyseek.ingest.decoders.audio import AudioDecoder
from polyseek.ingest.decoders.subtitles import SubtitleDecoder
from polyseek.ingest.decoders.video import VideoDecoder
from polyseek.ingest.sources.metadata import flatten_metadata
from polyseek.ingest.sources.selection import Selection

SIDECAR = ".json"
PLAYED = AudioDecoder.suffixes | VideoDecoder.suffixes

_Names: TypeAlias = "defaultdict[str, list[str]]"
_LANGUAGE = re.compile(
    r"\.[a-z]{2,3}([-_][a-z0-9]{2,8})*(\.(forced|sdh|cc|hi|default))?$", re.IGNORECASE
)


def is_sidecar(name: str, siblings: AbstractSet[str]) -> bool:
    """Whether a file holds the metadata of another in its folder."""
    return name.endswith(SIDECAR) and name.removesuffix(SIDECAR) in siblings


def read_sidecar(content: bytes) -> Metadata:
    """The fields of a sidecar.

    Raises:
        ValueError: It is no JSON object, or too deep.
    """
    read = json.loads(content)
    if not isinstance(read, dict):
        raise ValueError(f"expected an object, got {type(read).__name__}")  # noqa: TRY004
    return flatten_metadata(read)


def subtitles(
    names: Iterable[str], prefix: str, selection: Selection
) -> Mapping[str, Sequence[str]]:
    """The names of the subtitle files of each recording in a folder.

    Args:
        names: Of all its files.
        prefix: Of their paths below the source's root.
        selection: What is indexed.
    """
    texts = [name for name in names if _ends_in(name, SubtitleDecoder.suffixes)]
    recordings: _Names = defaultdict(list)
    for name in names if texts else ():
        if _ends_in(name, PLAYED) and selection.wants(prefix + name):
            recordings[PurePosixPath(name).stem].append(name)
    beside: _Names = defaultdict(list)
    for name in sorted(texts):
        if selection.excludes(prefix + name):
            continue
        stem = PurePosixPath(name).stem
        whose = stem if stem in recordings else _LANGUAGE.sub("", stem)
        for recording in recordings.get(whose, []):
            beside[recording].append(name)
    return beside


def _ends_in(name: str, suffixes: frozenset[str]) -> bool:
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in suffixes
