"""worker="inline": the server runs its jobs itself, where and when FastAPI runs its background tasks.

The jobs lie in the store all the same, so they are retried, chained and settled as anywhere. What is not due when its
request is over (retries, delays, jobs behind one that erred) is run by a timer, if the process has a lasting loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from outlast.clock import steady
from outlast.errors import Retry, Snooze, StoreError, TaskUnknown
from outlast.job import Claimed, Ended, Erred, NewJob, Outcome, Released, Snoozed, Stopped, TimedOut, Told
from outlast.premises import Premises
from outlast.queue import TaskQueue as AnyQueue
from outlast.store import Settled, Store
from outlast.worker import chores, events, executor, log_lines
from outlast.worker.membership import Membership, Standing
from outlast.worker.outage import Outage
from outlast.worker.sweeps import Sweeps, sweep
from outlast.worker.tally import Tally
from outlast.worker.telling import Teller

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue

_LEASE = timedelta(days=1)
"""Nobody goes by it: the lock of the process says that it lives."""
_AT_ONCE = 40
"""Jobs that the timer runs at once."""
_LOOK_AGAIN = 1.0
"""Seconds between looks at the store, and between chores."""
_RENEW_AGAIN = 5.0
"""Seconds between telling the store that jobs are still asked for."""
_UNKNOWN_PAUSE = 30_000_000
"""Microseconds before a job whose task this code lacks is looked at again."""


class Turn:
    """Jobs of one request, to be run in its course: called once it is answered, as a background task is."""

    def __init__(self, inline: Inline, jobs: Iterable[NewJob]) -> None:
        self._inline = inline
        self._ids: deque[str] = deque()
        self.add(jobs)

    def add(self, jobs: Iterable[NewJob]) -> None:
        ids = [job.id for job in jobs]
        self._inline.owned.update(ids)
        self._ids += ids

    async def __call__(self) -> None:
        """Run them in their order. An error of one is raised here, and the timer runs those behind it."""
        try:
            while self._ids:
                await self._inline.run(self._ids.popleft())
        finally:
            self.give_up()

    async def quietly(self) -> None:
        """Run them all; their errors are in the store and in the log."""
        while self._ids:
            with suppress(Exception):
                await self._inline.run(self._ids.popleft())

    def run_soon(self) -> None:
        """Run them from code that cannot wait: before this returns where that is possible, else soon."""
        loop = self._inline.loop
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            if loop is None:
                asyncio.run(self.quietly())
            else:
                asyncio.run_coroutine_threadsafe(self.quietly(), loop).result()
        else:
            self._inline.keep(running.create_task(self.quietly()))

    def give_up(self) -> None:
        """Leave what has not run to the timer."""
        self._inline.owned.difference_update(self._ids)
        self._ids.clear()
        self._inline.wake()


class Inline:
    """Runs the jobs of one queue in this process."""

    def __init__(self, queue: TaskQueue) -> None:
        self.owned: set[str] = set()
        """Jobs whose turn in a request is still to come: the timer leaves them alone."""
        self._queue = queue
        self._premises = None if queue.is_in_memory else Premises(queue.url)
        self.membership = Membership(self._premises, queues=None, slots=_AT_ONCE, lease=_LEASE)
        self._sweeps = Sweeps()
        self._tally = Tally()
        self._outage = Outage()
        self._next_chores = self._next_renewal = 0.0
        self._claimed: dict[str, Claimed] = {}
        self._running: set[asyncio.Task[None]] = set()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._bell: asyncio.Event

    # ---- in the course of a request, or of an enqueue

    async def run(self, job_id: str) -> None:
        """Run one job, if it may run now, and raise what its task raised."""
        job = await self._queue.atell(partial(self._take, job_id))
        self.owned.discard(job_id)
        if job is not None:
            await self._attempt(job)

    # ---- by the timer

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run the timer on this loop, which lasts."""
        self.loop, self._bell = asyncio.get_running_loop(), asyncio.Event()
        timer = asyncio.create_task(self._serve())
        try:
            yield
        finally:
            timer.cancel()
            with suppress(asyncio.CancelledError):
                await timer
            await self._drain()
            self.loop = None

    def wake(self) -> None:
        """Have the timer look for what may run now."""
        if self.loop is not None:
            with suppress(RuntimeError):  # that loop has ended
                self.loop.call_soon_threadsafe(self._bell.set)

    async def _serve(self) -> None:
        while True:
            self._bell.clear()
            jobs, pause = await self._free_jobs()
            for job in jobs:
                self.keep(asyncio.create_task(self._quiet_attempt(job)))
            for names in self._sweeps.due(steady()):
                self.keep(asyncio.create_task(asyncio.to_thread(sweep, self._queue.sweep_files, names)))
            if not jobs:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._bell.wait()

    async def _free_jobs(self) -> tuple[list[Claimed], float]:
        """Jobs that no request will run, and how long to wait for more; a store that fails has none for a while."""
        try:
            found = await self._queue.atell(partial(self._take_free, _AT_ONCE - len(self._running)))
        except StoreError as error:
            self._outage.failed(error)
            return [], _LOOK_AGAIN
        self._outage.went_well()
        return found

    async def _quiet_attempt(self, job: Claimed) -> None:
        with suppress(Exception):  # it is in the store and in the log
            await self._attempt(job)

    def keep(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _drain(self) -> None:
        """Let running tasks finish within the grace; stop what outlasts it. It starts again."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._queue.grace.total_seconds())
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # ---- one attempt

    async def _attempt(self, job: Claimed) -> None:
        began = Begun(job, steady())
        outcome, error = await attempt(job, self._queue)
        end = Ended(job.id, job.attempt, outcome)
        settled = await self._queue.atell(partial(self._settle, began, end))
        events.attempt_ended(began, settled)
        self.wake()
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise asyncio.CancelledError  # the executor made an outcome of it
        if error is not None and not isinstance(error, (Retry, Snooze)):
            raise error

    # ---- on the store's thread

    def _take(self, job_id: str, store: Store) -> Claimed | None:
        while job_id not in self._claimed:
            if not self._claim(store):
                return None
        return self._begun(job_id, store)

    def _begun(self, job_id: str, store: Store) -> Claimed:
        job = self._claimed.pop(job_id)
        self._tally.turn(store.clock.now())
        self._tally.started(job)
        return job

    def _settle(self, began: Begun, end: Ended, store: Store) -> Settled:
        (settled,) = store.settle([end])
        self._tally.turn(store.clock.now())
        self._tally.ended(began.job, settled.ending, steady() - began.since)
        return settled

    def _take_free(self, limit: int, store: Store) -> tuple[list[Claimed], float]:
        """Up to so many jobs that no request will run, and how long to wait for more."""
        self._do_chores(store)
        self._claim(store)
        ids = [job_id for job_id in self._claimed if job_id not in self.owned][: max(limit, 0)]
        due = store.next_due()
        pause = _LOOK_AGAIN if due is None else (due - store.clock.now()) / 1e6
        return [self._begun(job_id, store) for job_id in ids], min(max(pause, 0.0), _LOOK_AGAIN)

    def _claim(self, store: Store) -> bool:
        if not self.membership.is_known:
            self.membership.enter(store)
        self._report(store)
        worker, self.membership.claimed_at = self.membership.id, store.clock.now()
        jobs = store.claim(worker, _AT_ONCE) or store.claim(worker, 1, alone=True)
        self._claimed.update((job.id, job) for job in jobs)
        return bool(jobs)

    def _report(self, store: Store) -> None:
        """Without a lasting loop nothing is run but in the course of a request."""
        standing = Standing(_AT_ONCE, is_leaving=self.loop is None)
        if self.membership.has_news(standing):
            self.membership.report(store, standing)
            self.membership.told = standing

    def _do_chores(self, store: Store) -> None:
        if steady() < self._next_chores:
            return
        self._next_chores = steady() + _LOOK_AGAIN
        if self._premises is not None:
            settled, _, files = chores.do(store, self._premises, self.membership.id, self._queue.retention)
        else:  # nobody else can have been there
            settled, files = store.expire(), store.prune(self._queue.retention).files
            events.expired(settled)
        self._tally.turn(store.clock.now())
        self._tally.ended_elsewhere(settled)
        if steady() >= self._tally.write_at:
            self._tally.write(store)
        if steady() >= self._next_renewal and self.membership.is_known:
            self._next_renewal = steady() + _RENEW_AGAIN
            store.renew(self.membership.id, _LEASE, claimed_at=self.membership.claimed_at)
        self._sweeps.note(files)

    def leave(self, store: Store) -> None:
        """Give back what was claimed but not begun, and be no worker any more."""
        if self.membership.is_known:
            released = [Ended(job.id, job.attempt, Released(begun=False)) for job in self._claimed.values()]
            self._claimed.clear()
            store.settle(released)
            self._tally.write(store)
            self.membership.leave(store)


@dataclass(frozen=True, slots=True)
class Begun:
    """An attempt under way, as the log wants to know it."""

    job: Claimed
    since: float


async def attempt(
    job: Claimed, queue: AnyQueue, *, instead: BaseException | None = None
) -> tuple[Outcome, BaseException | None]:
    """Run a claimed job in this process: what it came to, and what its task raised, if anything, to be raised again.

    `instead` is raised in place of the function's own code.
    """
    if queue.teller is None:
        queue.teller = Teller(partial(_keep, queue), queue.clock)
        log_lines.install(queue.capture)
    try:
        call = executor.begin(job, queue)
    except TaskUnknown as error:
        return Released(str(error), _UNKNOWN_PAUSE, begun=False), None
    if isinstance(call, Outcome):
        return call, None
    if instead is not None:
        call.func = _raising(instead, is_async=call.is_async)
    outcome = await (_awaited(call) if call.on_loop else run_in_threadpool(executor.run, call))
    if isinstance(outcome, TimedOut):
        return outcome, TimeoutError(f"{job.task} timed out after {outcome.timeout / 1e6:g} s")
    return outcome, call.error if isinstance(outcome, (Erred, Snoozed)) else None


def _keep(queue: AnyQueue, told: list[Told]) -> None:
    """Behind what the store has to do, and before the end of the attempt."""
    queue.tell_soon(lambda store: store.keep(told)).add_done_callback(partial(_excuse, told))


def _excuse(told: list[Told], kept: Future[None]) -> None:
    error = None if kept.cancelled() else kept.exception()
    if isinstance(error, Exception):
        for each in told:
            events.not_kept(each.id, error)


async def _awaited(call: executor.Run) -> Outcome:
    limit = call.job.timeout
    async with asyncio.timeout(None if limit is None else limit / 1e6) as time:
        outcome = await executor.arun(call, _in_thread)  # makes an outcome of the cancellation
    if time.expired() and isinstance(outcome, Stopped):
        return TimedOut(limit or 0, outcome.traceback)
    return outcome


async def _in_thread(job: Claimed, work: Callable[[], Any]) -> Any:
    return await run_in_threadpool(work)


def _raising(error: BaseException, *, is_async: bool) -> Callable[..., Any]:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise error

    async def afail(*args: Any, **kwargs: Any) -> Any:
        raise error

    return afail if is_async else fail
