"""The caller's own transaction between real processes: a server, its worker, and whoever kills the server."""

from __future__ import annotations

import http.client
import json
import sys
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import pytest

from outlast.address import address_of
from tests.polling import polled
from tests.postgres.callers import address_url, make_table, things
from tests.postgresql import free_port
from tests.worker.harness import House, Process

APP = """
import os
import signal
from collections.abc import Iterator
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

from app import note, wait_for
from outlast import BackgroundTasks, TaskQueue, in_worker

engine = create_engine({engine!r})


def get_db() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


app = FastAPI()
queue = TaskQueue(app, store={store!r}, worker="external", session=get_db)
INSERT = text('INSERT INTO "{schema}".things VALUES (:n)')


def work(n: int) -> int:
    with Session(engine) as session:
        found = session.execute(text('SELECT n FROM "{schema}".things WHERE n = :n'), {{"n": n}}).scalar()
    note("ran", n=n, found=found)
    return n


@app.get("/ready")
def ready(): ...


@app.post("/order/{{n}}")
def order(n: int, held: str, tasks: BackgroundTasks, db: Annotated[Session, Depends(get_db)]):
    def hold(*args):
        note(f"{{held}} the commit")
        wait_for("commit")

    if held == "before":
        event.listen(engine, "commit", hold)
    db.execute(INSERT, {{"n": n}})
    job = tasks.add_task(work, n)
    db.commit()
    if held == "after":
        hold()
    return job.id
"""


class Site:
    """That app, served, and a worker that knows it."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.port = free_port()
        make_table(house.url)
        words = {
            "engine": address_url(house.url, "psycopg"),
            "store": house.url,
            "schema": address_of(house.url).schema,
        }
        house.write("main", APP.format(**words))
        command = [str(Path(sys.executable).parent / "uvicorn"), "main:app", "--port", str(self.port)]
        self.server: Process = house.start(command)
        self.worker = house.worker("main")
        house.until(lambda: self.ask("GET", "/ready"), "the server answers")
        self.answers: list[object] = []

    def ask(self, method: str, path: str) -> bytes | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request(method, path)
            response = connection.getresponse()
            body = response.read()
            return body if response.status == 200 else None
        return None

    def order(self, n: int, *, held: str) -> threading.Thread:
        """Order in a thread, and wait until the commit is held."""

        def post() -> None:
            self.answers.append(self.ask("POST", f"/order/{n}?held={held}"))

        thread = threading.Thread(target=post)
        thread.start()
        self.house.noted(f"{held} the commit")
        return thread

    def runs(self) -> list[tuple[object, object]]:
        return [(note.more["n"], note.more["found"]) for note in self.house.diary("ran")]


@pytest.fixture
def site(house: House) -> Site:
    return Site(house)


def test_no_worker_sees_the_job_before_the_commit(house: House, site: Site) -> None:
    """It is held at the very commit, its row written; the worker is shown to look meanwhile, and takes what is behind.

    Break it: in Receipt._add_on, add it to the receipt as well, or commit it on a connection of ours.
    """
    request = site.order(1, held="before")

    house.result(house.add("main:work", {"n": 2}, priority=-1))
    assert [(record.task, record.view) for record in house.store.find()] == [("main:work", "succeeded")]
    house.open("commit")
    request.join()

    job = json.loads(site.answers[0])  # type: ignore[arg-type]
    assert house.result(job) == 1
    assert site.runs() == [(2, None), (1, 1)]  # and it found its data there


@pytest.mark.parametrize(("held", "there"), [("after", [1]), ("before", [])])
def test_a_server_killed_around_the_commit_leaves_both_or_neither(
    house: House, site: Site, held: str, there: list[int]
) -> None:
    """The commit is the receipt, whether or not the response has gone out."""
    request = site.order(1, held=held)
    site.server.kill()
    request.join()

    assert site.answers == [None]
    assert things(house.url) == there
    house.result(house.add("main:work", {"n": 2}, priority=-1))
    assert within_moments(lambda: sorted(str(n) for n, _ in site.runs()) == [*map(str, there), "2"] or None)


def within_moments(condition: Callable[[], bool | None]) -> bool:
    return bool(polled(condition, 10))
