"""Texts as everything that stores or compares them wants them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from polyseek.core.errors import ConfigError
from polyseek.core.types import MetadataValue

TECHNICAL = frozenset(
    "path name folder format mime codec audio_codec video_codec id etag uri encoding text_source "
    "text_boxes".split()
)
"""Fields that are no words, or are read as names."""

_ENDS = ".!?\u3002\uff01\uff1f"
_SENTENCE = re.compile(rf"[^{_ENDS}\n]+[{_ENDS}]*")


def read_utf8(path: str | Path, *, called: str | None = None) -> str:
    """What a text file that was named by somebody says, without a byte order mark.

    Args:
        path: The file; ``~`` is a home.
        called: How errors call it; None for its path.

    Raises:
        ConfigError: It is not there, may not be read, or is no UTF-8.
    """
    name = called or str(path)
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{name}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigError(f"{name}: is not UTF-8 text ({error}); save it as UTF-8") from error


def well_formed(text: str) -> str:
    """A text that UTF-8 can hold: halves of surrogate pairs become U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def texts_in(metadata: Mapping[str, MetadataValue]) -> Iterator[str]:
    """The fields that say something about what is shown: captions, descriptions, tags."""
    for name, value in sorted(metadata.items()):
        if name in TECHNICAL:
            continue
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            yield from value


def several_sentences(text: str) -> list[str]:
    """The sentences of a text of several; nothing for a single one."""
    found = [part.strip() for part in _SENTENCE.findall(text)]
    found = [part for part in found if len(part) > 1]
    return found if len(found) > 1 else []
