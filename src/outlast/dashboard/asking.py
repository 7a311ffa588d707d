"""What the pages show, read from the store: one function a page, run where the store is, each with few statements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from outlast.clock import to_instant
from outlast.dashboard.health import Facts, Notice, all_is_well, notices
from outlast.explain import Explanation, ask
from outlast.job import Attempt, JobRecord, State
from outlast.store import JobFilter, QueueRecord, Store, WorkerRecord
from outlast.store.liveness import is_alive

_RUNNING = 200
"""Running jobs that are shown with their workers, at most."""
PAGE = 50
"""Jobs on one page of a list."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerView:
    """A worker with what it runs."""

    record: WorkerRecord
    is_alive: bool
    running: list[JobRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The first page."""

    now: datetime
    counts: dict[str, int]
    queues: list[QueueRecord]
    workers: list[WorkerView]
    notices: list[Notice]
    well: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobList:
    """A page of jobs that match."""

    now: datetime
    jobs: list[JobRecord]
    next: str | None
    """The id that the page after this one begins behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """All about one job."""

    now: datetime
    job: JobRecord
    attempts: list[Attempt]
    reasons: list[Explanation]


def overview(store: Store) -> Overview:
    workers = _workers(store)
    queues = store.queues()
    now = to_instant(store.clock.now())
    facts = Facts(
        now=now,
        queues=queues,
        alive=[worker.record for worker in workers if worker.is_alive],
        dead=[worker.record for worker in workers if not worker.is_alive],
        oldest=store.oldest_ready(),
    )
    return Overview(
        now=now,
        counts=store.counts(),
        queues=queues,
        workers=workers,
        notices=notices(facts),
        well=all_is_well(facts),
    )


def _workers(store: Store) -> list[WorkerView]:
    running = store.find(JobFilter(state=State.RUNNING), limit=_RUNNING)
    return [
        WorkerView(
            record=worker,
            is_alive=is_alive(store, worker),
            running=[job for job in running if job.worker == worker.id],
        )
        for worker in store.workers()
    ]


def job_list(store: Store, which: JobFilter, before: str | None) -> JobList:
    jobs = store.find(which, limit=PAGE + 1, before=before)
    return JobList(
        now=to_instant(store.clock.now()),
        jobs=jobs[:PAGE],
        next=jobs[PAGE - 1].id if len(jobs) > PAGE else None,
    )


def job(store: Store, job_id: str) -> JobView:
    """Raises JobNotFound."""
    record, reasons = ask(store, job_id)
    return JobView(
        now=to_instant(store.clock.now()),
        job=record,
        attempts=store.attempts(job_id),
        reasons=reasons,
    )
