"""URLs and uris in answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from polyseek.core.types import asset_id
from polyseek.encode import names


class Links:
    """How one collection's things are named in answers.

    Args:
        collection: Its name.
        show_files: Whether ``file:`` uris are told: paths of this machine are nobody else's
            business, so a server that others can reach gives the URL of the media instead.
    """

    def __init__(self, collection: str, *, show_files: bool) -> None:
        self._root = f"/v1/collections/{quote(collection, safe='')}/assets/"
        self.show_files = show_files

    def asset(self, id_: str) -> str:
        """Of an asset's description."""
        return self._root + id_

    def media(self, id_: str) -> str:
        """Of an asset's bytes."""
        return f"{self._root}{id_}/media"

    def preview(self, id_: str, segment: str | None = None) -> str:
        """Of a small picture of a segment."""
        return f"{self._root}{id_}/preview" + (f"?segment={segment}" if segment else "")

    def uri(self, uri: str) -> str:
        """What is told of an asset's uri."""
        if self.show_files or not uri.startswith("file:"):
            return uri
        return self.media(asset_id(uri))

    def encoder(self, name: str) -> str:
        """What is told of an encoder's name, with its revision or without."""
        return name if self.show_files else without_folders(name)

    def hit(self, hit: Mapping[str, Any]) -> dict[str, Any]:
        """A hit of `Results.to_dict` with its asset's id and its links."""
        id_ = asset_id(hit["uri"])
        return {
            **hit,
            "asset": id_,
            "uri": self.uri(hit["uri"]),
            "duplicates": [
                {**one, "asset": asset_id(one["uri"]), "uri": self.uri(one["uri"])}
                for one in hit["duplicates"]
            ],
            "links": {
                "asset": self.asset(id_),
                "media": self.media(id_),
                "preview": self.preview(id_, hit["id"]),
            },
        }


def without_folders(encoder: str) -> str:
    """The name of an encoder that lies on this machine, without where."""
    return PurePath(encoder).name if names.is_path(encoder) else encoder
