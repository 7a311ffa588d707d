"""The app under the soak: each request adds one job, which writes one line when it has done its work."""

import asyncio
import os
import time
from pathlib import Path

from fastapi import FastAPI

from outlast import BackgroundTasks, TaskQueue, current_job

app = FastAPI()
queue = TaskQueue(app, store=os.environ["SOAK_STORE"], children=2)


@app.post("/await/{number}")
async def add_awaited(number: int, background_tasks: BackgroundTasks):
    return {"id": background_tasks.add_task(awaited, number).id}


@app.post("/call/{number}")
def add_called(number: int, background_tasks: BackgroundTasks):
    return {"id": background_tasks.add_task(called, number).id}


@app.post("/chain/{number}")
async def add_chain(number: int, background_tasks: BackgroundTasks):
    """Two jobs in one commit: both are accepted, or neither."""
    first = background_tasks.add_task(awaited, number)
    second = background_tasks.add_task(called, number)
    return {"id": first.id, "second": second.id}


async def awaited(number: int) -> None:
    await asyncio.sleep(0.005)
    _write_line(number)


def called(number: int) -> None:
    time.sleep(0.005)
    _write_line(number)


def _write_line(number: int) -> None:
    job = current_job()
    with Path(os.environ["SOAK_LEDGER"]).open("a") as ledger:
        ledger.write(f"{job.id} {job.attempt} {number}\n")
