"""Whether all is well, in one sentence; else what is not, the worst first. Pure: facts in, sentences out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from outlast.dashboard.sought import Sought
from outlast.job import JobRecord
from outlast.store import QueueRecord, WorkerRecord
from outlast.wording import counted, span

_LONG = timedelta(minutes=1)
"""What has been ready for longer than this waits long."""


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that is not as it should be. `is_bad`: jobs do not run for it."""

    text: str
    is_bad: bool = False
    query: str | None = None
    """Of the list of the jobs that it is about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the verdict goes by."""

    now: datetime
    queues: Sequence[QueueRecord]
    alive: Sequence[WorkerRecord]
    dead: Sequence[WorkerRecord]
    oldest: JobRecord | None
    """The job that has been ready for longest."""


def notices(facts: Facts) -> list[Notice]:
    """What is not well, the worst first; none if all is."""
    return sorted(_each(facts), key=lambda notice: not notice.is_bad)


def all_is_well(facts: Facts) -> str:
    """What is said where there is no notice."""
    workers = _told_workers(facts.alive)
    runs = sum(queue.running for queue in facts.queues)
    wait = sum(queue.queued for queue in facts.queues)
    does = f"{counted(runs, 'job')} {'runs' if runs == 1 else 'run'}" if runs else "nothing runs"
    waits = f"{counted(wait, 'job')} {'is' if wait == 1 else 'are'} queued" if wait else "nothing waits"
    return f"All is well: {workers} {'is' if len(facts.alive) == 1 else 'are'} up, {does}, {waits}."


def _told_workers(alive: Sequence[WorkerRecord]) -> str:
    """An engine's apart from Outlast's own."""
    engines = Counter(worker.engine for worker in alive if worker.engine is not None)
    own = counted(len(alive) - engines.total(), "worker")
    return " and ".join([own, *(f"{count:,} of {engine}" for engine, count in sorted(engines.items()))])


def _each(facts: Facts) -> Iterator[Notice]:
    waiting = sum(queue.queued for queue in facts.queues)
    if not facts.alive:
        yield _nobody(waiting)
    else:
        yield from _of_queues(facts)
        yield from _of_workers(facts)
    for worker in facts.dead:
        yield Notice(f"Worker {worker.host}:{worker.pid} has died; its jobs are taken over within the lease.")
    if facts.oldest is not None and facts.alive:
        yield from _of_oldest(facts.oldest, facts)


def _nobody(waiting: int) -> Notice:
    if not waiting:
        return Notice("No worker is alive. Nothing waits for one now.")
    wait = "job waits" if waiting == 1 else "jobs wait"
    return Notice(
        f"No worker is alive, and {waiting:,} {wait}.", is_bad=True, query=Sought(state="queued").query()
    )


def _of_queues(facts: Facts) -> Iterator[Notice]:
    for queue in facts.queues:
        wait = f"{queue.queued:,} {'job waits' if queue.queued == 1 else 'jobs wait'}"
        query = Sought(state="queued", queue=queue.name).query()
        if not queue.queued:
            continue
        if not any(worker.looks_after(queue.name) for worker in facts.alive):
            yield Notice(f"No worker serves the queue {queue.name}: {wait}.", is_bad=True, query=query)
        elif queue.paused_at is not None:
            yield Notice(f"The queue {queue.name} is paused: {wait}.", query=query)


def _of_workers(facts: Facts) -> Iterator[Notice]:
    """Of Outlast's own: an engine's come and go as it says, and have no children."""
    own = [worker for worker in facts.alive if worker.engine is None]
    staying = [worker for worker in own if not worker.is_leaving]
    running = [worker for worker in staying if worker.runs_jobs]
    if own and not staying:
        yield Notice("Every worker is shutting down: no job is started.", is_bad=True)
    elif running and all(worker.room == 0 for worker in running):
        yield Notice(
            "No worker has a child that is ready: the app is starting, or does not start; the worker's log says why.",
            is_bad=True,
        )


def _of_oldest(oldest: JobRecord, facts: Facts) -> Iterator[Notice]:
    paused = {queue.name for queue in facts.queues if queue.paused_at is not None}
    waited = facts.now - oldest.run_at
    if waited > _LONG and oldest.queue not in paused:
        yield Notice(
            f"Jobs wait long: {oldest.task} has been ready for {span(waited)}.",
            query=Sought(id=oldest.id).query(),
        )
