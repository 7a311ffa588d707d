"""What code of a task finds around it during an attempt: its job, its request's id, its trace, its context variables.

All of it is set before anything of the attempt runs and gone after it, in a thread as on the loop.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType

from outlast import request_id, tracing
from outlast.context import Carried
from outlast.job import Claimed


@dataclass(frozen=True, slots=True)
class CurrentJob:
    """The job that the running code belongs to."""

    id: str
    attempt: int
    task: str
    failures: int
    request_id: str | None
    """That of the request in which it was added; None for one that was added outside any."""


_log = logging.getLogger("outlast.worker")
_current: ContextVar[Surroundings | None] = ContextVar("outlast_current_job", default=None)


def current_job() -> CurrentJob | None:
    """The job that is running this code; None outside a task."""
    around = _current.get()
    if around is None:
        return None
    job = around.job
    return CurrentJob(job.id, job.attempt, job.task, job.failures, around.carried.request)


class Surroundings:
    """Those of one attempt: `with Surroundings(job, carried):` around the whole of it."""

    __slots__ = ("_span", "_token", "_tokens", "carried", "job")

    def __init__(self, job: Claimed, carried: Carried) -> None:
        self.job = job
        self.carried = carried
        self._span = _span(job, carried) if tracing.is_seen(carried.trace) else None

    def __enter__(self) -> None:
        self._token = _current.set(self)
        values = self.carried.values  # none with most jobs, and then nothing is built for them
        self._tokens = [(variable, variable.set(value)) for variable, value in values] if values else ()
        if self._span is not None:
            try:
                self._span.__enter__()
            except Exception as error:
                self._span = None
                self._excuse(error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._span is not None:
            try:
                self._span.__exit__(kind, error, where)
            except Exception as fault:
                self._excuse(fault)
        for variable, token in self._tokens:
            variable.reset(token)
        _current.reset(self._token)

    def _excuse(self, fault: Exception) -> None:
        """No task fails because its telemetry does."""
        job = self.job
        told = request_id.told(job.context)
        _log.warning(
            "span not recorded id=%s task=%s attempt=%d%s: %r", job.id, job.task, job.attempt, told, fault
        )


def _span(job: Claimed, carried: Carried) -> tracing.Span:
    """Named and described as OpenTelemetry's conventions for messaging, and FastAPI's own spans, have it."""
    attributes: dict[str, str | int] = {
        "messaging.system": "outlast",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.message.id": job.id,
        "code.function.name": job.task.replace(":", "."),
        "outlast.attempt": job.attempt,
    }
    if carried.queue is not None:
        attributes["messaging.destination.name"] = carried.queue
    return tracing.Span(f"process {job.task}", attributes, carried.trace)
