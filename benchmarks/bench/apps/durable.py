"""The same endpoints with Outlast. `OUTLAST_STORE` says where its store is."""

from __future__ import annotations

import time

from fastapi import FastAPI

from bench import marks
from bench.apps.endpoints import OK, add_endpoints
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)
add_endpoints(app, BackgroundTasks)


async def tell_latency(began: float) -> None:
    marks.latency(began)


def nap(number: int) -> None:
    time.sleep(0.02)
    marks.tally(number)


@app.post("/latency")
async def latency(background_tasks: BackgroundTasks) -> dict[str, str]:
    background_tasks.add_task(tell_latency, marks.now())
    return OK


@app.post("/naps/{count}")
async def naps(count: int) -> dict[str, str]:
    await queue.aenqueue_many(nap, [(number,) for number in range(count)])
    return OK
