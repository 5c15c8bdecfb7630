"""The application: routes, their order, and what wraps them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from polyseek import __version__
from polyseek.core.config import Settings
from polyseek.server import (
    assets,
    browse,
    evaluations,
    health,
    index,
    page,
    problems,
    search,
    security,
)
from polyseek.server.guard import Guard
from polyseek.server.schemas import Problem, SearchRequest
from polyseek.server.security import Gatekeeper
from polyseek.server.settings import VARIABLE, ServerSettings
from polyseek.server.state import State

_REFUSALS = {
    400: "The query cannot be answered as asked.",
    401: "A valid key is needed.",
    403: "The key, the origin or the server's settings do not allow it.",
    404: "There is no such collection, asset or job.",
    408: "The request's body took too long to come.",
    409: "The collection is being written to.",
    413: "The request is too large.",
    415: "The media or the body is of a kind that cannot be read.",
    421: "The request is for another host.",
    422: "The request does not follow the schema, or a file cannot be decoded.",
    429: "Too many requests of this client.",
    500: "The server failed; its log says why.",
    503: "The server has as many requests as it can hold, or is not ready.",
    504: "The answer took too long.",
    507: "The server's disk is full.",
}


def create_app(server: ServerSettings, settings: Settings | None = None) -> FastAPI:
    """The ASGI application that serves some collections.

    Args:
        server: What is served, and how.
        settings: Of polyseek; from its file and the environment by default.
    """
    state = State(server, settings)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.get_running_loop().run_in_executor(None, state.warm)
        yield
        await warming
        state.close()

    app = FastAPI(
        title="polyseek",
        version=__version__,
        summary="Cross-modal search: find anything with a query of any modality.",
        lifespan=running,
        responses=_documented(),
        docs_url=None,
        redoc_url=None,
        openapi_url="/v1/openapi.json",
    )
    gatekeeper = Gatekeeper(server)
    app.state.polyseek, app.state.gatekeeper = state, gatekeeper
    problems.install(app)
    for module in (health, security, browse, search, assets, evaluations, index, page):
        app.include_router(module.router)
    app.mount("/static", StaticFiles(directory=page.STATIC), name="static")
    app.add_middleware(Guard, server=server, metrics=state.metrics, gatekeeper=gatekeeper)
    _describe_bodies(app, with_keys=server.keys is not None)
    return app


def from_environment() -> FastAPI:
    """The application of a uvicorn worker, which `polyseek serve` has started."""
    return create_app(ServerSettings.from_json(os.environ[VARIABLE]))


def _documented() -> dict[int | str, dict[str, Any]]:
    schema = {"schema": {"$ref": "#/components/schemas/Problem"}}
    return {
        status: {"description": why, "content": {problems.MEDIA_TYPE: schema}}
        for status, why in _REFUSALS.items()
    }


def _describe_bodies(app: FastAPI, *, with_keys: bool) -> None:
    """Add the schemas of what routes read and answer by hand, and how keys are sent."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            known = schema.setdefault("components", {}).setdefault("schemas", {})
            for model in (SearchRequest, Problem):
                made = model.model_json_schema(ref_template="#/components/schemas/{model}")
                known.update(made.pop("$defs", {}))
                known[model.__name__] = made
            if with_keys:
                schema["components"]["securitySchemes"] = {
                    "key": {"type": "http", "scheme": "bearer"}
                }
                schema["security"] = [{"key": []}]
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
