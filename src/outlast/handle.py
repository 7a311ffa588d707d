"""Job: the handle on one enqueued call. It keeps an id and asks the store anew each time it is read."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from outlast.address import shown
from outlast.errors import JobFailed, JobNotFound
from outlast.explain import Explanation, ask, uncommitted
from outlast.job import Attempt, JobRecord, LogLine, Progress, State
from outlast.luggage import unpack_value

if TYPE_CHECKING:
    from outlast.queue import TaskQueue

_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1
_NOTHING_TO_CANCEL = "there is nothing to cancel yet; if the request fails, none of its jobs is committed"


class Pending(Protocol):
    """What a job that may not be committed yet waits for: its request."""

    @property
    def undecided(self) -> bool:
        """Whether it can still be committed."""

    @property
    def needs_caller(self) -> bool:
        """Whether it cannot be committed before the running code has gone on."""

    decided_when: ClassVar[str]
    """When it is, in words."""


class Job:
    """A job of a queue, by its id.

    `state`, `attempt`, `progress`, `result` and `error` are live: each asks the store. Until its request has committed
    it, a job is `queued`; if the request failed there is none, and reading raises JobNotFound.
    """

    __slots__ = ("_pending", "_queue", "id")

    def __init__(self, job_id: str, queue: TaskQueue, pending: Pending | None = None) -> None:
        self.id = job_id
        self._queue = queue
        self._pending = pending

    # ---- what is known of it

    @property
    def state(self) -> State:
        """Where it stands. Raises JobNotFound."""
        record = self._committed()
        return State.QUEUED if record is None else record.state

    @property
    def attempt(self) -> int:
        """The number of its latest attempt; 0 before the first. Raises JobNotFound."""
        record = self._committed()
        return 0 if record is None else record.attempt

    @property
    def result(self) -> Any:
        """What its task returned; None before that. Raises JobNotFound, FileMissing."""
        record = self._committed()
        if record is None or record.result is None:
            return None
        return unpack_value(self._queue.text(record.result, _whose(record)))

    @property
    def error(self) -> str | None:
        """Its last error in one line, if it had one. Raises JobNotFound."""
        record = self._committed()
        return None if record is None else record.error

    @property
    def progress(self) -> Progress | None:
        """How far its latest attempt says it is; None if that says nothing. Raises JobNotFound."""
        record = self._committed()
        return None if record is None else record.progress

    def _committed(self) -> JobRecord | None:
        """None as long as its request may still commit it."""
        try:
            return self.record()
        except JobNotFound:
            if self._is_undecided():
                return None
            raise

    def _is_undecided(self) -> bool:
        """Whether its request may still commit it."""
        return self._pending is not None and self._pending.undecided

    @property
    def is_committed(self) -> bool:
        """Whether its request has done so, or it was enqueued outside any."""
        return self._pending is None or not self._pending.undecided

    def record(self) -> JobRecord:
        """Everything the store knows of it now. Raises JobNotFound."""
        job_id = self.id
        return self._queue.ask(lambda store: store.get(job_id))

    async def arecord(self) -> JobRecord:
        """`record` without blocking the loop."""
        job_id = self.id
        return await self._queue.aask(lambda store: store.get(job_id))

    def attempts(self) -> list[Attempt]:
        """Its attempts that did not succeed, oldest first, with their tracebacks."""
        job_id = self.id
        return self._queue.ask(lambda store: store.attempts(job_id))

    async def aattempts(self) -> list[Attempt]:
        """`attempts` without blocking the loop."""
        job_id = self.id
        return await self._queue.aask(lambda store: store.attempts(job_id))

    def log(self) -> list[LogLine]:
        """The last lines that it wrote, 1,000 at most, oldest first."""
        job_id = self.id
        return self._queue.ask(lambda store: store.log(job_id))

    async def alog(self) -> list[LogLine]:
        """`log` without blocking the loop."""
        job_id = self.id
        return await self._queue.aask(lambda store: store.log(job_id))

    def explain(self) -> list[Explanation]:
        """Every reason why it is not running now; none when a worker starts it with its next look.

        Of a job that is running or has ended, that alone is told. Raises JobNotFound.
        """
        job_id = self.id
        try:
            return self._queue.ask(lambda store: ask(store, job_id))[1]
        except JobNotFound:
            if self._is_undecided():
                return [uncommitted()]
            raise

    async def aexplain(self) -> list[Explanation]:
        """`explain` without blocking the loop."""
        job_id = self.id
        try:
            return (await self._queue.aask(lambda store: ask(store, job_id)))[1]
        except JobNotFound:
            if self._is_undecided():
                return [uncommitted()]
            raise

    # ---- what can be done with it

    async def wait(self, timeout: timedelta | float | None = None) -> Any:
        """Wait until it has ended, and return what its task returned.

        `timeout` is a timedelta or seconds; None waits for ever. Raises JobFailed if it failed or was cancelled,
        TimeoutError if it has not ended in time (it runs on), JobNotFound if it was never committed, or cannot be
        before this returns.
        """
        self._refuse_early(
            "to wait for it here would never end; in an endpoint that waits for its job, enqueue it: "
            "`await queue.aenqueue(…)`"
        )
        seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
        try:
            async with asyncio.timeout(seconds):
                record = await self._ended()
        except TimeoutError:
            raise TimeoutError(f"job {self.id} has not ended within {seconds:g} s; it goes on") from None
        if record.state is not State.SUCCEEDED:
            raise JobFailed(_why(record))
        if record.result is None:
            return None
        return unpack_value(await self._queue.atext(record.result, _whose(record)))

    async def _ended(self) -> JobRecord:
        pause = _FIRST_PAUSE
        while True:
            try:
                record = await self.arecord()
            except JobNotFound:
                if self._pending is None or not self._pending.undecided:
                    raise
            else:
                if record.state.ended:
                    return record
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)

    def cancel(self) -> bool:
        """Cancel it if it is queued, ask it to stop if it is running. False if it has ended. Raises JobNotFound."""
        self._refuse_early(_NOTHING_TO_CANCEL)
        return self._queue.cancel(self.id)

    async def acancel(self) -> bool:
        """`cancel` without blocking the loop."""
        self._refuse_early(_NOTHING_TO_CANCEL)
        return await self._queue.acancel(self.id)

    def retry(self) -> bool:
        """Queue it again after it failed or was cancelled. False if it has not. Raises JobNotFound."""
        return self._queue.retry(self.id)

    async def aretry(self) -> bool:
        """`retry` without blocking the loop."""
        return await self._queue.aretry(self.id)

    def _refuse_early(self, then: str) -> None:
        """Where its response waits for the code that asks."""
        if self._pending is not None and self._pending.needs_caller:
            raise JobNotFound(f"job {self.id} is committed {self._pending.decided_when}, so {then}")

    # ---- as a value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and other.id == self.id and other._queue.url == self._queue.url

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<Job {self.id} of {shown(self._queue.url)}>"


def _whose(record: JobRecord) -> str:
    return f"the result of job {record.id} ({record.task})"


def _why(record: JobRecord) -> str:
    job = f"job {record.id} ({record.task})"
    if record.state is State.CANCELLED:
        return (
            f"{job} was cancelled in attempt {record.attempt}" if record.attempt else f"{job} was cancelled"
        )
    return f"{job} failed in attempt {record.attempt} ({record.reason}): {record.error}"
