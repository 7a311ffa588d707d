"""BackgroundTasks as the name that users import: one object a request, handles, classes, and what is made by hand."""

import inspect
from typing import Annotated
from unittest import mock

import fastapi
import pytest
from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.testclient import TestClient
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware

import outlast
from outlast import AppRefused, BackgroundTasks, Job, JobNotFound, State, TaskQueue, Why
from outlast.fastapi import seam
from outlast.luggage import Signature
from tests.asgi import call, jobs, tasks

ran: list[str] = []


def note(text: str = "", queue: str = "", func: str = "", self: str = ""):
    ran.append(text)
    return text, queue, func, self


async def anote(text: str):
    ran.append(text)


def other(): ...


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()


# ---- one object a request


async def test_everybody_in_a_request_has_the_same_object(app, queue):
    seen = []

    def sub(background: BackgroundTasks):
        seen.append(background)

    async def dependency(background: BackgroundTasks, _: Annotated[None, Depends(sub)]):
        seen.append(background)

    class Service:
        def __init__(self, background: BackgroundTasks):
            seen.append(background)

    async def uncached(background: BackgroundTasks):
        seen.append(background)

    router = APIRouter(dependencies=[Depends(dependency)])

    @router.get("/")
    def add(background: BackgroundTasks, service: Annotated[Service, Depends()]):
        seen.append(background)
        for one in seen:
            one.add_task(note)

    app.include_router(
        router, dependencies=[Depends(uncached, use_cache=False), Depends(uncached, use_cache=False)]
    )

    await call(app, queue, "/")

    assert len(seen) >= 5
    assert len(set(map(id, seen))) == 1
    assert len(jobs(queue)) == len(seen)


async def test_requests_do_not_share_one(app, queue):
    seen = []

    @app.get("/")
    async def add(background: BackgroundTasks):
        seen.append(background)

    await call(app, queue, "/")
    await call(app, queue, "/")

    assert seen[0] is not seen[1]


@pytest.mark.parametrize("scope", ["request", "function"])
@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_dependencies_with_yield_take_it(app, queue, scope, kind):
    def unit(background: BackgroundTasks):
        background.add_task(note, "before")
        yield background

    async def async_unit(background: BackgroundTasks):
        background.add_task(note, "before")
        yield background

    @app.get("/")
    async def add(unit: Annotated[object, Depends(unit if kind == "def" else async_unit, scope=scope)]):
        unit.add_task(note, "after")

    assert (await call(app, queue, "/")).status == 200
    assert tasks(queue) == ["note", "note"]


@pytest.mark.parametrize("annotation", [BackgroundTasks | None, list[BackgroundTasks]])
def test_an_annotation_that_only_holds_the_name_is_refused(app, annotation):
    """FastAPI would make a query or body parameter of it: always None, and nothing added without a word."""

    def add(background: annotation = None):
        pass

    with pytest.raises(AppRefused, match="annotate it with `BackgroundTasks` alone"):
        app.get("/")(add)


# ---- handles


async def test_add_task_returns_a_handle_that_is_queued_until_it_is_committed(app, queue):
    seen = []

    @app.get("/")
    def add(background: BackgroundTasks):
        job = background.add_task(note)
        seen.extend([job, job.state, job.attempt, job.result, job.error])
        with pytest.raises(JobNotFound):
            job.record()
        return {"job": job.id}

    exchange = await call(app, queue, "/")

    job = seen[0]
    assert isinstance(job, Job)
    assert seen[1:] == [State.QUEUED, 0, None, None]
    assert job.id.encode() in exchange.body
    assert job.record().task == f"{__name__}:note"
    assert queue.job(job.id) == job


async def test_a_job_that_is_not_committed_yet_says_why_it_does_not_run(app, queue):
    told, added = [], []

    @app.get("/")
    async def add(background: BackgroundTasks):
        job = background.add_task(note)
        told.extend([*await job.aexplain(), *job.explain()])
        added.append(job)

    await call(app, queue, "/")

    assert [reason.why for reason in told] == [Why.HELD, Why.HELD]
    assert "not committed yet" in told[0].text
    assert [reason.why for reason in added[0].explain()] == [Why.NO_WORKER]


async def test_the_handle_of_a_discarded_job_says_that_there_is_none(app, queue):
    seen = []

    @app.get("/")
    async def add(background: BackgroundTasks):
        seen.append(background.add_task(note))
        raise fastapi.HTTPException(409)

    await call(app, queue, "/")
    queue.tell(lambda store: store.counts())

    with pytest.raises(JobNotFound):
        _ = seen[0].state
    with pytest.raises(JobNotFound):
        seen[0].explain()


async def test_to_wait_for_a_job_in_the_endpoint_that_adds_it_would_never_end(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        await background.add_task(note).wait()

    exchange = await call(app, queue, "/")

    assert isinstance(exchange.error, JobNotFound)
    assert "await queue.aenqueue" in str(exchange.error)


async def test_a_job_cannot_be_cancelled_before_it_is_committed(app, queue):
    """Not "it was never committed, or pruned", which would send the reader to look in the wrong place."""
    told = []

    @app.get("/")
    async def add(background: BackgroundTasks):
        job = background.add_task(note)
        for cancel in (job.acancel, lambda: to_thread.run_sync(job.cancel)):
            with pytest.raises(JobNotFound) as refused:
                await cancel()
            told.append(str(refused.value))

    await call(app, queue, "/")

    assert len(told) == 2
    assert all(
        "is committed when the response starts, so there is nothing to cancel yet" in one for one in told
    )


async def test_a_thread_that_adds_while_the_response_starts_loses_nothing(app, queue):
    receipts = []

    class Stray:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            await self.app(scope, receive, send)
            receipts[0].jobs.append(queue.prepare(other, (), {}))  # by a thread that saw the receipt open

    app.add_middleware(Stray)

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note)
        receipts.append(background._jobs)

    await call(app, queue, "/")

    assert tasks(queue) == ["note", "other"]


async def test_every_keyword_belongs_to_the_function(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note, text="t", queue="q", func="f", self="s")

    assert (await call(app, queue, "/")).status == 200
    [job] = jobs(queue)
    args, kwargs = Signature.of(note).unpack(job.luggage)
    assert job.queue == "default"
    assert note(*args, **kwargs) == ("t", "q", "f", "s")


async def test_the_function_may_be_given_by_name_as_in_fastapi(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(func=note, text="t")

    assert (await call(app, queue, "/")).status == 200
    assert tasks(queue) == ["note"]


# ---- a class


def test_it_is_a_class_for_whoever_asks():
    tasks = BackgroundTasks()

    assert isinstance(tasks, BackgroundTasks)
    assert isinstance(tasks, fastapi.BackgroundTasks)
    assert not isinstance(fastapi.BackgroundTasks(), BackgroundTasks)
    assert issubclass(type(tasks), BackgroundTasks)
    assert repr(BackgroundTasks) == "outlast.BackgroundTasks"
    assert list(inspect.signature(BackgroundTasks.add_task).parameters) == ["self", "func", "args", "kwargs"]


def test_it_can_be_subclassed():
    class Mine(BackgroundTasks):
        def add_twice(self, func):
            return self.add_task(func), self.add_task(func)

    assert isinstance(Mine(), BackgroundTasks)
    assert issubclass(Mine, fastapi.BackgroundTasks)
    assert Mine().tasks == ()


def test_its_name_can_be_patched(monkeypatch):
    with mock.patch("outlast.BackgroundTasks") as patched:
        outlast.BackgroundTasks().add_task(note)
    assert patched.return_value.add_task.call_args == mock.call(note)
    assert outlast.BackgroundTasks is BackgroundTasks


def test_its_methods_can_be_patched(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note, "text")

    with mock.patch.object(BackgroundTasks, "add_task") as add_task:
        TestClient(app).get("/")
    TestClient(app).get("/")

    add_task.assert_called_once_with(note, "text")
    assert tasks(queue) == ["note"]


def test_a_test_can_override_what_is_injected(app, queue):
    fake = mock.Mock()

    @app.get("/")
    async def add(background: Annotated[object, Depends(lambda: fake)]):
        background.add_task(note)

    TestClient(app).get("/")

    fake.add_task.assert_called_once_with(note)


# ---- by hand


@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_made_by_hand_and_attached_to_a_response_it_is_committed_with_it(app, queue, kind):
    def add():
        background = BackgroundTasks()
        background.add_task(note)
        return PlainTextResponse("done", background=background)

    async def async_add():
        return add()

    app.get("/")(add if kind == "def" else async_add)

    exchange = await call(app, queue, "/")

    assert exchange.at("http.response.start") == ["note"]
    assert tasks(queue) == ["note"]


async def test_it_takes_tasks_made_by_hand(app, queue):
    @app.get("/")
    async def add():
        return PlainTextResponse("done", background=BackgroundTasks([BackgroundTask(note, "text")]))

    await call(app, queue, "/")

    assert tasks(queue) == ["note"]


async def test_made_by_hand_it_is_discarded_when_the_endpoint_fails(app, queue):
    """Without FastAPI's exit stacks nothing tells of it: the one thing that the public form loses here."""

    @app.get("/")
    async def add():
        BackgroundTasks().add_task(note)
        raise fastapi.HTTPException(409)

    await call(app, queue, "/")

    assert tasks(queue) == ([] if seam.STACKS else ["note"])


async def test_made_by_an_exception_handler_it_is_committed_though_the_endpoint_s_are_not(app, queue):
    @app.exception_handler(ValueError)
    async def handle(request: Request, error: ValueError):
        background = BackgroundTasks()
        background.add_task(other)
        return JSONResponse("sorry", 400, background=background)

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note)
        raise ValueError

    exchange = await call(app, queue, "/")

    assert exchange.status == 400
    assert tasks(queue) == ["other"]


async def test_made_by_a_middleware_it_is_committed(app, queue):
    class Adding(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            response = await call_next(request)
            response.background = BackgroundTasks([BackgroundTask(other)])
            return response

    app.add_middleware(Adding)

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note)

    exchange = await call(app, queue, "/")

    assert exchange.at("http.response.start") == ["note", "other"]


def module_task_queue() -> TaskQueue:
    return TaskQueue(store="sqlite://", worker="inline")


async def test_made_outside_a_request_it_commits_when_called():
    queue = module_task_queue()
    declared = queue.task(anote)
    background = BackgroundTasks()
    job = background.add_task(declared, "text")
    background.add_task(declared.options(priority=3), "more")

    assert job.state is State.QUEUED
    assert [task.args for task in background.tasks] == [("text",), ("more",)]
    await background()

    assert ran == ["text", "more"]
    assert job.state is State.SUCCEEDED
    queue.close()


async def test_made_outside_a_request_it_raises_what_a_task_raises_inline():
    queue = module_task_queue()
    background = BackgroundTasks()
    background.add_task(queue.options(fail))

    with pytest.raises(ZeroDivisionError):
        await background()
    queue.close()


def fail():
    raise ZeroDivisionError


def test_made_outside_a_request_a_plain_function_needs_to_know_its_queue(queue):
    neighbour = TaskQueue(store="sqlite://", worker="inline")
    with pytest.raises(AppRefused, match=r"several TaskQueues.*@queue\.task"):
        BackgroundTasks().add_task(note)
    neighbour.close()


# ---- apps


async def test_without_a_task_queue_it_says_what_is_missing(store):
    app = FastAPI()
    lost = TaskQueue(store="sqlite://", worker="external")

    @app.get("/somewhere")
    async def add(background: BackgroundTasks): ...

    exchange = await call(app, lost, "/somewhere")

    assert isinstance(exchange.error, AppRefused)
    assert "/somewhere" in str(exchange.error)
    assert "queue = TaskQueue(app)" in str(exchange.error)


async def test_a_mounted_app_with_a_queue_of_its_own_uses_that(app, queue, tmp_path):
    inner = FastAPI()
    app.mount("/inner", inner)
    inner_queue = TaskQueue(inner, store=f"sqlite:///{tmp_path / 'inner.db'}", worker="external")

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note)

    @inner.get("/")
    async def inner_add(background: BackgroundTasks):
        background.add_task(other)

    await call(app, queue, "/")
    await call(app, queue, "/inner/")

    assert (tasks(queue), tasks(inner_queue)) == (["note"], ["other"])
    inner_queue.close()


async def test_a_response_with_a_background_of_its_own_does_not_drop_the_injected_tasks(app, queue):
    """FastAPI drops them without a word."""

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note)
        return PlainTextResponse("done", background=BackgroundTask(anote, "own"))

    await call(app, queue, "/")

    assert tasks(queue) == ["note"]
    assert ran == ["own"]


async def test_two_apps_at_once(app, queue, tmp_path):
    second = FastAPI()
    second_queue = TaskQueue(second, store=f"sqlite:///{tmp_path / 'second.db'}", worker="external")
    for one in (app, second):

        @one.get("/")
        async def add(background: BackgroundTasks):
            background.add_task(note)

    await call(app, queue, "/")
    await call(second, second_queue, "/")

    assert (tasks(queue), tasks(second_queue)) == (["note"], ["note"])
    second_queue.close()


async def test_a_plain_route_or_a_preflight_passes_untouched(app, queue, tmp_path):
    @app.get("/")
    async def plain():
        return "ok"

    assert (await call(app, TaskQueue(store="sqlite://", worker="external"), "/")).status == 200
    assert (await call(app, TaskQueue(store="sqlite://", worker="external"), "/nowhere")).status == 404
    assert list(tmp_path.iterdir()) == []
