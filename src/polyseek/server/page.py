"""The page: search, an asset, the collection's state, reports on it, and signing in."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import UploadFile

from polyseek import api
from polyseek.core.reports import Progress
from polyseek.core.types import Modality
from polyseek.evaluate.charts import svg
from polyseek.evaluate.diagnosis import Diagnosis
from polyseek.evaluate.report import TITLES
from polyseek.search.results import hit_dict
from polyseek.server.bodies import MAX_FIELDS, MAX_FILES, save
from polyseek.server.evaluations import told
from polyseek.server.keys import Scope
from polyseek.server.links import Links
from polyseek.server.page_query import PAGE_SIZE, Asked, read_fields
from polyseek.server.page_report import measurement
from polyseek.server.page_shell import STATIC, PageRoute, is_fragment, render
from polyseek.server.page_view import browsed, by_name, card_of, failure, page_path, stems
from polyseek.server.problems import ProblemError
from polyseek.server.search import answer_of
from polyseek.server.security import COOKIE, Access, Admin, Reader, access_of
from polyseek.server.state import State, StateDep
from polyseek.server.uploads import Upload

__all__ = ["STATIC", "router"]

router = APIRouter(include_in_schema=False, route_class=PageRoute)

MAX_FAILURES = 500


@router.get("/")
async def front(request: Request, state: StateDep, access: Reader) -> Response:
    """The search page of the first collection that may be read."""
    name = next((name for name in state.names if access.reads(name)), None)
    if name is None:
        raise ProblemError(404, "no-collection", "there is no collection that this key may read")
    return await _answer(request, state, name, read_fields(request.query_params), {})


@router.get("/c/{name}")
async def page(name: str, request: Request, state: StateDep, _: Reader) -> Response:
    """A search by its address; the start page without one."""
    return await _answer(request, state, name, read_fields(request.query_params), {})


@router.post("/c/{name}")
async def search(name: str, request: Request, state: StateDep, _: Reader) -> Response:
    """A search by the form, with files."""
    async with _form(request) as (asked, files):
        return await _answer(request, state, name, asked, files)


@router.get("/c/{name}/filters")
async def filters(name: str, state: StateDep, _: Reader) -> Response:
    """The panel of filters, which is asked for when it is opened."""
    found = await state.use(name, _fields)
    return render("filters.html", name=name, asked=Asked(), fields=found)


@router.get("/c/{name}/assets/{id_}")
async def asset(
    name: str, id_: str, request: Request, state: StateDep, _: Reader, segment: str | None = None
) -> Response:
    """An asset in full."""
    links = state.links(name)

    def look(opened: api.Collection) -> dict[str, Any]:
        record = opened.assets.get(id_)
        failed = failure(record.uri, record.reason or "", str(record.status))
        if not record.segments:
            return {"card": None, "failed": failed, "media": links.media(id_)}
        hit = links.hit(hit_dict(opened.assets.hit(id_, segment)))
        return {"card": card_of(hit, frozenset()), "failed": failed, "media": links.media(id_)}

    found = await state.use(name, look)
    part = "asset.html" if is_fragment(request) else "asset_page.html"
    return render(part, name=name, access=access_of(request), **found)


@router.get("/c/{name}/status")
async def status(name: str, state: StateDep, access: Reader) -> Response:
    """What the collection holds, and what failed."""
    found = await state.use(name, lambda opened: opened.status())
    failures = [failure(one.uri, one.reason, str(one.status)) for one in found.failures]
    jobs = await state.run(lambda: state.jobs.list(name))
    return render(
        "status.html",
        name=name,
        encoder=state.links(name).encoder(found.encoder),
        others=_others(state, access, name),
        found=found,
        failures=failures[:MAX_FAILURES],
        failures_total=len(failures),
        jobs=jobs,
    )


@router.get("/c/{name}/report")
async def report(name: str, state: StateDep, access: Reader) -> Response:
    """How good it is, as far as anybody has measured, and where to ask for the doctor."""
    values = await _measured(state, access, name)
    return render("report.html", found=None, charts={}, **values)


@router.post("/c/{name}/report")
async def examine(name: str, request: Request, state: StateDep, access: Admin) -> Response:
    """The doctor's report: one at a time, for it reads all of a collection, and only so long."""
    over = threading.Event()

    def go_on(_: Progress) -> None:
        if over.is_set():
            raise TimeoutError

    def diagnose(opened: api.Collection) -> Diagnosis:
        return opened.doctor(progress=go_on)

    try:
        found = await state.examining.run(lambda: state.with_collection(name, diagnose))
    except TimeoutError as error:
        raise ProblemError(
            504,
            "timeout",
            f"the doctor was not done after {state.server.doctor_timeout_s:g} s; run 'polyseek "
            "doctor' beside the collection",
        ) from error
    finally:
        over.set()  # also when nobody waits any more: it stops before the next check
    values: dict[str, Any] = {
        "found": found,
        "charts": {check.name: [svg(chart) for chart in check.charts] for check in found},
        "titles": TITLES,
    }
    if is_fragment(request):
        return render("diagnosis.html", **values)
    return render("report.html", **values, **await _measured(state, access, name))


@router.get("/login")
async def login() -> Response:
    """Where a key is asked for."""
    return render("login.html", name=None, wrong=False)


@router.post("/login")
async def begin(request: Request) -> Response:
    """Keep the key in a cookie, and go on."""
    async with request.form(max_files=0, max_fields=4) as form:
        key = form.get("key")
    try:
        request.app.state.gatekeeper.access(key if isinstance(key, str) else "")
    except ProblemError:
        return render("login.html", status=401, name=None, wrong=True)
    response = RedirectResponse("/", status_code=303)
    response.set_cookie(
        COOKIE,
        str(key),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


async def _measured(state: State, access: Access, name: str) -> dict[str, Any]:
    """What the report's page shows besides the doctor's report."""
    kept = await state.use(name, lambda opened: told(opened, state.links(name)))
    return {
        "name": name,
        "others": _others(state, access, name),
        "measured": [measurement(one) for one in kept],
        "full": access.scope.includes(Scope.ADMIN),
    }


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[tuple[Asked, Mapping[str, Upload]]]:
    """The form's fields and files; the files are there until the block ends."""
    async with request.form(max_files=MAX_FILES, max_fields=2 * MAX_FIELDS) as form:
        with tempfile.TemporaryDirectory(prefix="polyseek-") as folder:
            files: dict[str, Upload] = {}
            for one in form.getlist("file"):
                if isinstance(one, UploadFile) and one.filename and not form.get("more"):
                    path = Path(folder) / str(len(files))
                    await save(one, path)
                    files[f"file{len(files)}"] = Upload(path=path, name=one.filename)
            yield read_fields(form), files


async def _answer(
    request: Request, state: State, name: str, asked: Asked, files: Mapping[str, Upload]
) -> Response:
    values = await state.use(name, lambda opened: _found(state, name, opened, asked, files=files))
    address = asked.url(page_path(name))
    values |= {"name": name, "asked": asked, "access": access_of(request)}
    if is_fragment(request):
        return render("results.html", headers={"HX-Push-Url": address}, **values)
    return render("search.html", others=_others(state, access_of(request), name), **values)


def _found(
    state: State,
    name: str,
    opened: api.Collection,
    asked: Asked,
    *,
    files: Mapping[str, Upload],
) -> dict[str, Any]:
    """All that the search page shows. Blocks."""
    links = state.links(name)
    signed = [(key, "+") for key in asked.like] + [(key, "-") for key in asked.unlike]
    chips = [{"key": key, "sign": sign, **_chip(opened, links, key)} for key, sign in signed]
    values = {
        "chips": chips,
        "modalities": opened.modalities(),
        "fields": _fields(opened) if asked.conditions or asked.condition else None,
        "found": None,
        "browsed": True,
    }
    if not asked.terms and not files and not asked.narrowed:
        hits = [hit_dict(hit) for hit in opened.assets.spread(PAGE_SIZE)]
        return {**values, "cards": browsed(hits, links)}
    answer = answer_of(state, name, opened, asked.request(list(files)), files=files)
    wanted = stems(asked.text)
    cards = [card_of(hit, wanted) for hit in answer["hits"]]
    return {**values, "found": answer, "cards": cards, "browsed": not asked.terms and not files}


def _fields(opened: api.Collection) -> list[Mapping[str, Any]]:
    return by_name([one.to_dict() for one in opened.describe_fields()])


def _chip(opened: api.Collection, links: Links, key: str) -> dict[str, str | None]:
    """Name of the asset that hits shall be like, and its picture."""
    asset_, segment = _pair(key)
    hit = opened.assets.hit(asset_, segment)
    drawn = hit.modality not in (Modality.TEXT, Modality.IMU)
    return {
        "name": failure(hit.uri, "", "")["name"],
        "preview": links.preview(asset_, segment) if drawn else None,
    }


def _pair(key: str) -> tuple[str, str | None]:
    asset_, _, segment = key.partition(".")
    return asset_, segment or None


def _others(state: State, access: Access, name: str) -> list[str]:
    """Names of the collections to choose from, where there is a choice."""
    names = [one for one in state.names if access.reads(one)]
    return names if len(names) > 1 or name not in names else []
