"""Which sources a collection is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from polyseek.core.reports import IngestReport


def what_was_indexed(
    sources: Sequence[str | Path], options: Mapping[str, Any], report: IngestReport
) -> dict[str, Any]:
    """An index run as its version tells it; enough to do it again with another encoder."""
    from polyseek.ingest.several import uri_of

    counts = ("added", "updated", "moved", "deleted")
    given = {name: str(v) if isinstance(v, Path) else v for name, v in options.items() if v}
    return {
        "sources": [uri_of(source) for source in sources],
        "options": given,
        **{name: n for name in counts if (n := getattr(report, name))},
    }
