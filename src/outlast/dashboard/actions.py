"""What the dashboard changes: each action is a form that a page has, answered with the way back to a page."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse

from outlast.dashboard.desk import Desk, Unanswerable
from outlast.dashboard.drawing import base_of


def actions_of(desk: Desk) -> APIRouter:
    """Every action. None for who may only look."""
    router = APIRouter(dependencies=[Depends(_require_hands)], default_response_class=RedirectResponse)
    queue = desk.queue

    @router.post("/jobs/{job_id}/retry")
    async def retry(request: Request, job_id: str) -> RedirectResponse:
        await queue.aretry(job_id)
        return _back(request, f"jobs/{job_id}")

    @router.post("/jobs/{job_id}/cancel")
    async def cancel(request: Request, job_id: str) -> RedirectResponse:
        await queue.acancel(job_id)
        return _back(request, f"jobs/{job_id}")

    @router.post("/queues/pause")
    async def pause(request: Request, name: str) -> RedirectResponse:
        await queue.atell(lambda store: store.pause(name))
        return _back(request, "")

    @router.post("/queues/resume")
    async def resume(request: Request, name: str) -> RedirectResponse:
        await queue.atell(lambda store: store.resume(name))
        queue.ring()
        return _back(request, "")

    def _back(request: Request, page: str) -> RedirectResponse:
        """To a page, with what has changed."""
        desk.forget()
        return RedirectResponse(f"{base_of(request)}{page}", 303)

    return router


def _require_hands(request: Request) -> None:
    if not request.state.may_act:
        raise Unanswerable(403, "Only looking", "You may look at this dashboard, and change nothing.")
