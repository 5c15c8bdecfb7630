"""Templates as responses: pages, fragments for htmx, and errors that people can read."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from fastapi.routing import APIRoute
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException

from polyseek import __version__
from polyseek.server.page_view import NAMES, ONE, page_path, shown_in_full, value_of
from polyseek.server.problems import invalid, response_of
from polyseek.server.security import access_of

STATIC = Path(__file__).parent / "static"
TEMPLATES = Path(__file__).parent / "templates"

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cache-Control": "no-store",
    "Vary": "HX-Request",
}


def render(
    template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
) -> HTMLResponse:
    """A template, filled in; names that UTF-8 cannot hold are shown with a question mark."""
    text = _environment().get_template(template).render(**values)
    return HTMLResponse(
        text.encode(errors="replace"), status_code=status, headers={**HEADERS, **(headers or {})}
    )


def is_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of the page."""
    return request.headers.get("hx-request") == "true" and "hx-history-restore-request" not in (
        request.headers
    )


class PageRoute(APIRoute):
    """A route whose errors are pages."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See FastAPI."""
        handle = super().get_route_handler()

        async def readable(request: Request) -> Response:
            try:
                return await handle(request)
            except RequestValidationError as error:
                content = invalid(error).content
            except HTTPException as error:
                content = {"status": error.status_code, "detail": str(error.detail)}
            except Exception as error:  # noqa: BLE001 - `response_of` logs it and tells what may be
                content = response_of(error).content
            part = "problem.html" if is_fragment(request) else "error.html"
            return render(part, status=content["status"], problem=content, name=_known(request))

        return readable


def _known(request: Request) -> str | None:
    """The collection that the address names, for the way back; None for one that is not there."""
    name: str = request.path_params.get("name", "")
    names = request.app.state.polyseek.names
    return name if name in names and access_of(request).reads(name) else None


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        version=__version__,
        names=NAMES,
        one=ONE,
        page_path=page_path,
        shown_in_full=shown_in_full,
        value_of=value_of,
    )
    return made
