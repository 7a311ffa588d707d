"""P8: a task never runs in a server process, on its loop or in its threads."""

from __future__ import annotations

import http.client
import json
import socket
import sys
from pathlib import Path

from tests.worker.harness import House

APP = """
import os, threading
from pathlib import Path
from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

HERE = Path(__file__).parent
app = FastAPI()
queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}", children=2)

def called():
    return [os.getpid(), os.getppid()]

async def awaited():
    return [os.getpid(), os.getppid()]

@app.post("/")
async def add(background_tasks: BackgroundTasks):
    jobs = [background_tasks.add_task(task) for task in (called, awaited)]
    return {"pid": os.getpid(), "jobs": [job.id for job in jobs]}
"""


def test_tasks_run_in_processes_of_their_own(house: House) -> None:
    """Neither a def nor an async def task runs in a process that answers requests, but in a child of the worker.

    Break it: give the TaskQueue of this app worker="inline".
    """
    house.write("app", APP)
    port = _free_port()
    options = ["--port", str(port), "--workers", "2", "--log-level", "warning"]
    server = house.start([sys.executable, "-m", "uvicorn", "app:app", *options])
    house.until(lambda: _answers(port), "the server to answer")

    answers = [_post(port) for _ in range(8)]
    ran_in = [house.result(job) for answer in answers for job in answer["jobs"]]

    serving = {server.pid, *(answer["pid"] for answer in answers)}
    for pid, parent in ran_in:
        assert pid not in serving
        assert parent == house.supervisor()
        assert parent not in serving
        assert b"outlast.worker\0child" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _post(port: int) -> dict[str, list[str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("POST", "/")
        response = connection.getresponse()
        assert response.status == 200, response.read()
        answer: dict[str, list[str]] = json.loads(response.read())
        return answer
    finally:
        connection.close()
