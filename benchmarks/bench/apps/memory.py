"""FastAPI alone: no task, and its own `BackgroundTasks`, which keep tasks in the server's memory."""

from __future__ import annotations

from fastapi import BackgroundTasks, FastAPI

from bench.apps.endpoints import OK, add_endpoints

app = FastAPI()
add_endpoints(app, BackgroundTasks)


@app.post("/none")
async def no_task() -> dict[str, str]:
    return OK
