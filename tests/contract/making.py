"""Jobs and workers for tests, made with as few words as a test needs."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

from outlast.clock import Clock, span, to_instant
from outlast.job import Claimed, Ended, Erred, NewJob, Outcome, Succeeded
from outlast.lifecycle import Ending
from outlast.store import Store, WorkerRecord
from tests.rows import row

LEASE = timedelta(seconds=30)
ERRED = Erred("ValueError: no", "Traceback (most recent call last): …")


def new_job(store: Store, *, delay: timedelta = timedelta(0), **fields: Any) -> NewJob:
    """A job that may start at once, but for what `delay` and the fields say."""
    now = store.clock.now()
    return row(now, **{"run_at": now + span(delay), **fields})


def new_chain(store: Store, length: int, **fields: Any) -> list[NewJob]:
    """The jobs of one request: each but the first waits for the one before it."""
    jobs = [new_job(store, waiting=int(number > 0), **fields) for number in range(length)]
    behind = [job.id for job in jobs[1:]] + [None]
    return [job._replace(next_id=next_id) for job, next_id in zip(jobs, behind, strict=True)]


def put(store: Store, **fields: Any) -> str:
    """Insert one job; its id."""
    job = new_job(store, **fields)
    store.insert([job])
    return job.id


def take(store: Store, worker: str = "w1", **options: Any) -> Claimed:
    """Claim the one job that can be claimed."""
    [job] = store.claim(worker, 10, **options)
    return job


def end(store: Store, job: Claimed, outcome: Outcome | None = None) -> Ending | None:
    """Settle one attempt; what became of it."""
    [settled] = store.settle([Ended(job.id, job.attempt, outcome or Succeeded())])
    assert (settled.id, settled.attempt) == (job.id, job.attempt)
    return settled.ending


def ids(jobs: list[Any]) -> list[str]:
    return [job.id for job in jobs]


def claimable(store: Store, **options: Any) -> list[str]:
    """The ids that a claim would take, in its order; nothing is changed."""
    taken: list[str] = []
    with undone(store):
        taken += ids(store.claim("w1", 1000, **options))
    return taken


@contextmanager
def undone(store: Store) -> Iterator[None]:
    """A transaction that fails at its end."""
    with suppress(_UndoneError), store.transaction():
        yield
        raise _UndoneError


class _UndoneError(Exception):
    pass


def worker_record(worker: str, clock: Clock, **fields: Any) -> WorkerRecord:
    now = to_instant(clock.now())
    plain = {
        "id": worker,
        "host": "here",
        "premises": "here",
        "pid": 1,
        "queues": None,
        "slots": 8,
        "started_at": now,
        "lease_until": now + LEASE,
        "room": fields.get("slots", 8),
    }
    return WorkerRecord(**(plain | fields))
