"""``/v1/collections/{name}/index`` and ``/jobs``: indexing on request, its progress, its end."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import StreamingResponse
from pydantic import Field

from polyseek.server.jobs import Job
from polyseek.server.schemas import IndexRequest, JobOut, JobsOut
from polyseek.server.security import Reader, Writer
from polyseek.server.state import State, StateDep

router = APIRouter(prefix="/v1/collections/{name}", tags=["index"])

LOOK_EVERY_S, SIGN_OF_LIFE_S = 0.25, 15.0
JobId = Annotated[str, Field(pattern="^[0-9a-f]{1,16}-[0-9a-f]{16}$")]
_EVENTS: dict[int | str, dict[str, Any]] = {200: {"content": {"text/event-stream": {}}}}


@router.post("/index", status_code=202, response_model=JobOut)
async def start(name: str, asked: IndexRequest, state: StateDep, _: Writer) -> Any:
    """Index folders or files below the server's roots, in a job."""
    location = state.location(name)
    options = asked.model_dump(exclude={"sources"}, exclude_none=True)
    job = await state.run(lambda: state.jobs.start(name, location, asked.sources, options))
    return _shown(job)


@router.get("/jobs", response_model=JobsOut)
async def jobs(name: str, state: StateDep, _: Reader) -> Any:
    """The collection's jobs, the newest first."""
    state.location(name)
    found = await state.run(lambda: state.jobs.list(name))
    return {"jobs": [_shown(job) for job in found]}


@router.get("/jobs/{job}", response_model=JobOut)
async def look(name: str, job: JobId, state: StateDep, _: Reader) -> Any:
    """How a job goes."""
    return _shown(await state.run(lambda: state.jobs.get(name, job)))


@router.delete("/jobs/{job}", status_code=202, response_model=JobOut)
async def cancel(name: str, job: JobId, state: StateDep, _: Writer) -> Any:
    """Stop a job after what it has in hand. The next one goes on from there."""
    return _shown(await state.run(lambda: state.jobs.cancel(name, job)))


@router.get("/jobs/{job}/events", response_class=StreamingResponse, responses=_EVENTS)
async def events(
    name: str,
    job: JobId,
    state: StateDep,
    _: Reader,
    last_event_id: Annotated[int, Header(ge=0, le=1_000_000_000)] = 0,
) -> StreamingResponse:
    """A job's progress as server-sent events; the last is `done`, `cancelled` or `failed`."""
    await state.run(lambda: state.jobs.get(name, job))
    lines = _lines(state, name, job, after=last_event_id)
    return StreamingResponse(
        lines, media_type="text/event-stream", headers={"Cache-Control": "no-store"}
    )


async def _lines(state: State, name: str, id_: str, *, after: int) -> AsyncIterator[str]:
    quiet_s = 0.0
    while not state.closing:
        job = await state.run(lambda: state.jobs.get(name, id_))
        for number, event in enumerate(job.events[after:], after + 1):
            told = json.dumps(_told(event))
            yield f"id: {number}\nevent: {event['event']}\ndata: {told}\n\n"
            quiet_s = 0.0
        after = max(after, len(job.events))
        if job.state.over:
            return
        if quiet_s >= SIGN_OF_LIFE_S:
            yield ": still running\n\n"
            quiet_s = 0.0
        await asyncio.sleep(LOOK_EVERY_S)
        quiet_s += LOOK_EVERY_S


def _shown(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "collection": job.collection,
        "sources": list(job.sources),
        "started": datetime.fromtimestamp(job.started, UTC).isoformat(timespec="seconds"),
        "state": job.state,
        "last": _told(job.events[-1]) if job.events else {},
    }


def _told(event: Mapping[str, Any]) -> dict[str, Any]:
    if event["event"] != "failed":
        return dict(event)
    detail = _FAILURES.get(event.get("error", ""), "the job failed; its log says why")
    return {"event": "failed", "detail": detail}


_FAILURES = {
    "CollectionBusyError": "the collection is being written to",
    "EmptySourceError": "the sources hold nothing to index",
    "SourceError": "a source cannot be read",
    "CollectionNotFoundError": "the collection is not there any more",
}
"""What is told of an error in a job; its message, which may name paths, is in the job's folder."""
