"""P12: finished jobs are pruned by a retention that is on by default; claiming costs the same beside many of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from outlast.clock import SystemClock, span
from outlast.job import Crashed, Ended, Erred, Outcome, Succeeded
from outlast.queue import TaskQueue
from outlast.store import JobFilter, Store, open_store
from outlast.store.sqlite import SQLiteStore
from outlast.worker.app import settings_of
from tests.contract.making import LEASE, new_chain, new_job, put, worker_record
from tests.rows import row
from tests.stores import execute
from tests.worker.harness import House

NOW = timedelta(0)


def test_finished_jobs_are_kept_for_a_while_by_default() -> None:
    """Whoever says nothing of retention has one: a week.

    Break it: make TaskQueue's default timedelta.max.
    """
    queue = TaskQueue(store="sqlite:///never-opened.db")

    assert queue.retention == settings_of(queue).retention == timedelta(days=7)


def test_what_ended_longer_ago_than_the_retention_is_pruned(house: House) -> None:
    """Succeeded, failed and cancelled jobs go with their attempts; what is queued or running stays, however old.

    Break it: in chores.do, do not prune.
    """
    cancelled, queued = house.add("app:work"), house.add("app:work", delay=timedelta(hours=1))
    house.store.cancel(JobFilter(ids=(cancelled,)))
    worker = house.worker(retention=NOW)
    running = house.add("app:hold", {"door": "door"})
    succeeded, failed = house.add("app:work"), house.add("app:err", max_attempts=1)
    house.noted("started", running)
    house.noted("ran", succeeded)
    house.noted("started", failed)

    house.until(lambda: _ids(house.store) == {queued, running}, "all that has ended to be gone")
    assert house.store.attempts(failed) == []
    assert worker.is_alive


def test_what_ended_lately_is_kept(house: House) -> None:
    """A worker that has pruned what is too old has left alone what is not.

    Break it: in SQLiteStore.prune, take `keep` for nothing.
    """
    house.worker(retention=timedelta(hours=1))
    young = house.add("app:work")
    house.result(young)
    _finish(house.store, house.url, 1, ended_ago=timedelta(hours=2))

    house.until(lambda: len(_ids(house.store)) == 1, "the old one to be gone")
    assert _ids(house.store) == {young}


def test_pruning_keeps_up_with_a_busy_worker(house: House) -> None:
    """30,000 jobs that are too old are gone in seconds, not in half a minute: a round that finds more is soon repeated.

    Break it: in Supervisor._do_chores, wait a second after each round.
    """
    _finish(house.store, house.url, 30_000, ended_ago=timedelta(days=30))

    house.worker()

    house.until(lambda: not house.store.find(limit=1), "all that is too old to be gone", within=15)


def test_nothing_that_a_worker_asks_of_its_store_reads_through_the_jobs(tmp_path: Path) -> None:
    """Every statement of claims, endings and chores finds its rows by an index, as SQLite itself explains it; none goes
    through those of the finished ones.

    Break it: drop the index jobs_ready, or jobs_unready, or jobs_running from the migration.
    """
    store = open_store(f"sqlite:///{tmp_path / 'outlast.db'}")
    assert isinstance(store, SQLiteStore)
    said: list[str] = []
    store._file._connection.set_trace_callback(said.append)

    _everything_that_a_worker_asks(store)

    asked = {
        sql
        for sql in said
        if sql.startswith(("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")) and "jobs" in sql
    }
    assert len(asked) > 15
    slow = {sql: step for sql in asked for step in _plan(store, sql) if _reads_through(step)}
    assert slow == {}
    store.close()


def test_claiming_costs_the_same_with_ten_finished_jobs_or_three_hundred_thousand(tmp_path: Path) -> None:
    """The median round of claim and settle beside 300,000 finished jobs is within noise of that beside ten.

    Break it: drop the index jobs_ready from the migration.
    """
    small, large = (open_store(f"sqlite:///{tmp_path / name}.db") for name in ("small", "large"))
    _finish(small, small.url, 10)
    _finish(large, large.url, 300_000)

    for store in (small, large):
        store.enter(worker_record("w", store.clock))
    times: dict[str, list[float]] = {"small": [], "large": []}
    for _ in range(150):
        for name, store in (("small", small), ("large", large)):
            times[name].append(_timed(lambda store=store: _claim_and_settle(store)))

    assert statistics.median(times["large"]) < 2 * statistics.median(times["small"])
    for store in (small, large):
        store.close()


def _ids(store: Store) -> set[str]:
    return {record.id for record in store.find()}


def _finish(store: Store, url: str, jobs: int, *, ended_ago: timedelta = NOW) -> None:
    """Fill a store with succeeded jobs that ended so long ago: too many to run them one by one."""
    ended = SystemClock().now() - span(ended_ago)
    store.insert([row(ended, task="app:work", queue="finished") for _ in range(jobs)])
    execute(
        url,
        "UPDATE jobs SET state = 'succeeded', ready = 0, attempt = 1, started_at = created_at, finished_at = created_at"
        " WHERE queue = 'finished'",
    )
    assert store.counts()["succeeded"] >= jobs


def _everything_that_a_worker_asks(store: Store) -> None:
    store.enter(worker_record("w", store.clock))
    store.insert([new_job(store), *(new_job(store, delay=timedelta(hours=1)) for _ in range(2))])
    store.insert([*new_chain(store, 2), new_job(store, held_by="s"), new_job(store, expires_at=1)])
    jobs = store.claim("w", 10)
    outcomes: list[Outcome] = [Succeeded("1"), Erred("E", "T")]
    store.settle([Ended(job.id, job.attempt, outcome) for job, outcome in zip(jobs, outcomes, strict=True)])
    put(store)
    store.settle([Ended(job.id, job.attempt, Crashed("killed", alone=False)) for job in store.claim("w", 10)])
    assert store.suspects()
    assert store.claim("w", 1, alone=True)
    store.renew("w", LEASE)
    store.cancels("w")
    store.next_due()
    store.holders()
    store.unhold("s")
    store.workers()
    store.expire()
    assert store.rescue("w")
    store.prune(NOW)
    store.leave("w")


def _plan(store: SQLiteStore, sql: str) -> list[str]:
    return [row[3] for row in store._file.read(f"EXPLAIN QUERY PLAN {sql}")]


def _reads_through(step: str) -> bool:
    """Through the whole table, or through an index that grows with what has ended."""
    return step.startswith("SCAN jobs") and ("USING" not in step or "jobs_finished" in step)


def _claim_and_settle(store: Store) -> None:
    put(store)
    for job in store.claim("w", 40):
        store.settle([Ended(job.id, job.attempt, Succeeded())])


def _timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
