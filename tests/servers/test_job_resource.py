"""A job as a resource of a real server with a real worker: its events, over a restart too, and the server's end."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx
import pytest

from tests.worker.harness import PRELUDE, House, Process

APP = (
    PRELUDE
    + """
import logging

from fastapi import FastAPI, Request
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}", worker="external", children=1)
app.include_router(queue.router, prefix="/jobs")
log = logging.getLogger("app")


async def steps(doors: int):
    for number in range(doors):
        log.error("step %d", number + 1)
        current_job().progress(number + 1, doors)
        await await_for(f"door{number + 1}")
    return doors


@app.post("/steps/{doors}")
async def start(doors: int, tasks: BackgroundTasks, request: Request):
    return queue.accepted(tasks.add_task(steps, doors), request)


@app.post("/waiting/{doors}")
async def start_and_wait(doors: int, request: Request):
    return await queue.answered(await queue.aenqueue(steps, doors), request)
"""
)


class Server:
    """A uvicorn in the house, and requests to it."""

    def __init__(self, house: House, port: int = 0) -> None:
        with closing(socket.socket()) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(self.port)]
        self.process: Process = house.start(command)
        house.logged(self.process, "Uvicorn running")
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=20)

    def request(self, method: str, path: str, **headers: str) -> httpx.Response:
        return self.client.request(method, path, headers=headers)

    def stream(self, job: str, **headers: str) -> Stream:
        request = self.client.build_request("GET", f"/jobs/{job}/events", headers=headers)
        response = self.client.send(request, stream=True)
        assert response.status_code == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")
        return Stream(response)

    def begin(self, doors: int) -> str:
        answer = self.request("POST", f"/steps/{doors}")
        assert answer.status_code == 202
        assert answer.headers["Retry-After"] == "1"
        job: str = answer.json()["id"]
        return job


@dataclass
class Stream:
    """Server-sent events as a browser reads them."""

    response: httpx.Response
    last_id: str = ""
    retry: int | None = None
    seen: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._events = self._read()

    def _read(self) -> Iterator[tuple[str, dict[str, Any]]]:
        name, data = "", ""
        for line in self.response.iter_lines():
            key, _, value = line.partition(": ")
            if not line and data:
                self.seen.append((name, json.loads(data)))
                yield self.seen[-1]
                name, data = "", ""
            name = value if key == "event" else name
            data = value if key == "data" else data
            self.last_id = value if key == "id" else self.last_id
            self.retry = int(value) if key == "retry" else self.retry

    def until(self, name: str, **wanted: object) -> dict[str, Any]:
        for event, data in self._events:
            if event == name and wanted.items() <= data.items():
                return data
        raise AssertionError(f"the stream ended without {name} {wanted}; it had {self.seen}")

    def rest(self) -> list[tuple[str, dict[str, Any]]]:
        return list(self._events)


@pytest.fixture
def worked(house: House) -> House:
    house.write("app", APP)
    house.worker(children=1)
    return house


@pytest.fixture
def serve(worked: House) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def serve(port: int = 0) -> Server:
        servers.append(Server(worked, port))
        return servers[-1]

    yield serve
    for server in servers:
        server.client.close()


def told(stream: Stream) -> list[object]:
    """What a stream had, in short."""
    words = {"state": "view", "progress": "done", "log": "text"}
    return [data[words[name]] for name, data in stream.seen]


def test_events_are_what_happens_until_the_end_and_then_the_browser_stays_away(worked, serve):
    server = serve()
    job = server.begin(1)
    events = server.stream(job)
    assert events.until("progress", done=1)["total"] == 1
    worked.open("door1")

    assert events.until("state", state="succeeded")["result"] == 1
    assert events.rest() == []
    assert events.retry == 1000
    assert told(events)[-1] == "succeeded"
    assert "step 1" in told(events)
    again = server.request("GET", f"/jobs/{job}/events", **{"Last-Event-ID": events.last_id})
    assert again.status_code == 204


def test_a_stream_goes_on_where_it_was_after_a_restart_of_the_server(worked, serve):
    """Break it: in Seen.read, return what has seen nothing; or leave the line out of an event's id."""
    first = serve()
    job = first.begin(3)
    before = first.stream(job)
    before.until("progress", done=1)
    first.process.kill()
    worked.open("door1")
    worked.reached(job, lambda job: job.progress is not None and job.progress.done == 2, "the second step")

    second = serve(first.port)
    after = second.stream(job, **{"Last-Event-ID": before.last_id})
    after.until("progress", done=2)
    worked.open("door2")
    after.until("progress", done=3)
    worked.open("door3")
    after.until("state", state="succeeded")

    texts = [text for text in told(before) + told(after) if str(text).startswith("step")]
    assert texts == ["step 1", "step 2", "step 3"]
    assert [step for step in told(before) + told(after) if isinstance(step, int)] == [1, 2, 3]


def test_many_who_watch_see_the_same(worked, serve):
    server = serve()
    job = server.begin(1)
    streams = [server.stream(job) for _ in range(5)]
    for each in streams:
        each.until("progress", done=1)
    worked.open("door1")

    assert [each.until("state", state="succeeded")["result"] for each in streams] == [1] * 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_open_stream_does_not_delay_the_end_of_the_server(worked, serve, number):
    """Break it: do not follow signals in watching.py."""
    server = serve()
    events = server.stream(server.begin(1))
    events.until("progress", done=1)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)) as waiting:
        waiting.request("GET", f"/jobs/{server.begin(1)}", headers={"Prefer": "wait=25"})
        server.request("GET", "/jobs/this-one-is-answered-after-the-other-was-read")

        asked = monotonic()
        server.process.signal(number)
        events.rest()
        answer = waiting.getresponse()
        server.process.wait(10)

    assert monotonic() - asked < 5
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=25")


def test_who_leaves_is_forgotten(worked, serve):
    """The server looks no more for what nobody watches."""
    server = serve()
    job = server.begin(1)
    events = server.stream(job)
    events.until("progress", done=1)
    events.response.close()
    worked.open("door1")
    worked.ended(job)

    assert server.request("GET", f"/jobs/{job}").status_code == 200
    assert "Traceback" not in server.process.log


def test_a_client_may_wait_for_the_end(worked, serve):
    server = serve()
    worked.open("door1")

    in_time = server.request("POST", "/waiting/1", Prefer="respond-async, wait=20")
    late = server.request("POST", "/waiting/2", Prefer="wait=1")
    at_once = server.request("POST", "/waiting/2")

    status = in_time.json()
    assert (in_time.status_code, status["state"], status["result"]) == (200, "succeeded", 1)
    assert in_time.headers["Preference-Applied"] == "wait=20"
    assert in_time.headers["Location"].endswith(status["id"])
    assert (late.status_code, late.headers["Preference-Applied"], late.headers["Retry-After"]) == (
        202,
        "wait=1",
        "1",
    )
    assert (at_once.status_code, at_once.headers.get("Preference-Applied")) == (202, None)
    job = late.json()["id"]
    running = server.request("GET", f"/jobs/{job}", Prefer="wait=1")
    assert (running.status_code, running.json()["state"]) == (200, "running")
    assert (running.headers["Preference-Applied"], running.headers["Retry-After"]) == ("wait=1", "1")
