"""What is told of a job over HTTP: the models of the answers, and how a job becomes one.

It is what became of the job, not what the job was given: arguments and tracebacks stay inside.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict
from pydantic.errors import PydanticSchemaGenerationError

from outlast.errors import TaskRefused
from outlast.explain import Explanation, Why
from outlast.job import JobRecord, LogLine, Progress, Reason, State
from outlast.luggage import unpack_value

if TYPE_CHECKING:
    from outlast.queue import TaskQueue

R = TypeVar("R")
_TRACEBACK = "\nTraceback (most recent call last):"


class JobAccepted(BaseModel):
    """A job that was added, and where to ask about it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    id: str
    status: str
    """The URL of its status."""
    events: str
    """The URL of what happens to it, as server-sent events."""


class JobProgress(BaseModel):
    """How far a job says it is."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    done: int
    total: int | None
    """What `done` is when all is done; null when nobody knows."""
    note: str | None
    """What it is doing."""
    at: datetime
    """When it said so."""


class JobStatus(BaseModel, Generic[R]):
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
    progress: JobProgress | None
    """What its latest attempt said of itself, if it did."""
    result: R | None
    """What its task returned."""
    reason: Reason | None
    """Why it failed for good."""
    error: str | None
    """Its last error in one line."""


class JobLine(BaseModel):
    """A line that a job has logged."""

    attempt: int
    number: int
    at: datetime
    level: int
    logger: str
    text: str


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


Tell = Callable[[JobRecord, str | None], JobStatus[Any]]
"""Makes the status of a job; the text of its result is given apart, since it may lie in a file."""


def status_of_any() -> tuple[type[JobStatus[Any]], Tell]:
    """The model for jobs of whatever task: the result is as it is stored, which is JSON."""
    return JobStatus, lambda record, text: _status(JobStatus, record, text and json.loads(text))


def status_of(func: Callable[..., Any]) -> tuple[type[JobStatus[Any]], Tell]:
    """The model for jobs of one task, its result typed as the function's own annotation says. Raises TaskRefused."""
    returned = get_type_hints(func, include_extras=True).get("return", Any)
    try:
        model = JobStatus[returned]  # type: ignore[valid-type]
    except PydanticSchemaGenerationError as error:
        raise TaskRefused(
            f"{func.__qualname__}() returns {returned!r}, which has no JSON schema, so its jobs have no typed status; "
            "annotate what Pydantic knows, or use queue.router"
        ) from error
    return model, lambda record, text: _status(model, record, text and unpack_value(text))


def _status(model: type[JobStatus[Any]], record: JobRecord, result: Any) -> JobStatus[Any]:
    fields = {name: getattr(record, name) for name in JobStatus.model_fields if name != "result"}
    progress = None if record.progress is None else progress_of(record.progress)
    return model(**{**fields, "progress": progress, "result": result})


def progress_of(progress: Progress) -> JobProgress:
    return JobProgress(done=progress.done, total=progress.total, note=progress.note, at=progress.at)


def line_of(line: LogLine) -> JobLine:
    """Without the traceback that may belong to it."""
    return JobLine(
        attempt=line.attempt,
        number=line.number,
        at=line.at,
        level=line.level,
        logger=line.logger,
        text=line.text.partition(_TRACEBACK)[0],
    )


def explained(job: JobRecord, reasons: list[Explanation]) -> JobExplained:
    """Without the notes: they may quote arguments."""
    told = [JobReason(why=each.why, text=each.text, cure=each.cure, until=each.until) for each in reasons]
    return JobExplained(id=job.id, state=job.state, view=job.view, reasons=told)


async def told(queue: TaskQueue, record: JobRecord, tell: Tell) -> JobStatus[Any]:
    """The status of a job, its result fetched where it lies in a file. Raises FileMissing."""
    text = record.result and await queue.atext(record.result, f"the result of job {record.id}")
    return tell(record, text)
