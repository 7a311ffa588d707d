"""What a job of a request carries besides its arguments: its id, trace and context variables; and where they show."""

import asyncio
import json
import logging
import threading
from collections import Counter
from contextvars import ContextVar

import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from outlast import BackgroundTasks, LuggageRefused, StoreUnusable, TaskQueue, current_job
from outlast.job import Ended, Succeeded, is_id
from tests.contract.making import worker_record

tenant: ContextVar[object] = ContextVar("tenant", default="nobody")
seen: list = []


def look():
    seen.append((tenant.get(), current_job().request_id))


async def alook():
    look()


def fail():
    look()
    raise ZeroDivisionError


@pytest.fixture
def client(app, queue):
    @app.post("/twice")
    def twice(tasks: BackgroundTasks):
        tasks.add_task(look)
        tasks.add_task(alook)

    @app.post("/enqueue")
    async def enqueue():
        await queue.aenqueue(look)

    @app.post("/enqueue-in-a-thread")
    def enqueue_in_a_thread():
        queue.enqueue(look)

    @app.post("/late")
    async def late():
        asyncio.get_running_loop().call_soon(queue.enqueue, look)
        await asyncio.sleep(0)

    @app.post("/broken")
    def broken(tasks: BackgroundTasks):
        tasks.add_task(look)
        raise HTTPException(418)

    @app.websocket("/socket")
    async def socket(websocket: WebSocket, tasks: BackgroundTasks):
        await websocket.accept()
        tasks.add_task(look)
        await websocket.close()

    return TestClient(app)


def contexts(queue):
    """What the jobs in the store carry."""
    return [json.loads(job.context) for job in queue.tell(claimed)]


def claimed(store):
    """Every job, one of a request after the other."""
    store.enter(worker_record("w1", store.clock))
    jobs = []
    while some := store.claim("w1", 100):
        jobs += some
        store.settle([Ended(job.id, job.attempt, Succeeded()) for job in some])
    return jobs


@pytest.mark.parametrize("path", ["/twice", "/enqueue", "/enqueue-in-a-thread", "/late"])
def test_a_job_carries_the_id_that_the_client_gave_its_request(client, queue, path):
    client.post(path, headers={"X-Request-ID": "7f3c"})

    assert {context["request"] for context in contexts(queue)} == {"7f3c"}


@pytest.mark.parametrize("headers", [{}, {"X-Request-ID": "two words"}, {"X-Request-ID": "x" * 129}])
def test_without_a_sane_one_all_jobs_of_a_request_carry_one_of_ours(client, queue, headers):
    client.post("/twice", headers=headers)
    client.post("/twice", headers=headers)

    ids = Counter(context["request"] for context in contexts(queue))
    assert list(ids.values()) == [2, 2]
    assert all(map(is_id, ids))


def test_so_does_a_job_of_a_websocket(client, queue):
    with client.websocket_connect("/socket", headers={"X-Request-ID": "7f3c"}):
        pass

    assert contexts(queue) == [{"request": "7f3c"}]


def test_outside_a_request_there_is_none(client, queue):
    queue.enqueue(look)

    assert [job.context for job in queue.tell(claimed)] == [None]


def test_it_is_on_the_line_about_discarded_jobs(client, caplog):
    client.post("/broken", headers={"X-Request-ID": "7f3c"})

    [line] = [record.getMessage() for record in caplog.records if record.name == "outlast.request"]
    assert line.endswith("request=7f3c")


def test_it_is_on_the_line_about_a_commit_that_was_not_confirmed(client, queue, caplog, tmp_path):
    (tmp_path / "outlast.db").mkdir()

    assert client.post("/twice", headers={"X-Request-ID": "7f3c"}).status_code == 503

    [line] = [record.getMessage() for record in caplog.records if record.name == "outlast.request"]
    assert line.endswith("request=7f3c")


def test_and_on_the_line_about_one_that_was_added_late(client, caplog, tmp_path):
    (tmp_path / "outlast.db").mkdir()

    headers = {"X-Request-ID": "7f3c"}
    with pytest.raises(StoreUnusable), client.websocket_connect("/socket", headers=headers) as socket:
        socket.receive()

    [line] = [record.getMessage() for record in caplog.records if record.name == "outlast.request"]
    assert line.startswith("not committed: ")
    assert line.endswith("; request=7f3c")


def test_a_variable_that_cannot_travel_is_refused_at_add_task(app, store):
    queue = TaskQueue(app, store=store, worker="external", context=[tenant])

    @app.post("/")
    async def endpoint(tasks: BackgroundTasks):
        tenant.set(threading.Lock())
        with pytest.raises(LuggageRefused, match="cannot carry the context variable 'tenant'"):
            tasks.add_task(look)

    assert TestClient(app).post("/").status_code == 200
    queue.close()


@pytest.mark.parametrize("path", ["/twice", "/enqueue", "/enqueue-in-a-thread"])
def test_a_job_carries_the_trace_that_its_request_runs_in(app, client, queue, path):
    """Whatever has begun it: here a middleware of the app's."""
    tracer = TracerProvider().get_tracer("tests")
    ids = set()

    @app.middleware("http")
    async def traced(request, call_next):
        with tracer.start_as_current_span("request") as span:
            ids.add(trace.format_trace_id(span.get_span_context().trace_id))
            return await call_next(request)

    client.post(path)

    came = contexts(queue)
    assert {context["trace"]["traceparent"].split("-")[1] for context in came} == ids
    assert {context["queue"] for context in came} == {"default"}


# ---- inline


@pytest.fixture
def inline(store):
    """An app that runs its jobs itself."""
    seen.clear()
    app = FastAPI()
    app.state.queue = TaskQueue(app, store=store, worker="inline", context=[tenant])

    @app.post("/{name}/{task}")
    async def endpoint(name: str, task: str, tasks: BackgroundTasks):
        tenant.set(name)
        tasks.add_task({"look": look, "alook": alook, "fail": fail}[task])
        tenant.set("changed since")

    yield app
    app.state.queue.close()


@pytest.mark.parametrize("task", ["look", "alook"])
def test_inline_a_task_sees_what_was_set_when_it_was_added(inline, task):
    with TestClient(inline) as client:
        client.post(f"/acme/{task}", headers={"X-Request-ID": "7f3c"})

    assert seen == [("acme", "7f3c")]


def test_inline_nothing_of_it_is_left_afterwards(inline):
    """The timer runs what is left of a request; its jobs are added outside any."""
    with TestClient(inline) as client, pytest.raises(ZeroDivisionError):
        client.post("/acme/fail")
    assert tenant.get() == "nobody"

    async def run() -> None:
        queue = inline.state.queue
        await queue.aenqueue(alook)
        assert tenant.get() == "nobody"
        token = tenant.set("globex")
        await queue.aenqueue(alook)
        assert tenant.get() == "globex"
        tenant.reset(token)

    seen.clear()
    asyncio.run(run())
    assert seen == [("nobody", None), ("globex", None)]


def test_inline_the_lines_about_a_job_have_the_request(inline, caplog):
    caplog.set_level(logging.DEBUG, "outlast")
    with TestClient(inline) as client:
        client.post("/acme/look", headers={"X-Request-ID": "7f3c"})

    [line] = [record.getMessage() for record in caplog.records if record.name == "outlast.jobs"]
    assert line.startswith("succeeded ")
    assert line.endswith(" request=7f3c")
