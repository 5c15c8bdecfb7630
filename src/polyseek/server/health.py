"""``/healthz``, ``/readyz`` and ``/metrics``: for those who run the server."""

from __future__ import annotations

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from polyseek.core.errors import PolyseekError
from polyseek.server.problems import ProblemError
from polyseek.server.security import Admin
from polyseek.server.state import StateDep

router = APIRouter(tags=["operation"])


@router.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """The process is alive."""
    return "ok"


@router.get("/readyz", response_class=PlainTextResponse)
async def readyz(state: StateDep) -> str:
    """Encoders are loaded and every collection opens, so searches are answered at once."""
    if not state.ready:
        raise ProblemError(503, "not-ready", "still loading", {"Retry-After": "1"})

    def check() -> list[str]:
        broken = []
        for name in state.names:
            try:
                state.with_collection(name, len)
            except PolyseekError:
                broken.append(name)
        return broken

    broken = await state.run(check)
    if broken:
        count = f"{len(broken)} of {len(state.names)} collections cannot be read"
        raise ProblemError(503, "not-ready", count)
    return "ready"


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(state: StateDep, _: Admin) -> Response:
    """Figures for Prometheus."""
    return Response(state.metrics.text(), media_type=CONTENT_TYPE_LATEST)
