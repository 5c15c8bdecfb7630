"""Bodies of searches: JSON, or multipart with files."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from polyseek.server.problems import ProblemError
from polyseek.server.schemas import SearchRequest
from polyseek.server.uploads import Upload

MAX_FILES = 16
MAX_FIELDS = 64
_MULTIPART = "multipart/form-data"
SEARCH_BODY: dict[str, Any] = {
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
"""For OpenAPI: routes read these bodies themselves."""


@asynccontextmanager
async def read_search(
    request: Request,
) -> AsyncIterator[tuple[SearchRequest, Mapping[str, Upload]]]:
    """A request's body; uploaded files are there until the block ends."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        yield _parse(await request.body()), {}
        return
    if kind != _MULTIPART:
        raise ProblemError(
            415, "unsupported-body", f"expected application/json or {_MULTIPART}, with its length"
        )
    async with request.form(max_files=MAX_FILES, max_fields=MAX_FIELDS) as form:
        with tempfile.TemporaryDirectory(prefix="polyseek-") as folder:
            files: dict[str, Upload] = {}
            for part, value in form.multi_items():
                if isinstance(value, UploadFile):
                    if part in files:
                        raise ProblemError(400, "invalid-query", f"two files are called '{part}'")
                    path = Path(folder) / str(len(files))
                    await save(value, path)
                    files[part] = Upload(path=path, name=value.filename or part)
            asked = form.get("request", "{}")
            yield _parse(asked.encode() if isinstance(asked, str) else b""), files


async def save(upload: UploadFile, path: Path) -> None:
    """Put an uploaded file into a file."""
    with path.open("wb") as file:
        while block := await upload.read(1024 * 1024):
            file.write(block)


def _parse(body: bytes) -> SearchRequest:
    try:
        return SearchRequest.model_validate_json(body)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors()]
        raise RequestValidationError(faults) from error
