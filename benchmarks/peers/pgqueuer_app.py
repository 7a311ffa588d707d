"""PgQueuer on asyncpg: one connection for a worker, a pool for who enqueues, as its page on performance says."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.models import Job
from pgqueuer.queries import Queries

from bench import marks
from peers.names import CONNECTIONS, DATABASE

_queries: Queries


@asynccontextmanager
async def worker() -> AsyncIterator[PgQueuer]:
    """What `pgq run` runs."""
    queue = PgQueuer(AsyncpgDriver(await asyncpg.connect(DATABASE)))

    @queue.entrypoint("anothing")
    async def anothing(job: Job) -> None:
        marks.tally()

    @queue.entrypoint("tell_latency")
    async def tell_latency(job: Job) -> None:
        (began,) = struct.unpack("<d", job.payload or b"")
        marks.latency(began)

    yield queue


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    global _queries
    async with asyncpg.create_pool(DATABASE, min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        _queries = Queries(AsyncpgPoolDriver(pool))
        yield


async def install() -> None:
    connection = await asyncpg.connect(DATABASE)
    queries = Queries(AsyncpgDriver(connection))
    await queries.install()
    await queries.optimize_autovacuum()
    await connection.close()


async def enqueue(task: str, **arguments: float) -> None:
    await _queries.enqueue(task, struct.pack("<d", arguments["began"]) if arguments else None)


async def enqueue_many(task: str, count: int) -> None:
    await _queries.enqueue([task] * count, [None] * count, [0] * count)
