"""What the dashboard changes, one thing at a time: each action is a form of a page, answered with the way to a page."""

from __future__ import annotations

import json
from functools import partial
from urllib.parse import parse_qs

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from outlast.dashboard import asking
from outlast.dashboard.again import run_again
from outlast.dashboard.desk import Desk, require_hands
from outlast.dashboard.drawing import base_of, draw, visit_of
from outlast.errors import JobNotFound, OutlastError
from outlast.wording import carried


def actions_of(desk: Desk) -> APIRouter:
    """Every action. None for who may only look."""
    router = APIRouter(dependencies=[Depends(require_hands)], default_response_class=RedirectResponse)
    _add_of_queues(router, desk)
    _add_of_jobs(router, desk)
    return router


def _add_of_queues(router: APIRouter, desk: Desk) -> None:
    queue = desk.queue

    @router.post("/queues/pause")
    async def pause(request: Request, name: str) -> Response:
        await queue.atell(lambda store: store.pause(name))
        return _back(desk, request, "")

    @router.post("/queues/resume")
    async def resume(request: Request, name: str) -> Response:
        await queue.atell(lambda store: store.resume(name))
        queue.ring()
        return _back(desk, request, "")


def _add_of_jobs(router: APIRouter, desk: Desk) -> None:
    queue = desk.queue

    @router.post("/jobs/{job_id}/retry")
    async def retry(request: Request, job_id: str) -> Response:
        await queue.aretry(job_id)
        return _back(desk, request, f"jobs/{job_id}")

    @router.post("/jobs/{job_id}/cancel")
    async def cancel(request: Request, job_id: str) -> Response:
        await queue.acancel(job_id)
        return _back(desk, request, f"jobs/{job_id}")

    @router.get("/jobs/{job_id}/again")
    async def edit(request: Request, job_id: str) -> Response:
        job = (await desk.ask(("job", job_id), partial(asking.job, job_id=job_id))).job
        text = await queue.atext(job.luggage, f"what job {job_id} carries")
        return _again(request, job_id, job.task, _readable(text), None)

    @router.post("/jobs/{job_id}/again")
    async def again(request: Request, job_id: str) -> Response:
        text = (parse_qs((await request.body()).decode("utf-8", "replace")).get("arguments") or [""])[0]
        try:
            added = await run_again(queue, job_id, text)
        except JobNotFound:
            raise
        except OutlastError as error:
            task = (await queue.job(job_id).arecord()).task
            return _again(request, job_id, task, text, str(error))
        return _back(desk, request, f"jobs/{added}")


def _back(desk: Desk, request: Request, page: str) -> Response:
    """To a page, with what has changed."""
    desk.forget()
    return RedirectResponse(f"{base_of(request)}{page}", 303)


def _again(request: Request, job_id: str, task: str, text: str, problem: str | None) -> Response:
    told = {"job_id": job_id, "task": task, "text": text, "problem": problem}
    return HTMLResponse(draw("again.html", visit_of(request), told), 200 if problem is None else 422)


def _readable(luggage: str) -> str:
    """The arguments as a person edits them."""
    return json.dumps(carried(luggage), indent=2, ensure_ascii=False)
