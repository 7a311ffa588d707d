"""An app that takes uploads, served by a real uvicorn in a house, for the tests and the measurement of them."""

from __future__ import annotations

import hashlib
import socket
import sys
from collections.abc import Mapping
from typing import Any

import httpx

from outlast.files.folder import Folder
from tests.polling import polled
from tests.worker.harness import PATIENCE, House, Process

APP = '''
import hashlib, os, resource
from pathlib import Path

from fastapi import FastAPI, UploadFile
from outlast import BackgroundTasks, TaskQueue

HERE = Path(__file__).parent
app = FastAPI()
queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}", children=1)
app.include_router(queue.router, prefix="/jobs")
CHUNK = 1 << 18


def most_memory():
    """The most that this process has had at once, in bytes."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:  # macOS, which tells it in bytes
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def look(file: UploadFile):
    before, digest = most_memory(), hashlib.sha256()
    while chunk := await file.read(CHUNK):
        digest.update(chunk)
    return {
        "hash": digest.hexdigest(), "size": file.size, "name": file.filename, "type": file.content_type,
        "mark": file.headers.get("x-mark"), "pid": os.getpid(), "grew": most_memory() - before,
    }


@app.post("/upload")
async def upload(file: UploadFile, background_tasks: BackgroundTasks):
    await file.read(3)
    job = background_tasks.add_task(look, file)
    await file.close()
    return {"id": job.id}


@app.get("/memory")
async def memory():
    return {"pid": os.getpid(), "most": most_memory()}
'''


class Server:
    """uvicorn in a house, and what is asked of it."""

    def __init__(self, house: House, *, env: Mapping[str, str] | None = None) -> None:
        self.house = house
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=PATIENCE * 10)
        self.process = self.start(env or {})

    def start(self, env: Mapping[str, str]) -> Process:
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(self.port)]
        self.process = self.house.start(command, env=dict(env))
        assert polled(self._answers, PATIENCE), self.process.log
        return self.process

    def _answers(self) -> bool:
        try:
            return self.client.get("/memory").status_code == 200
        except httpx.TransportError:
            return False

    def upload(self, content: Any, name: str = "photo.jpg") -> httpx.Response:
        file = (name, content, "image/jpeg", {"x-mark": "ours"})
        return self.client.post("/upload", files={"file": file})

    def most_memory(self) -> int:
        most: int = self.client.get("/memory").json()["most"]
        return most

    @property
    def files(self) -> Folder:
        return Folder(str(self.house.folder / "outlast.db-files"))

    def close(self) -> None:
        self.client.close()


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
