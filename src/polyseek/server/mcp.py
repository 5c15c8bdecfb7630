"""Model Context Protocol: collections as tools for language models.

A model names collections and opaque ids, never a path, and can change nothing. What it is told of
an asset is what a search tells; pictures come as small previews that worker processes draw.
"""

from __future__ import annotations

import json
import logging
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Annotated, Any, ParamSpec

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import Field

from polyseek import __version__, api
from polyseek.core import errors
from polyseek.core.hits import Hit, Query
from polyseek.core.types import Modality, asset_id
from polyseek.ingest.aside import AsideWorkers, Show
from polyseek.ingest.term import TEXT_PREFIX
from polyseek.search.results import Results, hit_dict, segment_dict
from polyseek.server.links import without_folders

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")

MAX_LIMIT, MAX_PICTURES, MAX_SEGMENTS, MAX_FAILURES = 50, 12, 50, 100
PREVIEW_TIMEOUT_S = 20.0
_READS = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)
_TOLD = (
    errors.QueryError,
    errors.UnknownAssetError,
    errors.ConfigError,
    errors.CollectionBusyError,
)
"""Errors whose messages are about what the model asked for, and hold no path of this machine."""

_INSTRUCTIONS = (
    "Search collections of pictures, sounds, videos and texts by meaning. Every hit has the "
    "probability that it is what was looked for; when `no_match` is true, nothing was found, and "
    "you should say so rather than offer what is nearest. Use `similar` with the `asset` and "
    "`segment` of a hit for more like it."
)

Name = Annotated[str, Field(description="A collection; may be left out when there is only one.")]
Limit = Annotated[int, Field(ge=1, le=MAX_LIMIT, description="Number of hits.")]
Modalities = Annotated[list[Modality], Field(description="Empty for all.")]
Condition = Annotated[
    str, Field(max_length=10_000, description="On metadata, e.g. year >= 2020 AND folder = 'trips'")
]
ShowAll = Annotated[bool, Field(description="Show the nearest, however improbable.")]
Pictures = Annotated[bool, Field(description="Attach small pictures of the first hits.")]
Id = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
NoId = Annotated[str, Field(pattern="^([0-9a-f]{32})?$")]


READS: ContextVar[Callable[[str], bool]] = ContextVar("READS", default=lambda _: True)
"""Whether who asks may see a collection."""


class Shelf:
    """The collections that are served, opened at their first use. Safe to share between threads.

    Args:
        locations: Of the collections, by name.
        show_files: Whether ``file:`` uris are told, to who is on this machine anyway.
    """

    def __init__(self, locations: Mapping[str, str], *, show_files: bool) -> None:
        self._locations, self._show_files = dict(locations), show_files
        self._lock = threading.Lock()
        self._open: dict[str, api.Collection] = {}
        self._drawing = AsideWorkers(
            count=2, timeout_s=PREVIEW_TIMEOUT_S, patience_s=PREVIEW_TIMEOUT_S
        )

    @property
    def names(self) -> list[str]:
        """Of the collections that who asks may see."""
        return sorted(filter(READS.get(), self._locations))

    def get(self, name: str) -> api.Collection:
        """A collection; the only one when none is named.

        Raises:
            QueryError: There is none of that name.
        """
        names = self.names
        if not name and len(names) == 1:
            name = names[0]
        if name not in names:
            known = ", ".join(names) or "none"
            raise errors.QueryError(f"no collection '{name}'; there are: {known}")
        with self._lock:
            if name not in self._open:
                self._open[name] = api.open(self._locations[name], create=False)
            return self._open[name]

    def uri(self, uri: str) -> str | None:
        """What is told of an asset's uri."""
        return uri if self._show_files or not uri.startswith("file:") else None

    def encoder(self, name: str) -> str:
        """What is told of an encoder's name."""
        return name if self._show_files else without_folders(name)

    def picture(self, hit: Hit) -> ImageContent | None:
        """A thumbnail; None where there is nothing to see, or it takes too long."""
        try:
            clip = self._drawing.show(Show(hit=hit, still=True))
        except (errors.AssetError, TimeoutError):
            return None
        if clip is None or clip.mime != "image/jpeg":  # models look at no SVG
            return None
        return ImageContent(
            type="image", data=b64encode(clip.data).decode(), mime_type="image/jpeg"
        )

    def close(self) -> None:
        """End the processes that draw."""
        self._drawing.close()


def create_server(locations: Mapping[str, str], *, show_files: bool) -> MCPServer[None]:
    """The server and its tools.

    Args:
        locations: Of the collections, by name.
        show_files: See `Shelf`.
    """
    shelf = Shelf(locations, show_files=show_files)

    @asynccontextmanager
    async def running(_: MCPServer[None]) -> AsyncIterator[None]:
        try:
            yield
        finally:
            shelf.close()

    server = MCPServer(
        "polyseek",
        instructions=_INSTRUCTIONS,
        version=__version__,
        lifespan=running,
        log_level="WARNING",
    )
    for tool in (*_search_tools(shelf), *_looking_tools(shelf)):
        server.add_tool(_guarded(tool), annotations=_READS)
    return server


def _search_tools(shelf: Shelf) -> Sequence[Callable[..., CallToolResult]]:
    def search(
        *,
        query: Annotated[
            str,
            Field(max_length=20_000, description="In words. Empty lists what passes the filter."),
        ] = "",
        collection: Name = "",
        without: Annotated[str, Field(max_length=20_000, description="What is not wanted.")] = "",
        modalities: Modalities = [],  # noqa: B006 - its schema shows it; it is never changed
        filter: Condition = "",  # noqa: A002 - as everywhere
        limit: Limit = 8,
        show_all: ShowAll = False,
        pictures: Pictures = True,
    ) -> CallToolResult:
        """Find pictures, sounds, moments of videos and passages of texts for a description.

        Without one, list what passes a filter, by path.
        """
        wanted: Any = TEXT_PREFIX + query if query.strip() else None
        if without.strip():
            if wanted is None:
                raise errors.QueryError("'without' needs a 'query' that it is taken from")
            wanted = api.query(wanted, minus=TEXT_PREFIX + without)
        found = shelf.get(collection).search(
            wanted, limit=limit, modalities=modalities, filter=filter or None, show_all=show_all
        )
        return _told(shelf, found, label=query, pictures=pictures)

    def similar(
        *,
        asset: Id,
        segment: NoId = "",
        collection: Name = "",
        modalities: Modalities = [],  # noqa: B006 - as above
        filter: Condition = "",  # noqa: A002 - as above
        limit: Limit = 8,
        show_all: ShowAll = False,
        pictures: Pictures = True,
    ) -> CallToolResult:
        """Find more like something in the collection, of any modality."""
        opened = shelf.get(collection)
        like: Query = opened.assets.query(asset, segment or None)
        found = opened.search(
            like, limit=limit, modalities=modalities, filter=filter or None, show_all=show_all
        )
        return _told(shelf, found, label=like.label, pictures=pictures)

    return search, similar


def _looking_tools(shelf: Shelf) -> Sequence[Callable[..., CallToolResult]]:
    def get_asset(asset: Id, segment: NoId = "", collection: Name = "") -> CallToolResult:
        """Look at one asset: metadata, texts, and a small picture of it or of one segment."""
        assets = shelf.get(collection).assets
        record, segments = assets.get(asset), assets.segments(asset)
        value = {
            "asset": asset,
            "uri": shelf.uri(record.uri),
            "status": str(record.status),
            "reason": record.reason,
            "modalities": [str(modality) for modality in record.modalities],
            "size_bytes": record.size_bytes,
            "segments_total": len(segments),
            "segments": [segment_dict(one) for one in segments[:MAX_SEGMENTS]],
        }
        picture = shelf.picture(assets.hit(asset, segment or None)) if segments else None
        return _answer(value, f"Asset {asset}: {record.status}", [picture] if picture else [])

    def status(collection: Name = "") -> CallToolResult:
        """What a collection holds, which assets failed and why, and which fields filters know."""
        opened = shelf.get(collection)
        found = opened.status()
        plain = {key: value for key, value in found.to_dict().items() if key != "location"}
        plain["encoder"] = shelf.encoder(found.encoder)
        failures = [
            {
                "asset": asset_id(one.uri),
                "uri": shelf.uri(one.uri),
                "status": str(one.status),
                "reason": one.reason,
            }
            for one in found.failures
        ]
        fields = {name: str(kind) for name, kind in opened.fields().items()}
        told = {"failures": failures[:MAX_FAILURES], "failures_total": len(failures)}
        return _answer({**plain, **told, "fields": fields}, f"{len(opened):,} assets")

    def list_collections() -> CallToolResult:
        """The collections there are, and what they hold."""
        return _answer({"collections": [_described(shelf, name) for name in shelf.names]}, "")

    return get_asset, status, list_collections


def _described(shelf: Shelf, name: str) -> dict[str, Any]:
    try:
        opened = shelf.get(name)
    except errors.PolyseekError as error:
        _log.error("collection %s: %s", name, error)
        return {"name": name, "problem": "it cannot be read"}
    held = {str(modality): count for modality, count in opened.modalities().items()}
    return {"name": name, "assets": len(opened), "modalities": held}


def _told(shelf: Shelf, found: Results, *, label: str, pictures: bool) -> CallToolResult:
    """Results with their pictures, each after a line that says which hit it is of."""
    hits = [
        {**hit_dict(hit), "asset": asset_id(hit.uri), "segment": hit.id, "uri": shelf.uri(hit.uri)}
        for hit in found
    ]
    value = {**found.to_dict(), "query": label, "hits": hits}
    nearest = "" if found.nearest is None else f"; the nearest is only {found.nearest:.0%} probable"
    headline = f"Nothing found{nearest}." if found.no_match else f"{len(hits)} hits."
    shown: list[ContentBlock] = []
    for hit in list(found)[: MAX_PICTURES if pictures else 0]:
        picture = shelf.picture(hit)
        if picture is not None:
            name = hit.metadata.get("path", asset_id(hit.uri))
            shown += [TextContent(type="text", text=f"Hit {hit.rank}: {name}"), picture]
    return _answer(value, headline, shown)


def _answer(
    value: dict[str, Any], headline: str, shown: Sequence[ContentBlock] = ()
) -> CallToolResult:
    """Structured, and the same as text for clients that read only that."""
    text = "\n".join(filter(None, [headline, json.dumps(value, ensure_ascii=True)]))
    return CallToolResult(
        content=[TextContent(type="text", text=text), *shown], structured_content=value
    )


def _guarded(tool: Callable[_P, CallToolResult]) -> Callable[_P, CallToolResult]:
    """Errors as tools tell them: in the answer, without paths of this machine."""

    @wraps(tool)
    def called(*args: _P.args, **kwargs: _P.kwargs) -> CallToolResult:
        try:
            return tool(*args, **kwargs)
        except _TOLD as error:
            raise ToolError(str(error)) from error
        except errors.PolyseekError as error:
            _log.error("%s: %s", tool.__name__, error)
            raise ToolError(
                "the collection cannot be searched; the server's log says why"
            ) from None

    return called
