"""The pages: for each its address, what it is asked for, and its template. Changing things is for `actions`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from outlast.dashboard import asking
from outlast.dashboard.desk import Desk
from outlast.dashboard.drawing import draw, visit_of
from outlast.job import State
from outlast.store import JobFilter


def pages_of(desk: Desk) -> APIRouter:
    """Every page."""
    router = APIRouter(default_response_class=HTMLResponse)

    @router.get("/")
    async def overview(request: Request) -> HTMLResponse:
        told = await desk.ask("overview", asking.overview)
        return _page("overview", request, {"told": told})

    @router.get("/jobs")
    async def jobs(
        request: Request,
        state: State | None = None,
        queue: str | None = None,
        task: str | None = None,
        before: Annotated[str | None, Query(max_length=36)] = None,
    ) -> HTMLResponse:
        which = JobFilter(state=state, queue=queue or None, task=task or None)
        told = await desk.ask((which, before), partial(asking.job_list, which=which, before=before))
        return _page("jobs", request, {"told": told, "which": which, "before": before})

    @router.get("/jobs/{job_id}")
    async def job(request: Request, job_id: str) -> HTMLResponse:
        told = await desk.ask(("job", job_id), partial(asking.job, job_id=job_id))
        return _page("job", request, {"told": told})

    return router


def _page(name: str, request: Request, told: Mapping[str, Any]) -> HTMLResponse:
    """A whole page, or its live part alone."""
    visit = visit_of(request, may_act=request.state.may_act)
    template = f"{name}_live.html" if visit.is_fragment else f"{name}.html"
    return HTMLResponse(draw(template, visit, told), headers={"Vary": "HX-Request, Cookie"})
