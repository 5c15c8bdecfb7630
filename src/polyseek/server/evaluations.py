"""``/v1/collections/{name}/evaluations``: what `polyseek eval` has kept, and its full reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import HTMLResponse

from polyseek import api
from polyseek.core.errors import ConfigError
from polyseek.core.hits import Hit
from polyseek.core.types import asset_id
from polyseek.evaluate.quality_page import page
from polyseek.server.links import Links
from polyseek.server.problems import ProblemError
from polyseek.server.schemas import EvaluationsOut
from polyseek.server.security import Admin, Reader
from polyseek.server.state import StateDep

router = APIRouter(prefix="/v1/collections/{name}/evaluations", tags=["evaluations"])

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
"""The report brings its own style, runs nothing, and shows previews of this server."""

_HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}}}


@router.get("", response_model=EvaluationsOut)
async def evaluations(name: str, state: StateDep, _: Reader) -> Any:
    """The last evaluations with their figures, the newest first."""
    kept = await state.use(name, lambda opened: told(opened, state.links(name)))
    return {"evaluations": kept}


@router.get("/{number}/report", response_class=Response, responses=_HTML)
async def report(
    name: str, number: Annotated[int, Path(ge=1, le=10**9)], state: StateDep, _: Admin
) -> Response:
    """An evaluation in full: figures, slices, and the questions that went worst.

    It shows what was asked, so it needs the scope `admin`.
    """
    links = state.links(name)

    def draw(opened: api.Collection) -> str:
        try:
            run = opened.evaluations.run(number)
        except ConfigError as error:
            raise ProblemError(404, "unknown-evaluation", str(error)) from error
        notes = run.notes if links.show_files else ()
        shown = replace(run, location=name, encoder=links.encoder(run.encoder), notes=notes)
        return page(shown, preview=_preview(links))

    text = await state.use(name, draw)
    headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "private, no-store"}
    return HTMLResponse(text.encode(errors="replace"), headers=headers)


def told(opened: api.Collection, links: Links) -> list[dict[str, Any]]:
    """What clients are told of a collection's evaluations; notes may name files."""
    kept = [one.to_dict() for one in opened.evaluations]
    if links.show_files:
        return kept
    return [{**one, "encoder": links.encoder(one["encoder"]), "notes": []} for one in kept]


@dataclass(frozen=True, slots=True)
class _Picture:
    """A preview, fetched when it comes into view."""

    url: str

    def html(self) -> str:
        """See `evaluate.quality_page.Element`."""
        return f'<img loading="lazy" alt="" src="{escape(self.url)}">'


def _preview(links: Links) -> Callable[[Hit], _Picture | None]:
    def of(hit: Hit) -> _Picture | None:
        """None for a text, which is no asset of its own."""
        return _Picture(links.preview(asset_id(hit.uri))) if "://" in hit.uri else None

    return of
