"""Huey on Redis."""

from __future__ import annotations

from fastapi import FastAPI
from huey import RedisHuey

from bench import marks
from peers import keys
from peers.names import QUEUE, REDIS

huey = RedisHuey(QUEUE, url=REDIS)
app = FastAPI()


@huey.task()
def nothing() -> None:
    marks.tally()


@huey.task()
def tell_latency(began: float) -> None:
    marks.latency(began)


@app.post("/task")
async def task() -> dict[str, str]:
    nothing()
    return {"message": "ok"}


@app.post("/latency")
async def latency() -> dict[str, str]:
    tell_latency(marks.now())
    return {"message": "ok"}


def fill(count: int) -> None:
    for _ in range(count):
        nothing()


def clean() -> None:
    name = huey.storage.name
    keys.clean(f"huey.*.{name}", f"huey.*.{name}.*")
