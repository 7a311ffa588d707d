"""What is wrong, or may be, with an app, its store and its workers: one finding after the other.

An error is what will not work; a warning what probably is not meant; a note what is good to know.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from outlast.address import is_postgres
from outlast.cli.options import DEFAULT_STORE
from outlast.errors import AppNotFound, StoreError
from outlast.wording import counted, size

if TYPE_CHECKING:
    from outlast.cli.apps import App
    from outlast.cli.probe import AppFacts, JobFacts
    from outlast.store import Store, WorkerRecord
    from outlast.worker.preflight import Misfits

_OLDEST_FASTAPI, _NEWEST_FASTAPI = (0, 121), (0, 165)
"""From the one to the other the whole test suite has run."""
_MENDED_SQLITES = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""The first versions, each of its own series, without the bug that sqlite.org/wal.html#walresetbug describes."""
_LITTLE_SPACE = 200_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `level`: error, warning, note or ok."""

    level: str
    about: str
    text: str
    cure: str | None = None
    task: str | None = None
    """Where it is about jobs of one task: which,"""
    jobs: int | None = None
    """how many they are,"""
    example: str | None = None
    """and the id of one."""


def look(
    app: str | None, store: str | None, *, against: str | None = None, factory: bool
) -> Iterator[Finding]:
    """Look at an app and at the store that it uses; at the store `store`, or the default one, where there is no app.

    With `against`, look at the app and at the jobs of that store alone.
    """
    from outlast.cli.apps import find_app
    from outlast.cli.exits import Failure
    from outlast.cli.probe import probe
    from outlast.store import store_url

    facts = None
    try:
        found = find_app(app)
        facts = probe(found.target(factory=factory), store, against and store_url(against))
    except (Failure, AppNotFound) as error:
        yield Finding("error", "app", str(error))
    except StoreError as error:
        yield Finding("error", "store", str(error))
    else:
        yield from _of_app(found, facts)
        yield from of_fastapi(facts)
        yield from _of_jobs(facts.jobs, level="warning" if against is None else "error")
    if against is not None:
        return
    yield from of_sqlite(sqlite3.sqlite_version_info)
    yield from _of_store(facts.url if facts else store or DEFAULT_STORE, facts)


# ---- the app ---------------------------------------------------------------------------------------------------------


def _of_app(found: App, facts: AppFacts) -> Iterator[Finding]:
    how = f" ({found.how})" if found.how else ""
    yield Finding("ok", "app", f"{found.name}{how} can be imported and has a TaskQueue")
    for line in facts.plain:
        yield Finding("warning", "app", line)
    if facts.worker == "inline":
        yield from _of_inline(int(os.environ.get("WEB_CONCURRENCY") or 1))


def _of_jobs(jobs: JobFacts, level: str) -> Iterator[Finding]:
    """What this code could not run. It waits for other code: an error only to who asked whether it would."""
    if jobs.unreadable is not None:
        if level == "error":  # of the app's own store it is told with the store
            yield Finding("error", "store", jobs.unreadable)
        return
    for misfits in jobs.misfits:
        yield _misfits(misfits, level)
    fit = jobs.looked - sum(each.queued + each.running for each in jobs.misfits)
    if fit or not jobs.misfits:
        yield Finding("ok", "tasks", f"{counted(fit, 'queued or running job')} would run with this code")


def _misfits(misfits: Misfits, level: str) -> Finding:
    count = misfits.queued + misfits.running
    running = f" ({misfits.running:,} of them running now)" if misfits.running else ""
    return Finding(
        level,
        "tasks",
        f"{counted(count, 'job')} of {misfits.task}{running} cannot run with this code: {misfits.why}; such as "
        f"{misfits.example}",
        misfits.cure or None,
        task=misfits.task,
        jobs=count,
        example=misfits.example,
    )


def _of_inline(servers: int) -> Iterator[Finding]:
    yield Finding(
        "note",
        "worker",
        "worker='inline': jobs run in the server process, so one that blocks or crashes takes the server with it",
    )
    if servers > 1:
        yield Finding(
            "warning",
            "worker",
            f"worker='inline' in {servers} server processes (WEB_CONCURRENCY): each runs jobs for itself",
            "use worker='process', which starts one worker beside them all",
        )


def of_fastapi(facts: AppFacts) -> Iterator[Finding]:
    """Whether this FastAPI is one that we know, and how its request's end is seen."""
    version = tuple(int(part) for part in facts.fastapi.split(".")[:2])
    oldest, newest = (".".join(map(str, each)) for each in (_OLDEST_FASTAPI, _NEWEST_FASTAPI))
    if version < _OLDEST_FASTAPI:
        yield Finding(
            "error",
            "fastapi",
            f"FastAPI {facts.fastapi} is older than {oldest}",
            "pip install --upgrade fastapi",
        )
    elif version > _NEWEST_FASTAPI:
        yield Finding(
            "note",
            "fastapi",
            f"FastAPI {facts.fastapi} is newer than {newest}, the newest that was tested with",
        )
    else:
        yield Finding("ok", "fastapi", f"FastAPI {facts.fastapi}")
    if not facts.by_stacks:
        yield Finding(
            "note",
            "fastapi",
            "FastAPI's exit stacks are not where they were, so a public form is used: a little slower, and blind to "
            "the failure of a function-scoped dependency on its way out",
        )


# ---- the store -------------------------------------------------------------------------------------------------------


def of_sqlite(version: tuple[int, ...]) -> Iterator[Finding]:
    """Whether this SQLite has a known bug that matters here."""
    told = ".".join(map(str, version))
    mended = next((each for each in _MENDED_SQLITES if each[:2] == version[:2]), _MENDED_SQLITES[-1])
    if version < mended:
        yield Finding(
            "note",
            "sqlite",
            f"SQLite {told} has a bug, very rarely met, that can damage a database while several processes write it "
            "(mended in 3.51.3; sqlite.org/wal.html#walresetbug)",
            "use a Python whose sqlite3.sqlite_version is 3.51.3 or newer, once there is one for your system",
        )
    else:
        yield Finding("ok", "sqlite", f"SQLite {told}")


def _of_store(url: str, facts: AppFacts | None) -> Iterator[Finding]:
    try:
        with _seen(url) as store:
            yield from _of_place(store)
            if store.is_older:
                yield _is_older()
                return
            yield from _of_work(store, facts)
    except StoreError as error:
        yield _unopened(url, error)


@contextmanager
def _seen(url: str) -> Iterator[Store]:
    """A store that is only read: an older Outlast may be at work on it. Raises StoreError where none could be used."""
    from outlast.store import open_store
    from outlast.store.sqlite_place import check_place, name_and_path

    path = None if is_postgres(url) else name_and_path(url)[1]
    if path is not None:
        check_place(path, create=False)
    store = open_store(url, create=False, read_only=path is not None)
    try:
        yield store
    finally:
        store.close()


def _is_older() -> Finding:
    return Finding(
        "note",
        "store",
        "it was made by an older Outlast; the next start of the app brings it up to date, and the older one cannot use "
        "it then. What lies in it is looked at after that",
    )


def _unopened(url: str, error: StoreError) -> Finding:
    """Before the first start there is no file yet: that is an error only where none can be made."""
    if is_postgres(url):
        return Finding("error", "store", str(error))
    from outlast.store.sqlite_place import check_place, name_and_path

    try:
        path = name_and_path(url)[1]
        if path is None or path.exists():
            return Finding("error", "store", str(error))
        check_place(path, create=True)
    except StoreError as reason:
        return Finding("error", "store", str(reason))
    return Finding("note", "store", f"there is no store at {path} yet; the first start of the app makes it")


def _of_place(store: Store) -> Iterator[Finding]:
    if is_postgres(store.url):
        store.workers()  # it is connected to when it is used
        yield Finding("ok", "store", f"{store.url} can be used")
        return
    path = Path(store.url.removeprefix("sqlite:///"))
    yield Finding("ok", "store", f"{path} can be read and written, {size(path.stat().st_size)}")
    free = shutil.disk_usage(path.parent).free
    if free < _LITTLE_SPACE:
        yield Finding(
            "warning",
            "store",
            f"only {size(free)} are free on its disk; when it is full, requests that add tasks are answered 503",
            "free some space, or prune finished jobs: outlast prune --older-than 1d",
        )


def _of_work(store: Store, facts: AppFacts | None) -> Iterator[Finding]:
    from outlast.store.liveness import is_alive

    known = store.workers()
    alive = [worker for worker in known if is_alive(store, worker)]
    dead = [worker for worker in known if worker not in alive]
    counts = store.counts()
    waiting = sum(counts.get(view, 0) for view in ("ready", "retrying", "scheduled", "waiting"))
    if alive:
        yield Finding(
            "ok", "worker", f"{counted(len(alive), 'worker')} alive: {', '.join(map(_told, alive))}"
        )
    else:
        yield _nobody_works(facts, waiting)
    comes = "its jobs are being taken up" if alive else "the next worker to start takes up its jobs"
    for worker in dead:
        yield Finding("note", "worker", f"{_told(worker)} is dead; {comes}")
    yield from _of_queues(store, alive)
    if counts.get("failed"):
        yield Finding(
            "note", "jobs", f"{counted(counts['failed'], 'failed job')}", "outlast jobs list --state failed"
        )


def _told(worker: WorkerRecord) -> str:
    from outlast.cli.records import queues_of

    served = queues_of(worker)
    return f"{worker.host}:{worker.pid} ({'all queues' if served == 'all' else served})"


def _nobody_works(facts: AppFacts | None, waiting: int) -> Finding:
    wait = f"; {counted(waiting, 'job waits', 'jobs wait')}" if waiting else ""
    if facts is not None and facts.worker != "external":
        level = "warning" if waiting else "note"
        return Finding(level, "worker", f"no worker is alive; one starts with the server{wait}")
    return Finding("warning", "worker", f"no worker is alive{wait}", "outlast worker main:app")


def _of_queues(store: Store, alive: list[WorkerRecord]) -> Iterator[Finding]:
    from outlast.cli.stores import serves

    for queue in store.queues():
        jobs = counted(queue.queued, "job waits", "jobs wait")
        if queue.paused_at is not None:
            text = f"queue {queue.name} is paused; {jobs} in it"
            yield Finding("warning", "queue", text, f"outlast queues resume {queue.name}")
        elif queue.queued and alive and not serves(alive, queue.name):
            text = f"no living worker serves queue {queue.name}; {jobs} in it"
            yield Finding("warning", "queue", text, f"outlast worker main:app --queues {queue.name}")
