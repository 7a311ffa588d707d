"""Oban for Python. A `def` job would run on its loop, so there is none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from oban import Oban, job
from oban.schema import install as make_tables

from bench import marks
from peers.names import CONNECTIONS, DATABASE

_oban: Oban


@job()
async def anothing() -> None:
    marks.tally()


@job()
async def tell_latency(began: float) -> None:
    marks.latency(began)


_TASKS = {"anothing": anothing, "tell_latency": tell_latency}


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    global _oban
    pool = await Oban.create_pool(dsn=DATABASE, min_size=CONNECTIONS, max_size=CONNECTIONS)
    _oban = Oban(pool=pool)
    yield
    await pool.close()


async def install() -> None:
    pool = await Oban.create_pool(dsn=DATABASE)
    await make_tables(pool)
    await pool.close()


async def enqueue(task: str, **arguments: float) -> None:
    await _oban.enqueue(_TASKS[task].new(**arguments))


async def enqueue_many(task: str, count: int) -> None:
    await _oban.enqueue_many(_TASKS[task].new() for _ in range(count))
