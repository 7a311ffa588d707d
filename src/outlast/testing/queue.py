"""OutlastQueue: what the fixture `outlast_queue` gives a test. It says when what runs, moves the clock, raises errors.

How an attempt is run is the business of `worker`, what was enqueued that of `asking`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from outlast.clock import ManualClock, span, to_instant
from outlast.errors import Retry, Snooze
from outlast.handle import Job
from outlast.job import JobRecord, State
from outlast.luggage import unpack_value
from outlast.testing.asking import Question, all_jobs, told_jobs
from outlast.testing.switching import every_queue
from outlast.testing.worker import HandWorker, Tried, queue_of

T = TypeVar("T")

_EVEN_DICE = 0.5
"""With this throw a retry comes after exactly as long as its policy says."""
_MOST_AT_ONCE = 10_000
"""Attempts without the clock moving, after which they are taken to have no end."""
_ZERO = timedelta(0)


@contextmanager
def in_hand() -> Iterator[OutlastQueue]:
    """Take over every TaskQueue of the process: stores in memory, a clock that stands, nothing that runs by itself."""
    clock = ManualClock(datetime.now(UTC))
    with every_queue(store="sqlite://", worker="external", clock=clock, dice=lambda: _EVEN_DICE):
        queue = OutlastQueue(clock)
        try:
            yield queue
        finally:
            queue.close()


class OutlastQueue:
    """Every job of the process, run when the test says so, and the clock by which jobs are due.

    Jobs run one after another, in this process: `async def` tasks on the loop of the app's lifespan if it has one,
    else on the loop of the caller, else on one that lasts as long as the fixture; `def` tasks in threads. Methods whose
    name begins with `a` are for coroutines; in a running loop the others raise RuntimeError instead of blocking it.
    """

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._worker = HandWorker()
        self._runner: asyncio.Runner | None = None

    # ---- running

    def drain(self, *, raise_errors: bool = True) -> list[JobRecord]:
        """Run everything that is due now, in order, with what it enqueues in turn, until nothing is.

        Returns each attempt that was run, as its job stood after it. Then raises the first error of a task whose job
        has not succeeded meanwhile, unless `fail_next` had asked for it; `raise_errors=False` leaves errors to the
        records.
        """
        return self._finish("drain", partial(self.adrain, raise_errors=raise_errors))

    async def adrain(self, *, raise_errors: bool = True) -> list[JobRecord]:
        """`drain` for coroutines."""
        return await self.aadvance(raise_errors=raise_errors)

    def run_job(self, job: Job | JobRecord | str) -> Any:
        """Run one attempt of this job, due or not, and no other. Returns its result.

        Raises what its task raises, also an error that `fail_next` asked for; AssertionError if something other than
        time stands in its way, such as a job before it; JobNotFound.
        """
        return self._finish("run_job", partial(self.arun_job, job))

    async def arun_job(self, job: Job | JobRecord | str) -> Any:
        """`run_job` for coroutines."""
        _require_asyncio()
        tried = await self._worker.run(self._worker.take(job if isinstance(job, str) else job.id))
        if tried.error is not None:
            raise tried.error
        return None if tried.record.result is None else unpack_value(tried.record.result)

    # ---- time

    @property
    def now(self) -> datetime:
        """The time by which jobs are due: that of the machine when the test began, and what `advance` has added."""
        return to_instant(self._clock.now())

    def advance(
        self,
        by: timedelta = _ZERO,
        /,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        raise_errors: bool = True,
    ) -> list[JobRecord]:
        """Let this much time pass, and run what is due and what becomes due on the way, each at its own time.

        Returns and raises what `drain` does; the clock has arrived all the same. Raises ValueError for less than none.
        """
        by += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        return self._finish("advance", partial(self.aadvance, by, raise_errors=raise_errors))

    async def aadvance(
        self,
        by: timedelta = _ZERO,
        /,
        *,
        days: float = 0,
        hours: float = 0,
        minutes: float = 0,
        seconds: float = 0,
        raise_errors: bool = True,
    ) -> list[JobRecord]:
        """`advance` for coroutines."""
        _require_asyncio()
        by += timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
        if by < _ZERO:
            raise ValueError(f"{by} is less than none: time does not go back")
        course, until = Course(), self._clock.now() + span(by)
        await self._run_until(until, course)
        self._move_to(until)
        return course.result(raise_errors)

    async def _run_until(self, until: int, course: Course) -> None:
        """Run what is due; where nothing is, go to the next moment at which something will be."""
        at_once = 0
        while True:
            taken, moment = self._worker.next_up()
            if taken is not None:
                course.add(await self._worker.run(taken))
                at_once += 1
                _require_an_end(at_once, course)
            elif moment is not None and moment <= until:
                self._move_to(moment)
                at_once = 0
            else:
                return

    def _move_to(self, moment: int) -> None:
        self._clock.advance(timedelta(microseconds=max(0, moment - self._clock.now())))

    # ---- failures

    def fail_next(
        self, func: Callable[..., Any], error: BaseException | type[BaseException], *, times: int = 1
    ) -> None:
        """Let the next attempt of this task raise `error` instead of running; the next few with `times`.

        `drain` and `advance` do not raise it. A test at whose end there is one left that no attempt has met fails.
        """
        failure = error() if isinstance(error, type) else error
        self._worker.planned[Question(func).task] += [failure] * times

    def require_failures_met(self) -> None:
        """Raise AssertionError if no attempt has met what `fail_next` asked for."""
        planned = self._worker.planned.items()
        left = [f"{error!r} of {task}" for task, errors in planned for error in errors]
        if left:
            raise AssertionError(f"fail_next asked for {', '.join(left)}, and no attempt has met it")

    # ---- what was enqueued

    def enqueued(
        self, func: Callable[..., Any] | None = None, /, *args: Any, **kwargs: Any
    ) -> list[JobRecord]:
        """The jobs of a task with these arguments, oldest first, whatever their state; without a task, all jobs.

        Arguments are compared as they arrive, and those that are not given may be anything. With `task.options(…)` in
        place of the task, queue, priority, times and attempts must be those that such a call would have.
        """
        jobs = all_jobs()
        return jobs if func is None else Question(func, args, kwargs).answer(jobs)

    def assert_enqueued(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Job:
        """Require that `enqueued` finds a job, and return the latest. AssertionError says what comes nearest."""
        __tracebackhide__ = True
        jobs, question = all_jobs(), Question(func, args, kwargs)
        found = question.answer(jobs)
        if not found:
            raise AssertionError(question.complaint(jobs))
        return queue_of(found[-1].id).job(found[-1].id)

    def assert_not_enqueued(
        self, func: Callable[..., Any] | None = None, /, *args: Any, **kwargs: Any
    ) -> None:
        """Require that `enqueued` finds none. AssertionError says which there are."""
        __tracebackhide__ = True
        found = self.enqueued(func, *args, **kwargs)
        if found:
            raise AssertionError(f"{len(found)} enqueued, where none should be:{told_jobs(found)}")

    # ---- loops

    def _finish(self, name: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """On a loop of our own, which lasts: what a task has opened there serves the next."""
        if _is_on_a_loop():
            raise RuntimeError(f"{name}() would block the running loop: `await outlast_queue.a{name}(…)`")
        if self._runner is None:
            self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        return self._runner.run(work())

    def close(self) -> None:
        """End the loop that the methods for plain functions have used."""
        if self._runner is not None:
            self._runner.close()


@dataclass(slots=True)
class Course:
    """What was run in one call."""

    records: list[JobRecord] = field(default_factory=list)
    _errors: dict[str, BaseException] = field(default_factory=dict)

    def add(self, tried: Tried) -> None:
        record = tried.record
        self.records.append(record)
        if record.state is State.SUCCEEDED:
            self._errors.pop(record.id, None)
        elif tried.error is not None and not tried.is_planned and not _is_steering(tried):
            self._errors.setdefault(record.id, tried.error)

    def result(self, raise_errors: bool) -> list[JobRecord]:
        """What was run; or the first error that no later attempt has made good."""
        if self._errors and raise_errors:
            first, *others = self._errors.values()
            for other in others:
                first.add_note(f"also, in another job: {type(other).__name__}: {other}")
            raise first
        return self.records


def _is_steering(tried: Tried) -> bool:
    """What a task raises to be run again is no error, as long as it will be."""
    return isinstance(tried.error, (Retry, Snooze)) and tried.record.state is State.QUEUED


def _require_an_end(at_once: int, course: Course) -> None:
    if at_once >= _MOST_AT_ONCE:
        raise AssertionError(
            f"{at_once:,} attempts at one moment, the last that of {course.records[-1].task}: "
            "does a task enqueue itself, or ask for another attempt, without a delay?"
        )


def _is_on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _require_asyncio() -> None:
    if not _is_on_a_loop():
        raise RuntimeError("this coroutine runs on another loop than asyncio's, and Outlast runs on no other")
