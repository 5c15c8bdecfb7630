"""``/v1/collections/{name}/search``: JSON, or multipart with files."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, StreamingResponse

from polyseek import api
from polyseek.search.results import Results
from polyseek.server.bodies import SEARCH_BODY, read_search
from polyseek.server.links import Links
from polyseek.server.problems import response_of
from polyseek.server.schemas import SearchAnswer, SearchRequest
from polyseek.server.security import Reader
from polyseek.server.state import State, StateDep
from polyseek.server.terms import TermReader
from polyseek.server.uploads import Upload

router = APIRouter(prefix="/v1/collections/{name}", tags=["search"])

_LINES: dict[int | str, dict[str, Any]] = {200: {"content": {"application/x-ndjson": {}}}}


@router.post("/search", response_model=SearchAnswer, openapi_extra=SEARCH_BODY)
async def search(name: str, request: Request, state: StateDep, _: Reader) -> JSONResponse:
    """Rank everything in the collection for terms of any modality.

    With `multipart/form-data`, files are terms, and the part `request` holds the JSON.
    """
    async with read_search(request) as (asked, files):
        answer = await state.use(
            name, lambda opened: answer_of(state, name, opened, asked, files=files)
        )
    return JSONResponse(answer)


@router.post(
    "/search/stream", openapi_extra=SEARCH_BODY, response_class=StreamingResponse, responses=_LINES
)
async def stream(name: str, request: Request, state: StateDep, _: Reader) -> StreamingResponse:
    """The same search, line by line: what is found so far, and last, with `final`, the answer.

    Earlier lines are in an order of their own; a hit may have another rank, or none, in the last.
    """
    state.location(name)
    reading = read_search(request)
    asked, files = await reading.__aenter__()
    lines: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(found: Results) -> None:
        line = {"final": False, **shown(found, asked, state.links(name))}
        loop.call_soon_threadsafe(lines.put_nowait, line)

    async def searching() -> None:
        try:
            answer = await state.use(
                name,
                lambda opened: answer_of(state, name, opened, asked, files=files, partial=tell),
            )
            lines.put_nowait({"final": True, **answer})
        except Exception as error:  # noqa: BLE001 - the status is sent: the last line tells
            lines.put_nowait({"final": True, "problem": response_of(error).content})
        finally:
            lines.put_nowait(None)
            await reading.__aexit__(None, None, None)

    async def sent() -> AsyncIterator[bytes]:
        while (line := await lines.get()) is not None:
            yield json.dumps(line, ensure_ascii=False).encode() + b"\n"

    state.start(searching())  # it cleans up also when the client is gone before the first line
    return StreamingResponse(sent(), media_type="application/x-ndjson")


def answer_of(
    state: State,
    name: str,
    opened: api.Collection,
    asked: SearchRequest,
    *,
    files: Mapping[str, Upload],
    partial: Callable[[Results], None] | None = None,
) -> dict[str, Any]:
    """Search, and what is told of it. Blocks."""
    reader = TermReader(opened, state.uploads, files=files, allow_urls=state.server.allow_urls)
    found = opened.search(
        reader.read(asked),
        limit=asked.offset + asked.limit,
        modalities=asked.modalities,
        filter=asked.filter,
        min_probability=asked.min_probability,
        show_all=asked.show_all,
        mode=asked.mode,
        group=asked.group,
        partial=partial,
    )
    state.metrics.searched(name, found.timings_ms)
    return shown(found, asked, state.links(name))


def shown(found: Results, asked: SearchRequest, links: Links) -> dict[str, Any]:
    """Results as JSON: one page of them."""
    answer = found.to_dict(explain=asked.explain)
    answer["hits"] = [links.hit(hit) for hit in answer["hits"][asked.offset :]]
    return {**answer, "limit": asked.limit, "offset": asked.offset}
