"""Outlast seen from outside: what its store holds, and a worker run by hand."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.processes import HERE, Broken, Started
from outlast.store import open_store
from outlast.target import Target
from outlast.worker.settings import SLOTS, Settings

APP = "bench.apps.durable:app"
CHILDREN = 2


def url_in(folder: Path) -> str:
    """The store of a measurement."""
    return f"sqlite:///{folder / 'outlast.db'}"


@dataclass(frozen=True, slots=True)
class Drained:
    """What was left to do when a load ended, and what became of it."""

    backlog: int
    seconds: float
    succeeded: int


class Jobs:
    """The jobs of one store."""

    def __init__(self, url: str) -> None:
        self._url = url

    def unfinished(self) -> int:
        counts = self._counts()
        return sum(counts.values()) - counts["succeeded"] - counts["failed"] - counts["cancelled"]

    def drained(self, *, seconds: float = 60.0) -> Drained:
        """Wait until every job has ended. Raises Broken when some have not in time."""
        began = time.monotonic()
        backlog = left = self.unfinished()
        while left and time.monotonic() - began < seconds:
            time.sleep(0.05)
            left = self.unfinished()
        if left:
            raise Broken(f"{left} jobs had not ended {seconds:g} s after the load: {self._counts()}")
        return Drained(backlog, time.monotonic() - began, self._counts()["succeeded"])

    def span(self) -> tuple[float, float]:
        """When the first job started and the last one ended, in seconds since 1970."""
        path = self._url.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as connection:
            first, last = connection.execute("SELECT min(started_at), max(finished_at) FROM jobs").fetchone()
        return first / 1e6, last / 1e6

    def _counts(self) -> dict[str, int]:
        with closing(open_store(self._url, create=False)) as store:
            return store.counts()


@contextmanager
def working(folder: Path, environment: dict[str, str] | None = None) -> Iterator[Started]:
    """A worker with two children on the store of a folder, for the length of a `with`."""
    settings = Settings(
        url=url_in(folder), target=_target(), children=CHILDREN, slots=SLOTS, log_level="WARNING"
    )
    reading, writing = os.pipe()
    os.write(writing, json.dumps(settings.to_message()).encode() + b"\n")
    command = [sys.executable, "-P", "-m", "outlast.worker", "supervise", str(reading)]
    process = Started(command, folder / "worker.log", environment or {}, pass_fds=[reading])
    os.close(reading)
    os.close(writing)
    try:
        yield process
    finally:
        process.end()


def _target() -> Target:
    module, _, attribute = APP.partition(":")
    return Target(module, attribute, False, (str(HERE), *sys.path), str(HERE))
