"""What the pages show, read from the store: one function a page, run where the store is, each with few statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from outlast.clock import to_instant
from outlast.dashboard.health import Facts, Notice, all_is_well, notices
from outlast.dashboard.sought import Sought
from outlast.explain import Explanation, ask
from outlast.job import Attempt, JobRecord, LogLine, State
from outlast.store import (
    Chain,
    ChildRecord,
    Failures,
    Found,
    JobFilter,
    QueueRecord,
    Store,
    Tally,
    WorkerRecord,
)
from outlast.store.liveness import is_alive

_RUNNING = 100
"""Running jobs that are shown with their workers, at most."""
_LINES = 300
"""Lines of a job's log on its page."""
PAGE = 50
"""Jobs on one page of a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildView:
    """A child with those of its jobs that are shown."""

    record: ChildRecord
    running: list[JobRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker with its children and what it runs."""

    record: WorkerRecord
    is_alive: bool
    children: list[ChildView]
    others: list[JobRecord]
    """What it runs in no child that it has told of (yet)."""
    running: int

    @property
    def served(self) -> list[str]:
        """The queues that it names and does not hand over."""
        return [queue for queue in self.record.queues or () if self.record.serves(queue)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The first page."""

    now: datetime
    queues: list[QueueRecord]
    workers: list[WorkerView]
    """Outlast's own."""
    engines: dict[str, list[WorkerView]]
    """The processes of each engine that run jobs."""
    handed: dict[str, str]
    """The engine of each queue that is handed over."""
    notices: list[Notice]
    well: str
    queued: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """All about one job."""

    now: datetime
    job: JobRecord
    attempts: list[Attempt]
    reasons: list[Explanation]
    chain: Chain
    log: list[LogLine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What there is to choose from in a list of jobs."""

    queues: list[str]
    tasks: list[str]


def now_of(store: Store) -> datetime:
    """The time as the store tells it."""
    return to_instant(store.clock.now())


def overview(store: Store) -> Overview:
    workers = _workers(store)
    queues = store.queues()
    now = now_of(store)
    facts = Facts(
        now=now,
        queues=queues,
        alive=[worker.record for worker in workers if worker.is_alive],
        dead=[worker.record for worker in workers if not worker.is_alive],
        oldest=store.oldest_ready(),
    )
    return Overview(
        now=now,
        queues=queues,
        workers=[worker for worker in workers if worker.record.engine is None],
        engines=_by_engine(workers),
        handed=_handed(queues, facts.alive),
        notices=notices(facts),
        well=all_is_well(facts),
        queued=sum(queue.queued for queue in queues),
    )


def _workers(store: Store) -> list[WorkerView]:
    running = store.search(JobFilter(state=State.RUNNING), limit=_RUNNING).jobs
    return [
        _worker(worker, [job for job in running if job.worker == worker.id], is_alive(store, worker))
        for worker in store.workers()
    ]


def _by_engine(workers: Sequence[WorkerView]) -> dict[str, list[WorkerView]]:
    engines = sorted({worker.record.engine for worker in workers if worker.record.engine is not None})
    return {engine: [worker for worker in workers if worker.record.engine == engine] for engine in engines}


def _handed(queues: Sequence[QueueRecord], alive: Sequence[WorkerRecord]) -> dict[str, str]:
    return {
        queue.name: handed.engine
        for queue in queues
        for worker in alive
        if (handed := worker.hands_over(queue.name)) is not None
    }


def _worker(record: WorkerRecord, running: list[JobRecord], alive: bool) -> WorkerView:
    jobs = {job.id: job for job in running}
    children = [
        ChildView(record=child, running=[jobs.pop(each) for each in child.job_ids if each in jobs])
        for child in record.children
    ]
    return WorkerView(
        record=record,
        is_alive=alive,
        children=children,
        others=[*jobs.values()],
        running=max(len(running), sum(child.jobs for child in record.children)),
    )


def found(store: Store, sought: Sought, before: str | None, zone: tzinfo) -> tuple[datetime, Found]:
    """A page of the jobs that match."""
    now = now_of(store)
    return now, store.search(sought.filter(now, zone), limit=PAGE, before=before)


def tally(store: Store, sought: Sought, zone: tzinfo) -> Tally:
    """How many match in each view, whatever view is looked at."""
    return store.tally(sought.filter(now_of(store), zone))


def names(store: Store) -> Names:
    counted = store.totals()
    queues = {each.queue for each in counted} | {queue.name for queue in store.queues()}
    return Names(queues=sorted(queues), tasks=sorted({each.task for each in counted}))


def job(store: Store, job_id: str) -> JobView:
    """Raises JobNotFound."""
    record, reasons = ask(store, job_id)
    return JobView(
        now=now_of(store),
        job=record,
        attempts=store.attempts(job_id),
        reasons=reasons,
        chain=store.chain(job_id),
        log=store.log(job_id, limit=_LINES),
    )


def failures(store: Store) -> tuple[datetime, Failures]:
    return now_of(store), store.failures()
