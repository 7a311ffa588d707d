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
    """What was left to do at some time, and what became of it."""

    backlog: int
    """Jobs that ended later than that."""
    seconds: float
    """How much later the last one ended."""
    succeeded: int


class Jobs:
    """The jobs of one store."""

    def __init__(self, url: str) -> None:
        self._url = url

    def unfinished(self) -> int:
        counts = self._counts()
        return sum(counts.values()) - counts["succeeded"] - counts["failed"] - counts["cancelled"]

    def drained(self, *, since: float = 0.0, seconds: float = 60.0) -> Drained:
        """Wait until every job has ended, and say what of it came after a time. Raises Broken when some do not end."""
        deadline = time.monotonic() + seconds
        while left := self.unfinished():
            if time.monotonic() > deadline:
                raise Broken(f"{left} jobs had not ended {seconds:g} s after the load: {self._counts()}")
            time.sleep(0.05)
        backlog, last = self._ask(
            "SELECT count(*), max(finished_at) FROM jobs WHERE finished_at > ?", since * 1e6
        )
        return Drained(backlog, last / 1e6 - since if backlog else 0.0, self._counts()["succeeded"])

    def span(self) -> tuple[float, float]:
        """When the first job started and the last one ended, in seconds since 1970."""
        first, last = self._ask("SELECT min(started_at), max(finished_at) FROM jobs")
        return first / 1e6, last / 1e6

    def _ask(self, sql: str, *parameters: float) -> tuple[int, int]:
        """Two numbers, from the store's own times."""
        with closing(sqlite3.connect(self._url.removeprefix("sqlite:///"))) as connection:
            first, second = connection.execute(sql, parameters).fetchone()
        return first, second

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
