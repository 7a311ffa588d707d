"""Taskiq on Redis streams, the broker of taskiq-redis that acknowledges."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from taskiq_redis import RedisStreamBroker

from bench import marks
from peers import keys
from peers.names import QUEUE, REDIS

broker = RedisStreamBroker(url=REDIS, queue_name=QUEUE)


@broker.task
async def nothing() -> None:
    marks.tally()


@broker.task
async def tell_latency(began: float) -> None:
    marks.latency(began)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await broker.startup()
    yield
    await broker.shutdown()


app = FastAPI(lifespan=lifespan)


@app.post("/task")
async def task() -> dict[str, str]:
    await nothing.kiq()
    return {"message": "ok"}


@app.post("/latency")
async def latency() -> dict[str, str]:
    await tell_latency.kiq(marks.now())
    return {"message": "ok"}


async def fill(count: int) -> None:
    await broker.startup()  # makes the group: a stream is read from where its group began
    for _ in range(count):
        await nothing.kiq()
    await broker.shutdown()


def clean() -> None:
    keys.clean(f"{QUEUE}*", f"autoclaim:*{QUEUE}*")
