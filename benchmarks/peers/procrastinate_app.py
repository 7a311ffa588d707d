"""Procrastinate, on its psycopg connector."""

from __future__ import annotations

import procrastinate
from procrastinate import PsycopgConnector

from bench import marks
from peers.names import CONNECTIONS, DATABASE

app = procrastinate.App(
    connector=PsycopgConnector(conninfo=DATABASE, min_size=CONNECTIONS, max_size=CONNECTIONS)
)
opened = app.open_async


@app.task
def nothing() -> None:
    marks.tally()


@app.task
async def anothing() -> None:
    marks.tally()


@app.task
async def tell_latency(began: float) -> None:
    marks.latency(began)


_TASKS = {"nothing": nothing, "anothing": anothing, "tell_latency": tell_latency}


async def install() -> None:
    async with opened():
        await app.schema_manager.apply_schema_async()


async def enqueue(task: str, **arguments: float) -> None:
    await _TASKS[task].defer_async(**arguments)


async def enqueue_many(task: str, count: int) -> None:
    await _TASKS[task].batch_defer_async(*({} for _ in range(count)))
