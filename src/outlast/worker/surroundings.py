"""What code of a task finds around it during an attempt: its job, its request's id, its trace, its context variables.

All of it is set before anything of the attempt runs and gone after it, in a thread as on the loop. Through it the code
tells how far it is, and what it logs is told as its own.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterable, Iterable
from contextvars import ContextVar
from dataclasses import InitVar, dataclass
from itertools import count
from types import TracebackType
from typing import TypeVar

from outlast import request_id, tracing
from outlast.context import Carried
from outlast.job import Claimed, Line, Step
from outlast.worker.telling import Teller
from outlast.worker.tracking import Track, checked

T = TypeVar("T")


@dataclass(frozen=True)
class CurrentJob:
    """The job that the running code belongs to."""

    id: str
    attempt: int
    task: str
    failures: int
    request_id: str | None
    """That of the request in which it was added; None for one that was added outside any."""
    around: InitVar[Surroundings | None] = None

    def __post_init__(self, around: Surroundings | None) -> None:
        object.__setattr__(self, "_around", around)

    def progress(self, done: int, total: int | None = None, note: str | None = None) -> None:
        """Say how far this attempt is: `done` of `total`, and what it is doing.

        It waits for nothing, and may be called as often as you like: five times a second the newest is stored, and the
        last one before the attempt ends always is. Raises TypeError, ValueError for numbers that are no count.
        """
        step = checked(done, total, note)
        around: Surroundings | None = self.__dict__["_around"]
        if around is not None:
            around.tell_step(*step)

    def track(
        self, items: Iterable[T] | AsyncIterable[T], total: int | None = None, note: str | None = None
    ) -> Track[T]:
        """Loop over `items`, by `for` or `async for`, and say after each how many are done.

        `total` is how many there are; found by len() where that can be told.
        """
        return Track(items, total, note, self.progress)


STDOUT = "stdout"
"""Stands for the logger of what the code prints."""
_log = logging.getLogger("outlast.worker")
_current: ContextVar[Surroundings | None] = ContextVar("outlast_current_job", default=None)


def current_job() -> CurrentJob | None:
    """The job that is running this code; None outside a task."""
    around = _current.get()
    if around is None:
        return None
    job = around.job
    return CurrentJob(job.id, job.attempt, job.task, job.failures, around.carried.request, around)


def surroundings() -> Surroundings | None:
    """Those of the attempt that is running this code; None outside a task."""
    return _current.get()


class Surroundings:
    """Those of one attempt: `with Surroundings(job, carried):` around the whole of it."""

    __slots__ = ("_has_told", "_numbers", "_span", "_token", "_tokens", "carried", "job", "teller", "unended")

    def __init__(self, job: Claimed, carried: Carried, teller: Teller | None = None) -> None:
        self.job = job
        self.carried = carried
        self.teller = teller
        self.unended = ""
        """What the code has printed since the last end of a line."""
        self._has_told = False
        self._numbers: count[int] | None = None
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
        if self.unended:
            self.tell_line(logging.INFO, STDOUT, self.unended)
        if self._has_told and self.teller is not None:
            self.teller.flush(self.job)

    def tell_step(self, done: int, total: int | None, note: str | None) -> None:
        """How far the attempt is."""
        if self.teller is not None:
            self._has_told = True
            self.teller.step(self.job, Step(done, total, note, self.teller.clock.now()))

    def tell_line(self, level: int, logger: str, text: str) -> None:
        """A line that it wrote."""
        if self.teller is None:
            return
        if self._numbers is None:
            self._numbers = count(1)
        self._has_told = True
        self.teller.line(self.job, Line(next(self._numbers), self.teller.clock.now(), level, logger, text))

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
