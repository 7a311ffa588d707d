"""SAQ on Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from saq import Queue

from bench import marks
from peers import keys
from peers.names import QUEUE, REDIS

queue = Queue.from_url(REDIS, name=QUEUE)


async def nothing(context: dict[str, Any]) -> None:
    marks.tally()


async def tell_latency(context: dict[str, Any], *, began: float) -> None:
    marks.latency(began)


settings = {"queue": queue, "functions": [nothing, tell_latency]}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await queue.connect()
    yield
    await queue.disconnect()


app = FastAPI(lifespan=lifespan)


@app.post("/task")
async def task() -> dict[str, str]:
    await queue.enqueue("nothing")
    return {"message": "ok"}


@app.post("/latency")
async def latency() -> dict[str, str]:
    await queue.enqueue("tell_latency", began=marks.now())
    return {"message": "ok"}


async def fill(count: int) -> None:
    await queue.connect()
    for _ in range(count):
        await queue.enqueue("nothing")
    await queue.disconnect()


def clean() -> None:
    keys.clean(f"saq:{QUEUE}:*", f"saq:job:{QUEUE}:*")
