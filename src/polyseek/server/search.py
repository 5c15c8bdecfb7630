"""``/v1/collections/{name}/search``: JSON, or multipart with files."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from polyseek import api
from polyseek.search.results import Results
from polyseek.server.links import Links
from polyseek.server.problems import ProblemError
from polyseek.server.schemas import SearchAnswer, SearchRequest
from polyseek.server.security import Reader
from polyseek.server.state import State, StateDep
from polyseek.server.terms import TermReader
from polyseek.server.uploads import Upload

router = APIRouter(prefix="/v1/collections/{name}", tags=["search"])

MAX_FILES = 16
MAX_PARTS = 64
_MULTIPART = "multipart/form-data"
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": "#/components/schemas/SearchRequest"}},
            _MULTIPART: {
                "schema": {
                    "type": "object",
                    "properties": {
                        "request": {
                            "type": "string",
                            "description": "The same JSON as without files.",
                        },
                        "file": {"type": "string", "format": "binary"},
                    },
                    "required": ["file"],
                }
            },
        },
    }
}


@router.post("/search", response_model=SearchAnswer, openapi_extra=_BODY)
async def search(name: str, request: Request, state: StateDep, _: Reader) -> JSONResponse:
    """Rank everything in the collection for terms of any modality.

    With `multipart/form-data`, files are terms, and the part `request` holds the JSON.
    """
    async with _read(request) as (asked, files):
        answer = await state.use(
            name, lambda opened: answer_of(state, name, opened, asked, files=files)
        )
    return JSONResponse(answer)


def answer_of(
    state: State,
    name: str,
    opened: api.Collection,
    asked: SearchRequest,
    *,
    files: Mapping[str, Upload],
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
    )
    state.metrics.searched(name, found.timings_ms)
    return shown(found, asked, state.links(name))


def shown(found: Results, asked: SearchRequest, links: Links) -> dict[str, Any]:
    """Results as JSON: one page of them."""
    answer = found.to_dict(explain=asked.explain)
    answer["hits"] = [links.hit(hit) for hit in answer["hits"][asked.offset :]]
    return {**answer, "limit": asked.limit, "offset": asked.offset}


@asynccontextmanager
async def _read(request: Request) -> AsyncIterator[tuple[SearchRequest, Mapping[str, Upload]]]:
    """A request's body; uploaded files are there until the block ends."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        yield _parse(await request.body()), {}
        return
    if kind != _MULTIPART:
        raise ProblemError(
            415, "unsupported-body", f"expected application/json or {_MULTIPART}, with its length"
        )
    async with request.form(max_files=MAX_FILES, max_fields=MAX_PARTS) as form:
        with tempfile.TemporaryDirectory(prefix="polyseek-") as folder:
            files: dict[str, Upload] = {}
            for part, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if part in files:
                        raise ProblemError(400, "invalid-query", f"two files are called '{part}'")
                    path = Path(folder) / str(len(files))
                    await _save(value, path)
                    files[part] = Upload(path=path, name=value.filename or part)
            asked = form.get("request", "{}")
            yield _parse(asked.encode() if isinstance(asked, str) else b""), files


async def _save(upload: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        while block := await upload.read(1024 * 1024):
            file.write(block)


def _parse(body: bytes) -> SearchRequest:
    try:
        return SearchRequest.model_validate_json(body)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from error
