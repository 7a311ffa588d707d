"""The same endpoints with Outlast. `OUTLAST_STORE` says where its store is."""

from __future__ import annotations

import time
from typing import Annotated

from fastapi import Depends, FastAPI

from bench import marks
from bench.apps.session import Session, open_session
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)
OK = {"message": "ok"}


def nothing() -> None: ...


async def anothing() -> None: ...


async def tell_latency(began: float) -> None:
    marks.latency(began)


def nap(number: int) -> None:
    time.sleep(0.02)
    marks.tally(number)


@app.post("/async")
async def async_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(anothing)
    return OK


@app.post("/def")
async def def_task(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(nothing)
    return OK


@app.post("/session")
async def with_session(
    background_tasks: BackgroundTasks, session: Annotated[Session, Depends(open_session)]
) -> dict[str, str]:
    background_tasks.add_task(anothing)
    return OK


@app.post("/latency")
async def latency(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(tell_latency, marks.now())
    return OK


@app.post("/naps/{count}")
async def naps(count: int) -> dict[str, str]:
    await queue.aenqueue_many(nap, [(number,) for number in range(count)])
    return OK
