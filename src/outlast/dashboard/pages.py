"""The pages: for each its address, what it is asked for, and its template. Changing things is for `actions`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from outlast.dashboard import asking, numbers, pictures, tracebacks
from outlast.dashboard.desk import Desk, Unanswerable
from outlast.dashboard.drawing import base_of, draw, visit_of
from outlast.dashboard.numbers import HOUR, PERIODS
from outlast.dashboard.sought import ADDED, STATES_FOR, Sought
from outlast.dashboard.timeline import timeline
from outlast.errors import OutlastError
from outlast.job import JobRecord, is_id
from outlast.luggage.stand_in import stood_for
from outlast.wording import arguments, parsed, written

_COUNTED_FOR = 5.0
"""Seconds for which numbers that move slowly, or are dear, are shown."""
_NAMED_FOR = 30.0
_LEAST_OF_ID = 6
_TRACES = 5
"""Tracebacks of one job on its page; those of earlier attempts are a link away."""
_FETCHED = 1_000_000
"""Bytes of arguments or of a result that are fetched from a file to be shown."""


def pages_of(desk: Desk) -> APIRouter:
    """Every page."""
    router = APIRouter(default_response_class=HTMLResponse)
    _add_of_all(router, desk)
    _add_of_jobs(router, desk)
    _add_of_tasks(router, desk)
    return router


def _add_of_all(router: APIRouter, desk: Desk) -> None:
    @router.get("/")
    async def overview(request: Request, period: str = HOUR.word) -> Response:
        shown = PERIODS.get(period, HOUR)
        told = await desk.ask("overview", asking.overview)
        counted = await desk.ask(
            ("numbers", shown), partial(numbers.of_all, period=shown), fresh=_COUNTED_FOR
        )
        visit = visit_of(request)
        charts = pictures.overview_pictures(counted, told.queued, visit.zone)
        return _page("overview", request, {"told": told, "charts": charts, "period": shown})

    @router.get("/failures")
    async def failures(request: Request) -> Response:
        now, failed = await desk.ask("failures", asking.failures)
        return _page("failures", request, {"now": now, "failed": failed, "sought": Sought(state="failed")})


def _add_of_jobs(router: APIRouter, desk: Desk) -> None:
    @router.get("/jobs")
    async def jobs(request: Request, before: str = "") -> Response:
        sought = Sought.of(request.query_params)
        if sought.id and not is_id(sought.id):
            return await _by_part_of_id(desk, request, sought)
        zone = visit_of(request).zone
        before = before if is_id(before) else ""
        asked = partial(asking.found, sought=sought, before=before or None, zone=zone)
        now, found = await desk.ask(("jobs", sought, before, zone), asked)
        tally = await desk.ask(
            ("tally", replace(sought, state=""), zone),
            partial(asking.tally, sought=sought, zone=zone),
            fresh=_COUNTED_FOR if sought.is_narrow else 1.0,
        )
        names = await desk.ask("names", asking.names, fresh=_NAMED_FOR)
        told = {"now": now, "found": found, "tally": tally, "sought": sought, "before": before}
        return _page("jobs", request, told | {"names": names, "added": ADDED, "actions": _actions(sought)})

    @router.get("/jobs/{job_id}")
    async def job(request: Request, job_id: str) -> Response:
        told = await desk.ask(("job", job_id), partial(asking.job, job_id=job_id))
        found = told.job if visit_of(request).is_fragment else await _fetched(desk, told.job)
        latest = told.attempts[::-1]
        result = None if told.job.result is None else await _text(desk, told.job.result)
        shown = {
            "told": told,
            "events": timeline(told.job, told.attempts, told.now),
            "traces": [(attempt, tracebacks.read(attempt.traceback)) for attempt in latest[:_TRACES]],
            "older": latest[_TRACES:],
            "arguments": arguments(found, written),
            "result": None if result is None else written(parsed(result)),
        }
        return _page("job", request, shown)

    @router.get("/jobs/{job_id}/attempts/{number}")
    async def traceback(job_id: str, number: int) -> Response:
        """A traceback as it is, for those that are too long for a page."""
        attempts = await desk.queue.aask(lambda store: store.attempts(job_id))
        for attempt in attempts:
            if attempt.attempt == number:
                return PlainTextResponse(attempt.traceback)
        raise Unanswerable(
            404, "No such attempt", f"No traceback is kept of attempt {number} of job {job_id}."
        )


def _add_of_tasks(router: APIRouter, desk: Desk) -> None:
    @router.get("/tasks")
    async def tasks(request: Request, task: str = "", period: str = HOUR.word) -> Response:
        shown = PERIODS.get(period, HOUR)
        slow = partial(numbers.slowest, task=task or None)
        told = {
            "task": task,
            "period": shown,
            "now": await desk.ask("now", asking.now_of),
            "slowest": await desk.ask(("slowest", task), slow, fresh=_NAMED_FOR),
        }
        if task:
            one = partial(numbers.of_task, period=shown, task=task)
            counted = await desk.ask(("task", shown, task), one, fresh=_COUNTED_FOR)
            charts = pictures.task_pictures(counted, visit_of(request).zone)
            return _page("task", request, told | {"charts": charts})
        all_of_them = partial(numbers.of_tasks, period=shown)
        tasks = (await desk.ask(("tasks", shown), all_of_them, fresh=_COUNTED_FOR)).tasks
        return _page("tasks", request, told | {"tasks": tasks, "spark": pictures.spark})


def _page(name: str, request: Request, told: Mapping[str, Any]) -> HTMLResponse:
    """A whole page, or its live part alone."""
    visit = visit_of(request)
    template = f"{name}_live.html" if visit.is_fragment else f"{name}.html"
    return HTMLResponse(draw(template, visit, told), headers={"Vary": "HX-Request, Cookie"})


async def _by_part_of_id(desk: Desk, request: Request, sought: Sought) -> Response:
    """A job that was named by the beginning or the end of its id."""
    part = sought.id.lower()
    if len(part) < _LEAST_OF_ID:
        why = f"Give at least {_LEAST_OF_ID} characters of its beginning or end, not {part!r}."
        raise Unanswerable(400, "Too little of an id", why)
    ids = await desk.queue.aask(lambda store: store.ids_like(part, limit=2))
    if not ids:
        raise Unanswerable(404, "No such job", f"No job has an id that begins or ends with {part!r}.")
    if len(ids) > 1:
        why = f"More than one id begins or ends with {part!r}: give more of it."
        raise Unanswerable(400, "Too little of an id", why)
    return RedirectResponse(f"{base_of(request)}jobs/{ids[0]}", 303)


def _actions(sought: Sought) -> list[str]:
    """What can be done with those that are looked for."""
    return [action for action in STATES_FOR if sought.states_for(action)]


async def _fetched(desk: Desk, job: JobRecord) -> JobRecord:
    return replace(job, luggage=await _text(desk, job.luggage))


async def _text(desk: Desk, text: str) -> str:
    """What lies in a file, if it is not too much; else what stands for it."""
    stored = stood_for(text)
    if stored is None or stored.size > _FETCHED:
        return text
    try:
        return await desk.queue.atext(text, "what is shown here")
    except OutlastError:
        return text
