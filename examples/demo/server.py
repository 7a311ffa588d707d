"""The demo's app as real processes, uvicorn and the worker it starts: begun, killed and ended here, each by its id."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

from examples.demo.processes import Process, alive, descendants
from examples.demo.trouble import Trouble

HOST = "127.0.0.1"
_ROOT = Path(__file__).resolve().parents[2]
_START = 30.0
"""Seconds a start may take."""
_GRACE = 12.0
"""Seconds for the server and its worker to end by themselves: the worker's own grace is 8."""


class Server:
    """One address and one data folder; the processes behind them come and go."""

    def __init__(self, data: Path, port: int, held: int) -> None:
        self.url = f"http://{HOST}:{port}"
        self.log = data / "server.log"
        self._data = data
        self._port = port
        self._held = held
        self._process: subprocess.Popen[bytes] | None = None
        self._worker: dict[Process, None] = {}

    @property
    def pid(self) -> int:
        return self._running().pid

    async def start(self) -> None:
        """Start the server; returns once it answers. Raises Trouble with the end of its log."""
        self._process = self._spawn()
        await self._answers()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "uvicorn",
            "examples.demo.app:app",
            "--host",
            HOST,
            "--no-access-log",
        ]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*command, "--port", str(self._port)],
                cwd=_ROOT,
                env=_environment() | {"DEMO_DATA": str(self._data)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[self._held],
                start_new_session=True,  # the terminal's Ctrl-C is for the director, who ends it in order
            )

    async def _answers(self) -> None:
        deadline = time.monotonic() + _START
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as client:
            while time.monotonic() < deadline:
                if self._running().poll() is not None:
                    raise Trouble(
                        f"the server ended at its start; its log, {self.log}, ends:\n{self._last_words()}"
                    )
                try:
                    await client.get("/ping", timeout=2)
                    return
                except httpx.TransportError:
                    await asyncio.sleep(0.02)
        raise Trouble(
            f"the server does not answer after {_START:g} s; its log, {self.log}, ends:\n{self._last_words()}"
        )

    def worker(self) -> list[Process]:
        """The living processes of the worker, also those whose server was killed."""
        if self._process is not None and self._process.poll() is None:
            self._worker |= dict.fromkeys(descendants(self._process.pid))
        return alive(list(self._worker))

    async def kill(self) -> None:
        """SIGKILL to the server process alone."""
        self.worker()
        self._running().kill()
        await asyncio.to_thread(self._running().wait)

    async def kill_tree(self) -> int:
        """SIGKILL to the server and to every process of its worker. How many that were."""
        worker = self.worker()
        self._running().kill()
        for process in worker:
            _kill(process)
        await asyncio.to_thread(self._running().wait)
        return len(worker) + 1

    async def stop(self) -> int:
        """End the server and its worker; how many of their processes had to be killed for it."""
        if self._process is None:
            return 0
        try:
            self.worker()
            self._process.terminate()
            await _until(lambda: self._running().poll() is not None, _GRACE)
            await _until(lambda: not self.worker(), _GRACE)
        finally:
            killed = self._kill_rest()
        return killed

    def _kill_rest(self) -> int:
        rest = self.worker()
        for process in rest:
            _kill(process)
        if self._running().poll() is None:
            self._running().kill()
            self._running().wait()
            return len(rest) + 1
        return len(rest)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise Trouble("the server was not started")
        return self._process

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-15:]) or "    (nothing)"


def choose_port(wanted: int | None) -> int:
    """The wanted port, or one that is free: 8000 if it is. Raises Trouble when the wanted one is taken."""
    for port in (8000, 0) if wanted is None else (wanted,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError as error:
                if wanted is not None:
                    raise Trouble(
                        f"port {wanted} cannot be had ({error.strerror}); "
                        "name another, or leave --port out for a free one"
                    ) from error
                continue
            return int(probe.getsockname()[1])
    raise Trouble(f"no port is free on {HOST}")


def _environment() -> dict[str, str]:
    """Ours, without what would lead the app to another store or worker."""
    return {name: value for name, value in os.environ.items() if not name.startswith("OUTLAST_")}


def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)


async def _until(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        if is_so() or time.monotonic() > deadline:
            return
        await asyncio.sleep(0.05)
