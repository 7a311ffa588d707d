"""FastAPI alone: no task, and its own `BackgroundTasks`, which keep tasks in the server's memory."""

from __future__ import annotations

from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI

from bench.apps.session import Session, open_session

app = FastAPI()
OK = {"message": "ok"}


def nothing() -> None: ...


async def anothing() -> None: ...


@app.post("/none")
async def no_task() -> dict[str, str]:
    return OK


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
