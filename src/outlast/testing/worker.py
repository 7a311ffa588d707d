"""A worker in the hands of a test: it claims and runs one attempt when it is told to.

It claims from the same stores as any worker, runs an attempt as inline mode does, and the store settles it by the same
lifecycle. So order, retries, expiry and held jobs are those of production. When to run what is for `queue` to say.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, TypeVar
from weakref import WeakSet

from outlast.clock import steady
from outlast.errors import JobFailed, JobNotFound
from outlast.fastapi import inline
from outlast.job import Claimed, Ended, Erred, JobRecord, Outcome, Released, State
from outlast.queue import TaskQueue
from outlast.store import Settled, Store
from outlast.worker import events
from outlast.worker.membership import Membership

T = TypeVar("T")

_LEASE = timedelta(days=1)
"""Nobody goes by it: there is no other worker."""


class Taken(NamedTuple):
    """A job that was claimed, and whose it is."""

    queue: TaskQueue
    job: Claimed


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt that was run: its job after it, and what went wrong, if anything."""

    record: JobRecord
    error: BaseException | None
    is_planned: bool
    """Whether the test had asked for the error."""


class HandWorker:
    """Claims from every TaskQueue of the process that has jobs.

    It asks the stores without letting the loop go: they lie in memory, and answer sooner than a loop turns.
    """

    def __init__(self) -> None:
        self.planned: defaultdict[str, deque[BaseException]] = defaultdict(deque)
        """The errors that the next attempts of a task shall raise."""
        self._membership = Membership(None, queues=None, slots=1, lease=_LEASE)
        self._known_to: WeakSet[Store] = WeakSet()

    # ---- claiming

    def next_up(self) -> tuple[Taken | None, int | None]:
        """The job to run now, claimed; if there is none, when the next becomes due or expires (µs)."""
        moments: list[int] = []
        for queue in open_queues():
            job, moment = queue.tell(self._look)
            if job is not None:
                return Taken(queue, job), None
            if moment is not None:
                moments.append(moment)
        return None, min(moments, default=None)

    def take(self, job_id: str) -> Taken:
        """This job, claimed, due or not. Raises AssertionError where another thing than time stands in its way."""
        queue = queue_of(job_id)
        job = queue.tell(partial(self._claim_one, job_id))
        if job is None:
            raise AssertionError(queue.tell(partial(_why_not, job_id)))
        return Taken(queue, job)

    # ---- on the store's thread

    def _look(self, store: Store) -> tuple[Claimed | None, int | None]:
        self._prepare(store)
        jobs = store.claim(self._membership.id, 1)  # none has killed a child, so none has to run alone
        return (jobs[0], None) if jobs else (None, _next_moment(store))

    def _claim_one(self, job_id: str, store: Store) -> Claimed | None:
        self._prepare(store)
        return store.claim_one(self._membership.id, job_id)

    def _prepare(self, store: Store) -> None:
        """Be known to each store, also to one that is opened anew, and leave nothing that is too late."""
        if store not in self._known_to:
            self._membership.enter(store)
            self._known_to.add(store)
        events.expired(store.expire())

    # ---- running

    async def run(self, taken: Taken) -> Tried:
        """One attempt, to its end and into the store."""
        queue, job = taken
        began, errors = inline.Begun(job, steady()), self.planned[job.task]
        planned = errors.popleft() if errors else None
        outcome, error = await _on_loop_of(queue, partial(inline.attempt, job, queue, instead=planned))
        settled, record = queue.tell(partial(_settle, Ended(job.id, job.attempt, outcome)))
        events.attempt_ended(began, settled)
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # the executor made an outcome of it
        return Tried(record, error or _fault(outcome, record), planned is not None)


def open_queues() -> list[TaskQueue]:
    """Those that may have jobs: a store in memory that nobody has opened has none."""
    return [queue for queue in TaskQueue.made if queue.is_open]


def queue_of(job_id: str) -> TaskQueue:
    """The one that has this job. Raises JobNotFound."""
    for queue in open_queues():
        if queue.tell(partial(_has, job_id)):
            return queue
    raise JobNotFound(f"no TaskQueue has a job {job_id}: it was never committed (did its request fail?)")


async def _on_loop_of(queue: TaskQueue, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """On the loop of the app's lifespan: what the app has opened there can be used nowhere else."""
    loop = queue.loop
    if loop is None or loop is asyncio.get_running_loop():
        return await work()
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work(), loop))


def _fault(outcome: Outcome, record: JobRecord) -> BaseException | None:
    """For an attempt that went wrong outside the task's own code."""
    if isinstance(outcome, Released):
        return AssertionError(f"job {record.id} ({record.task}) cannot run: {record.note}")
    if isinstance(outcome, Erred):
        return JobFailed(f"job {record.id} ({record.task}) failed: {outcome.error}")
    return None


def _next_moment(store: Store) -> int | None:
    moments = (store.next_due(), store.next_expiry())
    return min((moment for moment in moments if moment is not None), default=None)


def _settle(end: Ended, store: Store) -> tuple[Settled, JobRecord]:
    (settled,) = store.settle([end])
    return settled, store.get(end.id)


def _has(job_id: str, store: Store) -> bool:
    try:
        store.get(job_id)
    except JobNotFound:
        return False
    return True


def _why_not(job_id: str, store: Store) -> str:
    record = store.get(job_id)
    paused = {queue.name for queue in store.queues() if queue.paused_at is not None}
    return f"job {job_id} ({record.task}) cannot run now: {_obstacle(record, paused)}"


def _obstacle(record: JobRecord, paused: set[str]) -> str:
    if record.state is State.RUNNING:
        return "it is running"
    if record.state.ended:
        again = "" if record.state is State.SUCCEEDED else "; `job.retry()` queues it again"
        return f"it has ended already ({record.reason or record.state}){again}"
    if record.view == "held":
        return "its request has not unwound yet"
    if record.view == "waiting":
        return "it waits for the job before it in its request; `drain()` runs them in their order"
    if record.queue in paused:
        return f"the queue {record.queue!r} is paused"
    return f"it is {record.view}"
