"""Held jobs: where a request-scoped `yield` dependency commits after the response, jobs wait until it has."""

import asyncio
import functools
import logging
import sqlite3
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import PlainTextResponse, StreamingResponse

from outlast import BackgroundTasks, TaskQueue
from tests.asgi import call, get_and_leave, jobs


def job(): ...


def views(exchange, kind="http.response.start"):
    number = next(n for n, message in enumerate(exchange.messages) if message["type"] == kind)
    return [record.view for record in exchange.jobs[number]]


def views_now(queue):
    queue.tell(lambda store: None)  # releases go through the same thread, in order
    return [record.view for record in jobs(queue)]


async def get_session():
    yield "session"


def get_sync_session():
    yield "session"


class Session:
    def __call__(self):
        yield "session"


class AsyncSession:
    async def __call__(self):
        yield "session"


def wrapped():
    @functools.wraps(get_session)
    def inner():
        return get_session()

    return inner


def no_session():
    return "none"


WITH_EXIT = [
    get_session,
    get_sync_session,
    Session(),
    AsyncSession(),
    functools.partial(get_session),
    wrapped(),
]


@pytest.mark.parametrize("dependency", WITH_EXIT)
async def test_jobs_are_held_until_the_request_has_unwound(app, queue, dependency):
    @app.get("/")
    async def add(background: BackgroundTasks, session: Annotated[str, Depends(dependency)]):
        background.add_task(job)
        background.add_task(job)

    exchange = await call(app, queue, "/")

    assert views(exchange) == ["held", "held"]
    assert views(exchange, "http.response.body") == ["held", "held"]
    assert views_now(queue) == ["queued", "waiting"]


@pytest.mark.parametrize("depends", [Depends(no_session), Depends(get_session, scope="function")])
async def test_jobs_of_a_route_without_such_a_dependency_are_not_held(app, queue, depends):
    @app.get("/")
    async def add(background: BackgroundTasks, session: Annotated[str, depends]):
        background.add_task(job)

    assert views(await call(app, queue, "/")) == ["queued"]


async def test_the_data_is_committed_before_the_jobs_may_start(app, queue):
    seen = []

    async def session():
        yield
        seen.append(views_now(queue))

    @app.get("/", dependencies=[Depends(session)])
    async def add(background: BackgroundTasks):
        background.add_task(job)

    await call(app, queue, "/")

    assert seen == [["held"]]
    assert views_now(queue) == ["queued"]


async def test_they_are_released_though_the_unwinding_fails(app, queue):
    async def session():
        yield
        raise ValueError("commit failed")

    @app.get("/", dependencies=[Depends(session)])
    async def add(background: BackgroundTasks):
        background.add_task(job)

    exchange = await call(app, queue, "/")

    assert exchange.status == 200
    assert isinstance(exchange.error, ValueError)
    assert views_now(queue) == ["queued"]


@pytest.mark.parametrize(
    "where", ["sub-dependency", "router", "included router", "app", "mounted app", "override"]
)
async def test_such_a_dependency_is_found_wherever_it_stands(store, where):
    app = FastAPI(dependencies=[Depends(get_session)] if where == "app" else None)
    queue = TaskQueue(app, store=store, worker="external")
    router = APIRouter(dependencies=[Depends(get_session)] if where == "router" else None)

    def dependency(
        session: Annotated[str, Depends(get_session if where == "sub-dependency" else no_session)],
    ): ...

    @router.get("/path")
    async def add(background: BackgroundTasks, _: Annotated[None, Depends(dependency)]):
        background.add_task(job)

    top = app
    if where == "mounted app":
        top = FastAPI()
        app.mount("/top", top)
        router.dependencies.append(Depends(get_session))
        router = APIRouter(dependencies=[Depends(get_session)])
        router.get("/path")(add)
    if where == "override":
        top.dependency_overrides[no_session] = get_session
    top.include_router(router, dependencies=[Depends(get_session)] if where == "included router" else None)

    exchange = await call(app, queue, "/top/path" if where == "mounted app" else "/path")

    assert views(exchange) == ["held"]
    assert views_now(queue) == ["queued"]
    queue.close()


async def test_a_router_that_is_included_twice_is_held_if_one_way_needs_it(app, queue):
    router = APIRouter()

    @router.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(job)

    app.include_router(router, prefix="/plain")
    app.include_router(router, prefix="/session", dependencies=[Depends(get_session)])

    assert views(await call(app, queue, "/session/")) == ["held"]


async def test_a_stream_is_not_held(app, queue):
    @app.get("/", dependencies=[Depends(get_session)])
    async def add(background: BackgroundTasks):
        background.add_task(job)
        return StreamingResponse(iter(["one", "two"]))

    assert views(await call(app, queue, "/")) == ["queued"]


@pytest.mark.parametrize("response", [Response(status_code=204), PlainTextResponse("done")])
async def test_a_response_of_any_other_kind_is(app, queue, response):
    @app.get("/", dependencies=[Depends(get_session)])
    async def add(background: BackgroundTasks):
        background.add_task(job)
        return response

    assert views(await call(app, queue, "/")) == ["held"]


async def test_what_exit_code_adds_is_not_held(app, queue):
    async def session(background: BackgroundTasks):
        yield
        background.add_task(job)

    @app.get("/", dependencies=[Depends(session)])
    async def add(): ...

    await call(app, queue, "/")

    assert views_now(queue) == ["queued"]


async def test_many_requests_at_once_are_all_released(app, queue):
    @app.get("/", dependencies=[Depends(get_session)])
    async def add(background: BackgroundTasks):
        background.add_task(job)

    await asyncio.gather(
        *(call(app, TaskQueue(store="sqlite://", worker="external"), "/") for _ in range(50))
    )

    assert views_now(queue) == ["queued"] * 50


async def test_a_client_that_goes_away_during_the_commit_leaves_nothing_held(app, queue, store):
    @app.get("/", dependencies=[Depends(get_session)])
    async def add(background: BackgroundTasks):
        background.add_task(job)

    request = await get_and_leave(app, queue)

    assert request.cancelled()
    assert views_now(queue) == ["queued"]


async def test_the_server_that_holds_them_is_known_by_a_lock(app, queue, tmp_path):
    """By it a worker sees whether the server lives."""
    seen = []

    async def session():
        yield
        [(holder, _)] = queue.ask(lambda store: store.holders())
        seen.append((tmp_path / "outlast.db-locks" / f"server.{holder}.lock").exists())

    @app.get("/", dependencies=[Depends(session)])
    async def add(background: BackgroundTasks):
        background.add_task(job)

    await call(app, queue, "/")

    assert seen == [True]


async def test_a_release_that_fails_is_logged(app, queue, store, caplog):
    async def session():
        yield
        with sqlite3.connect(store.removeprefix("sqlite:///")) as other:
            other.execute("ALTER TABLE jobs RENAME TO gone")
        other.close()

    @app.get("/", dependencies=[Depends(session)])
    async def add(background: BackgroundTasks):
        background.add_task(job)

    exchange = await call(app, TaskQueue(store="sqlite://", worker="external"), "/")
    with pytest.raises(Exception, match="jobs"):
        queue.tell(lambda store: store.counts())

    assert exchange.status == 200
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "held jobs not released" in record.getMessage()
