"""Imports an app in a process of its own and says what `outlast check` wants to know of it.

`python -m outlast.cli.probe [STORE] FD`: the question comes as JSON on standard input, the answer goes as JSON to the
descriptor; what the app prints while it is imported stays out of both. STORE is the one whose jobs are looked at,
where that is not the app's own.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from outlast.cli.exits import INTERRUPTED
from outlast.cli.printing import Bar
from outlast.errors import OutlastError, StoreError
from outlast.target import Target
from outlast.worker.describe import ask
from outlast.worker.preflight import Misfits, Preflight

if TYPE_CHECKING:
    from outlast.queue import TaskQueue
    from outlast.store import Store

_LIVE = ("scheduled", "retrying", "waiting", "held", "published", "ready", "running")
_STEP = 500
"""Jobs between two looks at the progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """What the jobs of a store would say to the app's code."""

    url: str
    unreadable: str | None = None
    """Why the store cannot be read, if it cannot."""
    looked: int = 0
    """How many jobs are queued or running."""
    misfits: tuple[Misfits, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AppFacts:
    """What an app says of itself once it is imported."""

    url: str
    worker: str
    fastapi: str
    by_stacks: bool
    """Which seam tells of a request's failure: FastAPI's exit stacks, or the public form."""
    plain: list[str]
    """Parameters that still take FastAPI's own BackgroundTasks, each in a sentence."""
    jobs: JobFacts


def probe(target: Target, store: str | None = None, against: str | None = None) -> AppFacts:
    """The facts of the app that `target` leads to, on its own store or on `store`; of the jobs there, or in `against`.

    Raises AppNotFound.
    """
    told = ask(target, "outlast.cli.probe", store=store, against=against)
    jobs = told.pop("jobs")
    misfits = tuple(Misfits(**each) for each in jobs.pop("misfits"))
    return AppFacts(**told, jobs=JobFacts(**jobs, misfits=misfits))


def main(descriptor: str) -> None:
    from outlast import role
    from outlast.worker.app import find_queue

    asked = json.load(sys.stdin)
    against = asked.pop("against")  # no argument: those are for all to see, and it may hold a password
    role.enter_worker()
    try:
        queue = find_queue(Target.from_message(asked))
        told = asdict(_facts(queue, against))
    except OutlastError as error:
        told = {"error": str(error)}
    with open(int(descriptor), "w") as out:
        json.dump(told, out)


def _facts(queue: TaskQueue, against: str | None) -> AppFacts:
    import fastapi

    from outlast.fastapi import seam

    return AppFacts(
        url=queue.url,
        worker=queue.worker,
        fastapi=fastapi.__version__,
        by_stacks=seam.has_stacks(),
        plain=[] if queue.app is None else _plain(queue.app),
        jobs=_of_jobs(queue, against or queue.url),
    )


def _plain(app: Any) -> list[str]:
    """What the audit warns of when the server starts."""
    from outlast.fastapi.audit import audit

    told = _Told()
    log = logging.getLogger("outlast.request")
    log.addHandler(told)
    log.propagate = False
    audit(app.routes)
    return told.lines


class _Told(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _of_jobs(queue: TaskQueue, url: str) -> JobFacts:
    """Without writing, or migrating: the store may be that of older code at work."""
    from outlast.store import open_store

    try:
        store = open_store(url, create=False, read_only=True)
    except StoreError as error:
        return JobFacts(url=url, unreadable=str(error))
    try:
        return _looked_at(queue, store)
    except StoreError as error:
        return JobFacts(url=url, unreadable=str(error))
    finally:
        store.close()


def _looked_at(queue: TaskQueue, store: Store) -> JobFacts:
    counts, jobs, preflight = store.counts(), store.live(), Preflight(queue)
    with Bar("Checking jobs", total=sum(counts[view] for view in _LIVE)) as bar:
        while some := list(islice(jobs, _STEP)):
            preflight.look(some)
            bar.show(preflight.looked)
    return JobFacts(url=store.url, looked=preflight.looked, misfits=tuple(preflight.misfits))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:  # whoever asked is told as well
        sys.exit(INTERRUPTED)
