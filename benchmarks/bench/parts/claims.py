"""(g) Claims on PostgreSQL: what one costs beside a million finished and a hundred thousand queued jobs.

On the database that OUTLAST_BENCH_POSTGRES names; in schemas that are made for it and dropped after.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from bench.report import Table
from bench.setting import Setting
from bench.spread import Spread, quantile
from outlast.address import address_of
from outlast.clock import to_instant
from outlast.job import Ended, NewJob, Succeeded, new_id
from outlast.store import Store, WorkerRecord, open_store
from outlast.store.postgres_schema import migrate

_SERVER = "postgresql://postgres@127.0.0.1:5432/test"
_BATCH = 40
"""Jobs of one claim: the slots of a child."""
_FILL = """
INSERT INTO jobs (id, task, queue, priority, luggage, created_at, run_at, max_attempts, at_most_once, waiting,
                  state, ready, attempt, started_at, finished_at)
SELECT 'f' || lpad(CAST(number AS text), 35, '0'), 'app:task', 'default', 0, '{{}}', number, number, 5, 0, 0,
       {columns}
FROM generate_series({first}, {last}) AS number
"""
_FINISHED = "'succeeded', 0, 1, number, number"
_QUEUED = "'queued', 1, 0, NULL, NULL"


def measure(setting: Setting) -> list[Table]:
    finished, queued = setting.pick(1_000_000, 10_000), setting.pick(100_000, 1_000)
    times: dict[str, list[list[float]]] = {"empty": [], "full": []}
    with schema("bench_empty") as empty, schema("bench_full") as full:
        _fill(full, finished, queued)
        for number in range(setting.pick(3, 1)):
            for name, url in (("empty", empty), ("full", full)):
                times[name].append(_claims(url, setting.pick(500, 50)))
                told = ", ".join(
                    f"{share:g} {quantile(times[name][-1], share) * 1e3:.2f} ms" for share in (0.5, 0.99)
                )
                setting.say(f"round {number + 1}, {name}: {told}")
    return [_table(times, finished, queued)]


def _claims(url: str, rounds: int) -> list[float]:
    """Seconds of each claim of a batch, that finds as many new jobs at the front as it takes."""
    store = open_store(url)
    now = to_instant(store.clock.now())
    store.enter(
        WorkerRecord(
            id="w", host="here", premises="", pid=1, queues=None, slots=_BATCH, started_at=now,
            lease_until=now + timedelta(days=1),
        )
    )  # fmt: skip
    try:
        return [_claim(store) for _ in range(rounds)]
    finally:
        store.close()


def _claim(store: Store) -> float:
    store.insert([_row(store.clock.now()) for _ in range(_BATCH)])
    began = time.perf_counter()
    jobs = store.claim("w", _BATCH)
    seconds = time.perf_counter() - began
    if len(jobs) != _BATCH:
        raise RuntimeError(f"{len(jobs)} jobs were claimed instead of {_BATCH}")
    store.settle([Ended(job.id, job.attempt, Succeeded()) for job in jobs])
    return seconds


def _row(now: int) -> NewJob:
    return NewJob(
        new_id(),
        "app:task",
        "default",
        0,
        "{}",
        None,
        None,
        None,
        now,
        now,
        None,
        None,
        5,
        None,
        0,
        None,
        0,
        None,
    )


@contextmanager
def schema(name: str) -> Iterator[str]:
    server = os.environ.get("OUTLAST_BENCH_POSTGRES", _SERVER)
    url = f"{server}{'&' if '?' in server else '?'}schema={name}"
    with connected(url) as connection:
        connection.execute(f"DROP SCHEMA IF EXISTS {name} CASCADE")
    migrate(url)
    try:
        yield url
    finally:
        with connected(url) as connection:
            connection.execute(f"DROP SCHEMA {name} CASCADE")


def _fill(url: str, finished: int, queued: int) -> None:
    with connected(url) as connection:
        connection.execute(_FILL.format(columns=_FINISHED, first=1, last=finished))
        connection.execute(_FILL.format(columns=_QUEUED, first=finished + 1, last=finished + queued))
        connection.execute("VACUUM ANALYZE jobs")


@contextmanager
def connected(url: str) -> Iterator[Any]:
    import psycopg

    address = address_of(url)
    with psycopg.connect(**address.parameters, autocommit=True) as connection:
        connection.execute(f'SET search_path = "{address.schema}"')
        yield connection


def _table(times: dict[str, list[list[float]]], finished: int, queued: int) -> Table:
    table = Table("(g) Claims on PostgreSQL", ["", "empty, ms", "full, ms", "ratio", "goal"])
    for share, name, goal in ((0.5, "p50", ""), (0.99, "p99", "under 2")):
        empty, full = (
            Spread.of([quantile(each, share) * 1e3 for each in times[kind]]) for kind in ("empty", "full")
        )
        ratio = Spread.of(
            [
                quantile(b, share) / quantile(a, share)
                for a, b in zip(times["empty"], times["full"], strict=True)
            ]
        )
        table.add(name, empty.told(2), full.told(2), ratio.told(2), goal)
    table.notes.append(
        f"A claim of {_BATCH} jobs, in a table with nothing else and in one with {finished:,} finished and {queued:,} "
        "queued jobs; each claim is flushed."
    )
    return table
