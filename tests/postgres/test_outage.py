"""A database that is away: the worker's log has a line when it goes and one when it is back, however long it tries."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import FastAPI

from outlast import TaskQueue
from outlast.store.postgres_schema import migrate
from tests.polling import apolled
from tests.postgresql import Server
from tests.worker.harness import House


class Gate:
    """Listens where the database did, and sends everybody away."""

    def __init__(self, port: int) -> None:
        self.sent_away = 0
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._stand, daemon=True).start()

    def _stand(self) -> None:
        while True:
            try:
                visitor, _ = self._listener.accept()
            except OSError:  # closed
                return
            visitor.close()
            self.sent_away += 1

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextmanager
def away(server: Server) -> Iterator[Gate]:
    """While a crashed database is away."""
    server.stop(mode="immediate")
    gate = Gate(server.port)
    try:
        yield gate
    finally:
        gate.close()
        server.start()


def test_a_line_when_it_goes_and_one_when_it_is_back(server: Server, tmp_path: Path) -> None:
    """And what ended meanwhile is settled.

    Break it: in Outage.failed, tell each time; in Neighbours, tell of a lost listener by yourself.
    """
    url = f"{server.url}?schema=outage"
    migrate(url)
    house = House(tmp_path, url)
    try:
        worker = house.worker(lease=timedelta(minutes=1))
        job = house.add("app:hold", {"door": "door"})
        house.noted("started", job)
        with away(server) as gate:
            house.open("door")
            house.noted("done", job)
            house.until(lambda: gate.sent_away > 3, "some tries to connect")

        line = house.logged(worker, "store is back after ")
        assert house.result(job) == 1
        assert worker.log.count("store failed: ") == 1
        assert float(re.findall(r"after ([\d.]+) s", line)[0]) > 1.5
    finally:
        house.close()


async def test_inline_jobs_that_are_due_later_run_when_it_is_back(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """Break it: in Inline._free_jobs, let the error pass."""
    migrate(server.url)
    app = FastAPI()
    queue = TaskQueue(app, store=server.url, worker="inline")
    async with app.router.lifespan_context(app):
        with away(server) as gate:
            assert await apolled(lambda: gate.sent_away > 1, 30)
        assert await apolled(lambda: "store is back after" in caplog.text, 30)
        job = await queue.options(json.dumps, delay=timedelta(milliseconds=10)).aenqueue(1)
        await job.wait(timedelta(seconds=30))

    assert caplog.text.count("store failed: ") == 1
