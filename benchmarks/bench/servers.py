"""An app under a real uvicorn, as it would be served: uvloop, httptools, one process; access log off."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import Started, started

_START = 30.0
"""Seconds a server may take to start."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    process: Started
    port: int


@contextmanager
def serving(
    app: str, folder: Path, environment: Mapping[str, str] | None = None, *, python: str = sys.executable
) -> Iterator[Server]:
    """A server for the length of a `with`; its log goes into the folder."""
    port = free_port()
    words = f"--port {port} --loop uvloop --http httptools --no-access-log --log-level warning".split()
    with started([python, "-m", "uvicorn", app, *words], folder / "server.log", environment) as process:
        process.wait_until(lambda: listens(port), what=f"{app} does not listen", seconds=_START)
        yield Server(process, port)


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
