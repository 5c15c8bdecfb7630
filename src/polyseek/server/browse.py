"""``/v1/collections``: which there are, what they hold, which fields they have."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query

from polyseek.core.errors import PolyseekError
from polyseek.core.types import asset_id
from polyseek.server.problems import response_of
from polyseek.server.schemas import CollectionsOut, FieldsOut, StatusOut
from polyseek.server.security import Reader
from polyseek.server.state import State, StateDep

router = APIRouter(prefix="/v1/collections", tags=["collections"])

MAX_FAILURES = 1000


@router.get("", response_model=CollectionsOut)
async def collections(state: StateDep, access: Reader) -> Any:
    """All collections that the key may read."""
    names = [name for name in state.names if access.reads(name)]
    return {"collections": await state.run(lambda: [_describe(state, name) for name in names])}


@router.get("/{name}/status", response_model=StatusOut)
async def status(
    name: str,
    state: StateDep,
    _: Reader,
    failures: Annotated[int, Query(ge=0, le=MAX_FAILURES, description="At most so many.")] = 100,
) -> Any:
    """What a collection holds, and which assets failed and why."""
    found = await state.use(name, lambda opened: opened.status())
    links = state.links(name)
    shown = [
        {
            "asset": asset_id(one.uri),
            "uri": links.uri(one.uri),
            "status": one.status,
            "reason": one.reason,
        }
        for one in found.failures[:failures]
    ]
    plain = {key: value for key, value in found.to_dict().items() if key != "location"}
    return {
        **plain,
        "name": name,
        "encoder": links.encoder(found.encoder),
        "failures": shown,
        "failures_total": len(found.failures),
    }


@router.get("/{name}/fields", response_model=FieldsOut)
async def fields(name: str, state: StateDep, _: Reader) -> Any:
    """Metadata fields that filters may name: type, count, examples."""
    found = await state.use(name, lambda opened: opened.describe_fields())
    return {"fields": [field.to_dict() for field in found]}


def _describe(state: State, name: str) -> dict[str, Any]:
    try:
        opened = state.collection(name)
        found = opened.modalities()
    except PolyseekError as error:
        detail = response_of(error).content["detail"]
        return {"name": name, "encoder": None, "assets": None, "modalities": {}, "problem": detail}
    return {
        "name": name,
        "encoder": state.links(name).encoder(opened.encoder.name),
        "assets": len(opened),
        "modalities": found,
    }
