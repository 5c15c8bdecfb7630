"""The public face that wires the rooms together."""

from polyseek.api.collection import Collection
from polyseek.api.composing import ComposedQuery, query
from polyseek.api.opening import (
    open,  # noqa: A004 - reads like gzip.open
    open_external,
    open_to_index,
)
from polyseek.api.remote import RemoteCollection, connect
from polyseek.api.status import Status

__all__ = [
    "Collection",
    "ComposedQuery",
    "RemoteCollection",
    "Status",
    "connect",
    "open",
    "open_external",
    "open_to_index",
    "query",
]
