"""Runs snippets: imported as a user's module would be, or served as a user would serve them."""

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
from fastapi.testclient import TestClient

from outlast import JobRecord
from tests.docs.pages import ROOT
from tests.polling import polled

FOLDER = ROOT / "docs" / "snippets"
SNIPPETS: dict[str, Path] = {
    "quickstart": ROOT / "examples" / "quickstart.py",
    **{file.stem: file for file in sorted(FOLDER.glob("*.py"))},
}
PATIENCE = 20.0
"""Seconds after which what was waited for is taken not to come."""


class Snippet:
    """A module that was imported from one file, under a name by which its tasks can be found."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    @classmethod
    @contextmanager
    def imported(cls, file: Path) -> Iterator["Snippet"]:
        spec = importlib.util.spec_from_file_location(file.stem, file)
        assert spec is not None
        assert spec.loader is not None
        module, other = importlib.util.module_from_spec(spec), sys.modules.pop(file.stem, None)
        sys.modules[file.stem] = module
        try:
            spec.loader.exec_module(module)
            yield cls(module)
        finally:
            if hasattr(module, "queue"):
                module.queue.close()
            del sys.modules[file.stem]
            if other is not None:
                sys.modules[file.stem] = other

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)

    def client(self) -> TestClient:
        return TestClient(self.module.app)

    def jobs(self) -> list[JobRecord]:
        """All of its store, oldest first."""
        return self.module.queue.ask(lambda store: store.find())[::-1]

    def only_job(self) -> JobRecord:
        [job] = self.jobs()
        return job


@contextmanager
def served(*command: str, folder: Path, port: int, **settings: str) -> Iterator[httpx.Client]:
    """A server that runs in a folder, with its worker; a client of it, once it answers."""
    environment = {**os.environ, "OUTLAST_WORKER": "process", **settings}
    server = subprocess.Popen([sys.executable, *command], cwd=folder, env=environment)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            _until_it_answers(client, server)
            yield client
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(PATIENCE)


@contextmanager
def served_by_uvicorn(name: str, *, folder: Path, app_dir: Path = FOLDER) -> Iterator[httpx.Client]:
    """`uvicorn NAME:app`, run in a folder."""
    port = free_port()
    command = ("-m", "uvicorn", f"{name}:app", "--app-dir", str(app_dir), "--port", str(port))
    with served(*command, folder=folder, port=port) as client:
        yield client


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _until_it_answers(client: httpx.Client, server: subprocess.Popen[bytes]) -> None:
    def answers() -> bool:
        assert server.poll() is None, "the server ended; what it said is above"
        try:
            client.get("/openapi.json")
        except httpx.ConnectError:
            return False
        return True

    assert polled(answers, PATIENCE), "the server does not answer"
