"""A store file with a job in each state, as a worker would have left it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

from outlast.clock import ManualClock, span, to_micros
from outlast.job import Ended, Erred, NewJob, Outcome, Succeeded
from outlast.store import JobFilter, Store, WorkerRecord, open_store
from tests.rows import row

HOUR = timedelta(hours=1)
TRACEBACK = """Traceback (most recent call last):
  File "/srv/shop/mail.py", line 12, in send_mail
    smtp.send(to, body)
ConnectionError: [smtp.example] refused"""


def new_job(task: str = "shop.mail:send_mail", **changes: object) -> NewJob:
    """A row that may run at once, unless `changes` say otherwise."""
    created = changes.pop("created_at", None) or to_micros(datetime.now(UTC))
    luggage = json.dumps({"to": "ada@example.org", "on": {"$": ["date", "2026-01-01"]}})
    return row(created, **{"task": task, "luggage": luggage, **changes})


def worker_record(worker: str = "w1", queues: tuple[str, ...] | None = None) -> WorkerRecord:
    now = datetime.now(UTC)
    return WorkerRecord(
        id=worker,
        host="elsewhere",
        premises="",
        pid=7,
        queues=queues,
        slots=80,
        started_at=now,
        lease_until=now + HOUR,
    )


def run(store: Store, job: NewJob, outcome: Outcome | None = None) -> str:
    """Insert a job and have it claimed; with an outcome, also ended."""
    store.insert([job])
    store.enter(worker_record())
    (claimed,) = [each for each in store.claim("w1", 100) if each.id == job.id]
    if outcome is not None:
        store.settle([Ended(job.id, claimed.attempt, outcome)])
    return job.id


def erred(error: str = "ConnectionError: [smtp.example] refused", *, again: bool = True) -> Erred:
    return Erred(error, TRACEBACK, again)


def fill(store: Store) -> dict[str, str]:
    """A job in each state and view. Returns their ids by it."""
    server = "server-1"
    now = to_micros(datetime.now(UTC))
    ids = {
        "succeeded": run(store, new_job("shop.reports:monthly"), Succeeded('{"$": ["decimal", "12.50"]}')),
        "failed": run(store, new_job(queue="mail"), erred(again=False)),
        "retrying": run(store, new_job(queue="mail"), erred()),
        "running": run(store, new_job(timeout=span(timedelta(minutes=2)))),
    }
    cancelled = new_job("shop.reports:monthly")
    store.insert([cancelled])
    store.cancel(JobFilter(ids=(cancelled.id,)))
    ids["cancelled"] = cancelled.id
    rest = {
        "scheduled": new_job(run_at=now + span(HOUR), expires_at=now + span(2 * HOUR)),
        "waiting": new_job(waiting=1),
        "held": new_job(held_by=server),
        "queued": new_job(priority=3),
    }
    store.insert(list(rest.values()))
    return ids | {view: job.id for view, job in rest.items()}


def made(path: Path, clock: ManualClock | None = None) -> Store:
    return open_store(f"sqlite:///{path}", clock=clock)
