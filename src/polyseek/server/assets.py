"""``/v1/collections/{name}/assets/{id}``: descriptions, bytes and previews."""

from __future__ import annotations

import mimetypes
from hashlib import blake2b
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import FileResponse

from polyseek import api
from polyseek.ingest.sources.files import local_path
from polyseek.search.results import segment_dict
from polyseek.server.previews import PreviewKey
from polyseek.server.problems import ProblemError
from polyseek.server.schemas import AssetOut, Id
from polyseek.server.security import Reader
from polyseek.server.state import StateDep

router = APIRouter(prefix="/v1/collections/{name}/assets/{id_}", tags=["assets"])

MAX_SEGMENTS = 1000
Kind: TypeAlias = Literal["picture", "clip"]
_SAFE = {
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}
"""What is in a collection may be hostile: as a page of its own it must not run anything."""

_PREVIEWS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {mime: {} for mime in ("image/jpeg", "image/svg+xml", "audio/ogg", "video/mp4")}
    },
    304: {"description": "As it was."},
}
_AS_TEXT = frozenset({"text/html", "application/xhtml+xml", "text/xml", "application/xml"})


@router.get("", response_model=AssetOut)
async def describe(
    name: str,
    id_: Id,
    state: StateDep,
    _: Reader,
    limit: Annotated[int, Query(ge=0, le=MAX_SEGMENTS)] = 100,
    offset: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
) -> Any:
    """An asset's status, metadata and segments."""
    links = state.links(name)

    def look(opened: api.Collection) -> dict[str, Any]:
        record, segments = opened.assets.get(id_), opened.assets.segments(id_)
        return {
            "id": id_,
            "uri": links.uri(record.uri),
            "status": record.status,
            "reason": record.reason,
            "size_bytes": record.size_bytes,
            "modalities": record.modalities,
            "segments_total": len(segments),
            "segments": [
                {**segment_dict(segment), "preview": links.preview(id_, segment.id)}
                for segment in segments[offset : offset + limit]
            ],
            "media": links.media(id_),
        }

    return await state.use(name, look)


@router.get("/media", response_class=FileResponse)
async def media(name: str, id_: Id, state: StateDep, _: Reader) -> FileResponse:
    """The asset's bytes, whole or in ranges."""
    record = await state.use(name, lambda opened: opened.assets.get(id_))
    if not record.uri.startswith("file:"):
        raise ProblemError(404, "no-media", "this asset is not a file of this server")
    path = local_path(record.uri)
    if not path.is_file():
        raise ProblemError(404, "no-media", "the file of this asset is not there any more")
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return FileResponse(
        path,
        media_type="text/plain" if kind in _AS_TEXT else kind,
        filename=path.name.encode(errors="replace").decode(),
        content_disposition_type="inline",
        headers={**_SAFE, "Cache-Control": "private, no-cache"},
    )


@router.get("/preview", response_class=Response, responses=_PREVIEWS)
async def preview(
    *,
    name: str,
    id_: Id,
    request: Request,
    state: StateDep,
    _: Reader,
    segment: Id | None = None,
    kind: Annotated[Kind, Query(description="A still picture, or a clip that plays.")] = "picture",
) -> Response:
    """A small copy of a segment: thumbnail, page, keyframe or waveform; or a sound or film."""
    key = await state.use(name, lambda opened: _preview_key(opened, id_, segment, kind))
    tag = f'"{blake2b(repr(key).encode(), digest_size=12).hexdigest()}"'
    headers = {**_SAFE, "Cache-Control": "private, max-age=600", "ETag": tag}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    clip = await state.draw(key)
    if clip is None:
        raise ProblemError(404, "no-preview", "there is nothing to look at or listen to")
    return Response(clip.data, media_type=clip.mime, headers=headers)


def _preview_key(opened: api.Collection, id_: str, segment: str | None, kind: Kind) -> PreviewKey:
    record, hit = opened.assets.get(id_), opened.assets.hit(id_, segment)
    return PreviewKey(hit=hit, still=kind == "picture", etag=record.etag)
