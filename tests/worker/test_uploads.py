"""Uploads on their way from a request to a task: a real server, its worker, and the files between them."""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.polling import polled
from tests.worker.harness import PATIENCE, House, Process

APP = """
import hashlib, os, resource
from datetime import timedelta
from pathlib import Path

from fastapi import FastAPI, UploadFile
from outlast import BackgroundTasks, TaskQueue

HERE = Path(__file__).parent
app = FastAPI()
queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}", children=1)
app.include_router(queue.router, prefix="/jobs")
CHUNK = 1 << 18


async def look(file: UploadFile):
    digest = hashlib.sha256()
    while chunk := await file.read(CHUNK):
        digest.update(chunk)
    return {
        "hash": digest.hexdigest(), "size": file.size, "name": file.filename, "type": file.content_type,
        "mark": file.headers.get("x-mark"), "pid": os.getpid(),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


@app.post("/upload")
async def upload(file: UploadFile, background_tasks: BackgroundTasks):
    await file.read(3)
    job = background_tasks.add_task(look, file)
    await file.close()
    return {"id": job.id}


@app.get("/memory")
async def memory():
    return {"pid": os.getpid(), "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
"""


class Server:
    """uvicorn in a house, and what is asked of it."""

    def __init__(self, house: House, *words: str) -> None:
        self.house = house
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.process = self._started(words)
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE)
        assert polled(self._answers, PATIENCE), self.process.log

    def _started(self, words: tuple[str, ...]) -> Process:
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(self.port), *words]
        return self.house.start(command)

    def _answers(self) -> bool:
        try:
            return self.client.get("/memory").status_code == 200
        except httpx.TransportError:
            return False

    def upload(self, content: bytes, name: str = "photo.jpg", **headers: str) -> httpx.Response:
        file = (name, content, "image/jpeg", {"x-mark": "ours", **headers})
        return self.client.post("/upload", files={"file": file})


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def served(house: House) -> Iterator[Server]:
    house.write("app", APP)
    server = Server(house)
    yield server
    server.client.close()


@pytest.mark.parametrize("size", [0, 11, 3_000_000], ids=["empty", "in memory", "on disk"])
def test_an_upload_arrives_in_the_worker_as_it_was_sent(served: Server, size: int) -> None:
    content = bytes(range(256)) * (size // 256) + b"x" * (size % 256)

    answer = served.upload(content)

    told = served.house.result(answer.json()["id"])
    assert told["pid"] != served.process.pid
    assert (told["hash"], told["size"]) == (digest_of(content), size)
    assert (told["name"], told["type"], told["mark"]) == ("photo.jpg", "image/jpeg", "ours")
