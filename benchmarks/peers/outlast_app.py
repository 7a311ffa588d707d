"""Outlast itself, measured like the others on PostgreSQL: in its own environment, with its own worker command."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from bench import marks
from outlast import TaskQueue
from outlast.store.postgres_schema import migrate
from peers.names import DATABASE

app = FastAPI()
queue = TaskQueue(app, store=DATABASE, worker="external")


def nothing() -> None:
    marks.tally()


async def anothing() -> None:
    marks.tally()


async def tell_latency(began: float) -> None:
    marks.latency(began)


_TASKS = {"nothing": nothing, "anothing": anothing, "tell_latency": tell_latency}


@asynccontextmanager
async def opened() -> AsyncIterator[None]:
    yield
    queue.close()


async def install() -> None:
    migrate(DATABASE)


async def enqueue(task: str, **arguments: float) -> None:
    await queue.aenqueue(_TASKS[task], **arguments)


async def enqueue_many(task: str, count: int) -> None:
    await queue.aenqueue_many(_TASKS[task], [()] * count)
