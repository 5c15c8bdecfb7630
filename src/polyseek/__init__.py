"""Cross-modal retrieval: search images, sounds, videos and texts with a query of any modality.

>>> import polyseek
>>> photos = polyseek.open("photos.polyseek")
>>> photos.add("~/Pictures")
>>> photos.search("sunset over the ocean", limit=10, modalities=["image"])
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyseek.api import (
        Collection,
        Status,
        connect,
        open,  # noqa: A004
        open_external,
        query,
    )
    from polyseek.core.errors import AssetError, PolyseekError
    from polyseek.core.hits import Hit
    from polyseek.core.reports import IngestReport
    from polyseek.core.types import Modality, Span
    from polyseek.evaluate.diagnosis import Diagnosis
    from polyseek.search.results import Results

__version__ = "0.1.0"

__all__ = [
    "AssetError",
    "Collection",
    "Diagnosis",
    "Hit",
    "IngestReport",
    "Modality",
    "PolyseekError",
    "Results",
    "Span",
    "Status",
    "connect",
    "open",
    "open_external",
    "query",
]

_HOME = {
    "AssetError": "polyseek.core.errors",
    "Collection": "polyseek.api",
    "Diagnosis": "polyseek.evaluate.diagnosis",
    "Hit": "polyseek.core.hits",
    "IngestReport": "polyseek.core.reports",
    "Modality": "polyseek.core.types",
    "PolyseekError": "polyseek.core.errors",
    "Results": "polyseek.search.results",
    "Span": "polyseek.core.types",
    "Status": "polyseek.api",
    "connect": "polyseek.api",
    "open": "polyseek.api",
    "open_external": "polyseek.api",
    "query": "polyseek.api",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that importing polyseek is instant."""
    if name not in _HOME:
        raise AttributeError(f"module 'polyseek' has no attribute '{name}'")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
