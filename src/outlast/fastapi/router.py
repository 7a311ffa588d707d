"""The HTTP face of jobs, for `app.include_router(queue.router)`: status, cancel, `/explain`, `/retry`.

It tells what became of a job, not what it was given: arguments and tracebacks stay inside.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from fastapi import APIRouter, HTTPException, Path, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from outlast.errors import JobNotFound
from outlast.explain import Explanation, Why, ask
from outlast.handle import Job
from outlast.job import JobRecord, Reason, State

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue

T = TypeVar("T")
_STATUS = "outlast_job"
"""The name of the status route."""


class JobStatus(BaseModel):
    """Where a job stands."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    task: str
    queue: str
    state: State
    view: str
    """The finer word: scheduled, retrying, waiting, held; cancelling for a running one; else the state."""
    attempt: int
    max_attempts: int
    created_at: datetime
    run_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    result: Any
    """What its task returned, as JSON."""
    reason: Reason | None
    """Why it failed for good."""
    error: str | None
    """Its last error in one line."""


class JobReason(BaseModel):
    """One reason why a job is not running now."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    why: Why
    """`running` and `ended` say that there is nothing to explain."""
    text: str
    """A sentence."""
    cure: str | None
    """The command that removes it, or shows more; null when it goes by itself."""
    until: datetime | None
    """When it goes by itself, if that is known."""


class JobExplained(BaseModel):
    """Why a job is not running now."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    state: State
    view: str
    reasons: list[JobReason]
    """Every reason that is true. None: a worker starts it with its next look."""


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


_NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Problem, "description": "There is no such job"}}
_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": Problem, "description": "Its state does not allow it"}
}
_CANCELLED: dict[int | str, dict[str, Any]] = {200: {"model": JobStatus, "description": "It is cancelled"}}
JobId = Annotated[str, Path(description="The id of the job")]


def router_of(queue: TaskQueue) -> APIRouter:
    """The routes of one queue."""
    router = APIRouter(tags=["jobs"])

    @router.get("/{job_id}", name=_STATUS, responses=_NOT_FOUND)
    async def get_job(job_id: JobId) -> JobStatus:
        """Where the job stands."""
        return await _status(queue, job_id)

    @router.get("/{job_id}/explain", responses=_NOT_FOUND)
    async def explain_job(job_id: JobId) -> JobExplained:
        """Why the job is not running now."""
        return _explained(*await _found(queue.aask(lambda store: ask(store, job_id))))

    @router.delete("/{job_id}", status_code=202, responses=_NOT_FOUND | _CONFLICT | _CANCELLED)
    async def cancel_job(job_id: JobId, response: Response) -> JobStatus:
        """Cancel the job: at once if it is queued (200); if it runs, it is asked to stop (202)."""
        touched = await _found(queue.acancel(job_id))
        status = await _status(queue, job_id)
        if not touched:
            raise HTTPException(409, f"the job has ended already: {status.state}")
        if status.state is State.CANCELLED:
            response.status_code = 200
        return status

    @router.post("/{job_id}/retry", status_code=202, responses=_NOT_FOUND | _CONFLICT)
    async def retry_job(job_id: JobId) -> JobStatus:
        """Queue the job again after it has failed or was cancelled."""
        touched = await _found(queue.aretry(job_id))
        status = await _status(queue, job_id)
        if not touched:
            raise HTTPException(
                409, f"only a failed or cancelled job can be retried; this one is {status.state}"
            )
        return status

    return router


def accepted(job: Job, request: Request) -> JSONResponse:
    """202, with the `Location` of the job's status."""
    location = str(request.url_for(_STATUS, job_id=job.id))
    return JSONResponse({"id": job.id, "status": location}, 202, {"Location": location})


async def _status(queue: TaskQueue, job_id: str) -> JobStatus:
    record = await _found(queue.job(job_id).arecord())
    result = (
        None if record.result is None else await queue.atext(record.result, f"the result of job {job_id}")
    )
    return _of_record(record, result)


async def _found(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except JobNotFound as error:
        raise HTTPException(404, str(error)) from error


def _explained(job: JobRecord, reasons: list[Explanation]) -> JobExplained:
    """Without the notes: they may quote arguments."""
    told = [JobReason(why=each.why, text=each.text, cure=each.cure, until=each.until) for each in reasons]
    return JobExplained(id=job.id, state=job.state, view=job.view, reasons=told)


def _of_record(record: JobRecord, result: str | None) -> JobStatus:
    fields = {name: getattr(record, name) for name in JobStatus.model_fields}
    return JobStatus(**{**fields, "result": None if result is None else json.loads(result)})
