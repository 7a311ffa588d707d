"""The HTTP face of jobs, for `app.include_router(queue.router)`: status, events, cancel, `/explain`, `/retry`.

Whose job it is decides who is answered, where the queue has `owner=`: to everybody else it is not there, in every verb.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Header, HTTPException, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.routing import NoMatchFound

from outlast.errors import AppRefused, JobNotFound
from outlast.explain import ask
from outlast.fastapi.answers import (
    JobAccepted,
    JobExplained,
    JobStatus,
    Problem,
    Tell,
    explained,
    status_of,
    status_of_any,
    told,
)
from outlast.fastapi.events import Event, Seen, add_events, follow
from outlast.fastapi.owners import owner_id
from outlast.handle import Job
from outlast.job import JobRecord, State

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue
    from outlast.task import Task

T = TypeVar("T")
_STATUS, _EVENTS = "outlast_job", "outlast_job_events"
"""The names of routes; those of one task's jobs have the task's name behind them."""
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST_WAIT = 30
"""Seconds that a request is held by `Prefer: wait=…`, at most."""
_SOON, _LATER = 1, 60
"""Seconds after which a client may ask again, at least and at most."""

Responses = dict[int | str, dict[str, Any]]
_NOT_FOUND: Responses = {404: {"model": Problem, "description": "There is no such job"}}
_NO_EVENTS: Responses = {
    # By "model" FastAPI would say that it is an event stream, too.
    404: {
        "content": {"application/json": {"schema": Problem.model_json_schema()}},
        "description": "There is no such job",
    }
}
_CONFLICT: Responses = {409: {"model": Problem, "description": "Its state does not allow it"}}
_ALL_SEEN: Responses = {204: {"description": "The job has ended, and `Last-Event-ID` says that all was seen"}}
JobId = Annotated[str, Path(description="The id of the job")]
Prefer = Annotated[
    list[str] | None,
    Header(
        description=f"`wait=5` waits so many seconds for the job's end, {_LONGEST_WAIT} at most (RFC 7240)"
    ),
]
LastEventId = Annotated[str | None, Header(description="The id of the last event that was seen")]


def router_of(queue: TaskQueue, task: Task[..., Any] | None = None) -> APIRouter:
    """The routes for the jobs of one queue, or of one of its tasks alone, whose results then have their type."""
    router = APIRouter(tags=["jobs"])
    model, tell = status_of_any() if task is None else status_of(task.func)
    names = _names(task)
    found = Depends(_finder(queue, task))

    @router.get("/{job_id}", name=names[0], response_model=model, responses=_NOT_FOUND)
    async def get_job(response: Response, record: JobRecord = found, prefer: Prefer = None) -> Any:
        """Where the job stands; with `Prefer: wait=5` once it has ended, if it does so in time."""
        seconds = _wait_of(prefer)
        if seconds is not None:
            record = await _waited(queue, record, seconds)
            response.headers["Preference-Applied"] = f"wait={seconds}"
        response.headers["Vary"] = "Prefer"
        _say_when(response, record)
        return await told(queue, record, tell)

    @router.get("/{job_id}/explain", responses=_NOT_FOUND)
    async def explain_job(record: JobRecord = found) -> JobExplained:
        """Why the job is not running now."""
        return explained(*await _found(record.id, queue.aask(lambda store: ask(store, record.id))))

    _add_changes(router, queue, found, model, tell)

    async def opened(record: JobRecord = found, last_event_id: LastEventId = None) -> AsyncIterator[Event]:
        seen = Seen.read(last_event_id)
        if record.state.ended and await _has_seen_all(queue, record.id, seen):
            raise HTTPException(204)
        return follow(queue, record.id, seen, tell)

    add_events(router, "/{job_id}/events", names[1], opened, _NO_EVENTS | _ALL_SEEN)
    return router


def _add_changes(
    router: APIRouter, queue: TaskQueue, found: Any, model: type[JobStatus[Any]], tell: Tell
) -> None:
    cancelled: Responses = {200: {"model": model, "description": "It is cancelled"}}

    @router.delete(
        "/{job_id}", status_code=202, response_model=model, responses=_NOT_FOUND | _CONFLICT | cancelled
    )
    async def cancel_job(response: Response, record: JobRecord = found) -> Any:
        """Cancel the job: at once if it is queued (200); if it runs, it is asked to stop (202)."""
        touched = await _found(record.id, queue.acancel(record.id))
        record = await _read(queue, record.id)
        if not touched:
            raise HTTPException(409, f"the job has ended already: {record.state}")
        if record.state is State.CANCELLED:
            response.status_code = 200
        _say_when(response, record)
        return await told(queue, record, tell)

    @router.post("/{job_id}/retry", status_code=202, response_model=model, responses=_NOT_FOUND | _CONFLICT)
    async def retry_job(response: Response, record: JobRecord = found) -> Any:
        """Queue the job again after it has failed or was cancelled."""
        touched = await _found(record.id, queue.aretry(record.id))
        record = await _read(queue, record.id)
        if not touched:
            raise HTTPException(
                409, f"only a failed or cancelled job can be retried; this one is {record.state}"
            )
        _say_when(response, record)
        return await told(queue, record, tell)


def _names(task: Task[..., Any] | None) -> tuple[str, str]:
    return (_STATUS, _EVENTS) if task is None else (f"{_STATUS} {task.name}", f"{_EVENTS} {task.name}")


# ---- which job -------------------------------------------------------------------------------------------------------


def _finder(queue: TaskQueue, task: Task[..., Any] | None) -> Callable[..., Awaitable[JobRecord]]:
    """The dependency that finds the job of a request, if whoever asks may know of it."""

    async def find(job_id: JobId) -> JobRecord:
        record = await _read(queue, job_id)
        if task is not None and task.name not in (record.task, queue.renamed(record.task)):
            raise _not_found(job_id)
        return record

    if queue.owner is None:
        return find

    async def find_own(job_id: JobId, owner: Any = Depends(queue.owner)) -> JobRecord:
        asking = owner_id(owner)
        record = await find(job_id)
        if asking is None or record.owner != asking:
            raise _not_found(job_id)
        return record

    return find_own


async def _read(queue: TaskQueue, job_id: str) -> JobRecord:
    if _ID.fullmatch(job_id) is None:
        raise _not_found(job_id)
    return await _found(job_id, queue.job(job_id).arecord())


async def _found(job_id: str, answer: Awaitable[T]) -> T:
    try:
        return await answer
    except JobNotFound as error:
        raise _not_found(job_id) from error


def _not_found(job_id: str) -> HTTPException:
    """The same whether there is none or it is another's."""
    return HTTPException(404, f"there is no job {job_id}: it was never committed, or it ended and was pruned")


# ---- waiting ---------------------------------------------------------------------------------------------------------


def _wait_of(prefer: Sequence[str] | None) -> int | None:
    """The seconds that `Prefer: wait=…` asks for, within bounds; what is no number is no preference (RFC 7240)."""
    for preference in ",".join(prefer or ()).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        value = value.strip().strip('"')
        if name.strip().lower() == "wait" and value.isascii() and value.isdecimal():
            return int(value) if len(value) < 3 and int(value) < _LONGEST_WAIT else _LONGEST_WAIT
    return None


async def _waited(queue: TaskQueue, record: JobRecord, seconds: int) -> JobRecord:
    """The job as it is once it has ended, or when time is up, or when the server is stopped."""
    if record.state.ended:
        return record
    try:
        async with asyncio.timeout(seconds):
            with queue.watch.on(record.id) as eye:
                while True:
                    glimpse = await eye.news()
                    if eye.is_closed or glimpse is None or glimpse.state.ended:
                        break
    except TimeoutError:
        pass
    return await _read(queue, record.id)


async def _has_seen_all(queue: TaskQueue, job_id: str, seen: Seen) -> bool:
    glimpses = await queue.aask(lambda store: store.watch([job_id]))
    return all(seen.is_all_of(glimpse) for glimpse in glimpses)


def _say_when(response: Response, record: JobRecord) -> None:
    """When to ask again about a job that goes on."""
    if not record.state.ended:
        until = (record.run_at - datetime.now(UTC)).total_seconds() if record.state is State.QUEUED else 0
        response.headers["Retry-After"] = str(round(min(max(until, _SOON), _LATER)))


# ---- the answer to who adds a job ------------------------------------------------------------------------------------


def accepted(
    job: Job, request: Request, task: Task[..., Any] | None = None, retry_after: timedelta | None = None
) -> JSONResponse:
    """202, with the `Location` of the job's status. Raises AppRefused where the router is not included."""
    status, events = (_url(request, name, job) for name in _names(task))
    seconds = _SOON if retry_after is None else max(1, round(retry_after.total_seconds()))
    body = JobAccepted(id=job.id, status=status, events=events)
    return JSONResponse(body.model_dump(), 202, {"Location": status, "Retry-After": str(seconds)})


async def answered(
    queue: TaskQueue,
    job: Job,
    request: Request,
    task: Task[..., Any] | None = None,
    retry_after: timedelta | None = None,
) -> Response:
    """`accepted`; but 200 with the status where the client prefers to wait and the job ends in time."""
    answer = accepted(job, request, task, retry_after)
    answer.headers["Vary"] = "Prefer"
    seconds = _wait_of(request.headers.getlist("prefer"))
    if seconds is None or not job.is_committed:
        return answer
    record = await _waited(queue, await _read(queue, job.id), seconds)
    answer.headers["Preference-Applied"] = f"wait={seconds}"
    if not record.state.ended:
        return answer
    _, tell = status_of_any() if task is None else status_of(task.func)
    status: JobStatus[Any] = await told(queue, record, tell)
    headers = {name: answer.headers[name] for name in ("Location", "Vary", "Preference-Applied")}
    return Response(status.model_dump_json(), 200, {**headers, "Content-Type": "application/json"})


def _url(request: Request, name: str, job: Job) -> str:
    try:
        return str(request.url_for(name, job_id=job.id))
    except NoMatchFound as error:
        raise AppRefused(
            "the app has no route for the status of a job; include it: "
            'app.include_router(queue.router, prefix="/jobs"), or for the jobs of one task queue.router_of(task)'
        ) from error
