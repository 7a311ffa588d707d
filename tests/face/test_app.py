"""TaskQueue and its app: when it may be made, what it does to the app, when a worker is started and when not."""

import asyncio
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient

from outlast import AppRefused, BackgroundTasks, OptionRefused, TaskQueue
from outlast.fastapi import queue as fastapi_queue
from tests.asgi import call, tasks


def job(): ...


class Hosts:
    """Stands in for the worker's Host and notes what is asked of it."""

    def __init__(self, monkeypatch):
        self.events = []
        monkeypatch.setattr(fastapi_queue, "Host", lambda settings: self)

    def start(self):
        asyncio.get_running_loop()
        self.events.append("start")

    async def astop(self):
        self.events.append("stop")


@pytest.fixture
def hosts(monkeypatch):
    return Hosts(monkeypatch)


def served(store, **options):
    app = FastAPI(**options)
    queue = TaskQueue(app, store=store)

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(job)

    return app, queue


# ---- what may be


def test_a_second_queue_for_the_same_app_is_refused(app, queue):
    with pytest.raises(AppRefused, match="use that one"):
        TaskQueue(app, store="sqlite:///other.db")


def test_an_app_that_has_started_is_refused(app):
    TestClient(app).get("/")

    with pytest.raises(AppRefused, match="already started"):
        TaskQueue(app)


@pytest.mark.parametrize("given", ["sqlite:///outlast.db", APIRouter()])
def test_what_is_no_app_is_refused(given):
    with pytest.raises(AppRefused, match=r"is no FastAPI app; .*TaskQueue\(store=…\)"):
        TaskQueue(given)


def test_a_store_in_memory_with_a_worker_process_is_refused(app):
    with pytest.raises(OptionRefused, match=r"sqlite://.*worker='process'.*inline"):
        TaskQueue(app, store="sqlite://")


async def test_it_may_be_made_before_or_after_routes_routers_and_middlewares(store):
    app = FastAPI()
    router = APIRouter()

    @router.get("/early")
    async def early(background: BackgroundTasks):
        background.add_task(job)

    app.include_router(router)
    queue = TaskQueue(app, store=store, worker="external")
    seen = []

    @app.middleware("http")
    async def added_later(request, call_next):
        response = await call_next(request)
        seen.append(tasks(queue))
        return response

    @app.get("/late")
    async def late(background: BackgroundTasks):
        background.add_task(job)

    assert (await call(app, queue, "/early")).at("http.response.start") == ["job"]
    assert (await call(app, queue, "/late")).at("http.response.start") == ["job", "job"]
    assert seen == [[], ["job"]]
    queue.close()


def test_the_app_s_own_middlewares_are_as_they_were(app, queue):
    before = list(app.user_middleware)

    TestClient(app).get("/")

    assert app.user_middleware == before


async def test_the_user_s_handler_of_500_answers_for_what_fails(app, queue):
    @app.exception_handler(500)
    async def handle(request, error):
        return PlainTextResponse("sorry", 500)

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(job)
        raise ValueError

    exchange = await call(app, queue, "/")

    assert (exchange.status, exchange.body, tasks(queue)) == (500, b"sorry", [])


# ---- the worker beside the server


def test_nothing_is_started_or_opened_when_it_is_made(hosts, store, tmp_path):
    served(store)

    assert hosts.events == []
    assert list(tmp_path.iterdir()) == []


def test_the_worker_is_started_at_start_up_and_stopped_at_shutdown(hosts, store):
    order = hosts.events

    @asynccontextmanager
    async def lifespan(app):
        order.append("start-up")
        yield {"state": "kept"}
        order.append("shutdown")

    app, _ = served(store, lifespan=lifespan)

    with TestClient(app) as client:
        client.get("/")
        client.get("/")
        assert client.app_state == {"state": "kept"}
    assert order == ["start-up", "start", "stop", "shutdown"]

    with TestClient(app):
        pass
    assert order[4:] == ["start-up", "start", "stop", "shutdown"]


def test_a_start_up_that_fails_starts_no_worker(hosts, store):
    @asynccontextmanager
    async def lifespan(app):
        raise ValueError("no database")
        yield

    app, _ = served(store, lifespan=lifespan)

    with pytest.raises(ValueError, match="no database"), TestClient(app):
        pass
    assert hosts.events == []


def test_without_a_lifespan_it_is_started_at_the_first_commit(hosts, store):
    app, queue = served(store)

    TestClient(app).get("/nowhere")
    assert hosts.events == []

    TestClient(app).get("/")
    assert hosts.events == ["start"]
    queue.close()


def test_a_mounted_app_s_worker_is_started_at_its_first_commit(hosts, store):
    top = FastAPI()
    app, queue = served(store)
    top.mount("/sub", app)

    with TestClient(top) as client:
        assert hosts.events == []
        client.get("/sub/")
    assert hosts.events == ["start"]
    queue.close()


@pytest.mark.parametrize("worker", ["external", "inline"])
def test_no_worker_is_started_where_none_is_wanted(hosts, store, worker):
    app = FastAPI()
    TaskQueue(app, store=store, worker=worker)

    with TestClient(app) as client:
        client.get("/")
    assert hosts.events == []


def test_a_queue_without_an_app_starts_no_worker(hosts, store):
    queue = TaskQueue(store=store)

    queue.enqueue(job)
    assert tasks(queue) == ["job"]
    asyncio.run(_aenqueue(queue))
    assert hosts.events == []
    queue.close()


async def _aenqueue(queue):
    await queue.aenqueue(job)


def test_what_shutdown_code_enqueues_is_committed(hosts, store):
    @asynccontextmanager
    async def lifespan(app):
        yield
        await queue.aenqueue(job)

    app, queue = served(store, lifespan=lifespan)

    with TestClient(app):
        pass

    assert tasks(queue) == ["job"]
    assert hosts.events == ["start", "stop"]
    queue.close()


# ---- in a worker's child


IN_A_CHILD = """
import asyncio, sys
from outlast import role
role.enter_worker()
role.has_imported()
from fastapi import FastAPI
from outlast import TaskQueue, in_worker
from outlast.fastapi import queue as module

def forbidden(settings):
    raise AssertionError("started a worker")

module.Host = forbidden
app = FastAPI()
queue = TaskQueue(app, store=sys.argv[1])

def job(): ...

async def main():
    async with app.router.lifespan_context(app):
        assert in_worker()
        job_handle = await queue.aenqueue(job)
        assert job_handle.state == "queued"

asyncio.run(main())
assert queue.job("x") is not None
queue.close()
print("inert")
"""


def test_in_a_worker_s_child_it_starts_nothing_and_enqueues_all_the_same(tmp_path):
    (tmp_path / "main.py").write_text(IN_A_CHILD)
    store = f"sqlite:///{tmp_path / 'outlast.db'}"

    command = [sys.executable, "main.py", store]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert (run.stdout, run.returncode) == ("inert\n", 0), run.stderr
