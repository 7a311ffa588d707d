"""What is done with all jobs that match: a page that asks first, then steps, one a request.

None holds the store for long, and whoever looks sees how far it is. Where a step ended, the next begins: the page sends
for it by itself, or a button does. Nothing is kept in the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from functools import partial
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import HTMLResponse

from outlast.dashboard import asking
from outlast.dashboard.desk import Desk, Unanswerable, require_hands
from outlast.dashboard.drawing import draw, visit_of
from outlast.dashboard.sought import CANCEL, DELETE, RETRY, STATES_FOR, Sought
from outlast.job import State, is_id
from outlast.store import JobFilter, Store

_STEP = 500
"""Jobs that one request changes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What one step has to do."""

    action: str
    sought: Sought
    state: State
    """Of the states that the action goes through."""
    before: str
    """The id below which it begins; empty: at the newest."""
    zone: tzinfo


@dataclass(frozen=True, slots=True)
class Step:
    """What one step has done, and where the next begins."""

    done: int
    files: list[str]
    state: State | None
    """The state that the next step is about; None when all is done."""
    before: str
    """The id below which it goes on."""


def bulk_of(desk: Desk) -> APIRouter:
    """The page that asks, and the steps."""
    router = APIRouter(dependencies=[Depends(require_hands)], default_response_class=HTMLResponse)
    queue = desk.queue

    @router.get("/bulk/{action}")
    async def ask(request: Request, action: str) -> Response:
        sought, zone = _sought(request, action), visit_of(request).zone
        now = await desk.ask("now", asking.now_of)
        tally = await desk.ask(("tally", sought, zone), partial(asking.tally, sought=sought, zone=zone))
        if not sought.until:  # what comes after the question is not what was asked about
            sought = replace(sought, until=now.isoformat(), since=_since(sought, now, zone), added="")
        told = {"tally": tally, "which": sought.filter(now, zone), "step": None, "done": 0}
        return _bulk(request, told | {"action": action, "sought": sought})

    @router.post("/bulk/{action}")
    async def step(
        request: Request, action: str, done: int = 0, stage: str = "", before: str = ""
    ) -> Response:
        sought, zone = _sought(request, action), visit_of(request).zone
        states = sought.states_for(action)
        if not states:
            raise Unanswerable(400, "Nothing to do", f"No {sought.state} job can be changed that way.")
        begin = State(stage) if stage in states else states[0]
        taken = await queue.atell(partial(_take_step, work=Work(action, sought, begin, before, zone)))
        queue.ring()
        if taken.files:
            await asyncio.to_thread(queue.sweep_files, taken.files)
        desk.forget()
        told = {"action": action, "sought": sought, "step": taken, "done": done + taken.done}
        return _bulk(request, told)

    return router


def _sought(request: Request, action: str) -> Sought:
    if action not in STATES_FOR:
        raise Unanswerable(404, "Not found", f"There is no action {action!r}.")
    sought = Sought.of(request.query_params)
    if sought.id and not is_id(sought.id):
        raise Unanswerable(400, "Too little of an id", "Give the whole id of the job.")
    return sought


def _since(sought: Sought, now: datetime, zone: tzinfo) -> str:
    since = sought.filter(now, zone).since
    return "" if since is None else since.isoformat()


def _bulk(request: Request, told: dict[str, Any]) -> Response:
    visit = visit_of(request)
    name = "bulk_live.html" if visit.is_fragment else "bulk.html"
    return HTMLResponse(draw(name, visit, told))


def _take_step(store: Store, work: Work) -> Step:
    """The next jobs that match, in the order of the states that the action goes through."""
    which = work.sought.filter(asking.now_of(store), work.zone)
    which = which if which.view else replace(which, state=work.state)
    found = store.search(which, limit=_STEP, before=work.before or None)
    ids = tuple(job.id for job in found.jobs)
    done, files = _ACTIONS[work.action](store, JobFilter(ids=ids)) if ids else (0, [])
    if found.next is not None:
        return Step(done, files, work.state, found.next)
    states = work.sought.states_for(work.action)
    rest = states[states.index(work.state) + 1 :]
    return Step(done, files, rest[0] if rest else None, "")


def _retry(store: Store, which: JobFilter) -> tuple[int, list[str]]:
    return len(store.retry(which)), []


def _cancel(store: Store, which: JobFilter) -> tuple[int, list[str]]:
    return len(store.cancel(which)), []


def _delete(store: Store, which: JobFilter) -> tuple[int, list[str]]:
    deleted = store.delete(which)
    return deleted.jobs, deleted.files


_ACTIONS: dict[str, Callable[[Store, JobFilter], tuple[int, list[str]]]] = {
    RETRY: _retry,
    CANCEL: _cancel,
    DELETE: _delete,
}
