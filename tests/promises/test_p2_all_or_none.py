"""P2 all or none: a request's jobs commit in one transaction; if the request fails as FastAPI sees it, none does.

Then a log line says which were discarded and why. Break all of it at once: in Passage._decide (fastapi/door.py), do not
look at the receipt's failure.
"""

import contextlib
import logging
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

from outlast import BackgroundTasks, LuggageRefused, TaskQueue
from outlast.address import is_postgres
from tests.asgi import call, jobs, tasks
from tests.stores import execute


def one(text: str = ""): ...


def two(): ...


class Known(Exception): ...


@pytest.fixture
def app(app):
    @app.exception_handler(Known)
    async def known(request: Request, error: Known):
        return JSONResponse({"detail": "known"}, 422)

    return app


@pytest.fixture
def discarded(caplog):
    """What the log says was discarded."""

    def lines() -> str:
        records = [record for record in caplog.records if record.name == "outlast.request"]
        assert all(record.levelno == logging.WARNING for record in records)
        return "\n".join(record.getMessage() for record in records)

    return lines


async def test_nothing_is_committed_when_the_endpoint_raises(app, queue, discarded):
    """Break it: in Passage.fail (fastapi/door.py), do not discard."""

    @app.post("/orders")
    async def order(tasks: BackgroundTasks):
        tasks.add_task(one)
        tasks.add_task(two)
        raise ValueError("no stock")

    exchange = await call(app, queue, "/orders", method="POST")

    assert exchange.status == 500
    assert tasks(queue) == []
    assert "2 job(s) of POST /orders discarded" in discarded()
    assert "ValueError('no stock')" in discarded()
    assert f"{__name__}:one" in discarded()
    assert f"{__name__}:two" in discarded()


@pytest.mark.parametrize("error", [HTTPException(409, "taken"), Known()])
@pytest.mark.parametrize("kind", ["async def", "def"])
async def test_an_error_that_a_handler_answers_is_a_failure_too(app, queue, discarded, error, kind):
    """Break it: in seam.watch (fastapi/seam.py), watch nothing; and in watched (fastapi/tasks.py), mark nothing."""

    def add(tasks: BackgroundTasks):
        tasks.add_task(one)
        raise error

    async def async_add(tasks: BackgroundTasks):
        add(tasks)

    app.get("/")(add if kind == "def" else async_add)

    exchange = await call(app, queue, "/")

    assert exchange.status in (409, 422)
    assert tasks(queue) == []
    assert repr(error) in discarded()


async def test_nothing_is_committed_when_a_later_dependency_raises(app, queue, discarded):
    """Break it: as the whole."""

    async def adds(tasks: BackgroundTasks):
        tasks.add_task(one)

    async def refuses(first: Annotated[None, Depends(adds)]):
        raise HTTPException(403)

    @app.get("/", dependencies=[Depends(refuses)])
    async def add(): ...

    assert (await call(app, queue, "/")).status == 403
    assert tasks(queue) == []
    assert "HTTPException" in discarded()


async def test_nothing_is_committed_when_the_request_does_not_validate(app, queue, discarded):
    """Break it: as the whole."""

    async def adds(tasks: BackgroundTasks):
        tasks.add_task(one)

    @app.get("/", dependencies=[Depends(adds)])
    async def add(number: int): ...

    assert (await call(app, queue, "/")).status == 422
    assert tasks(queue) == []
    assert "RequestValidationError" in discarded()


async def test_nothing_is_committed_when_the_response_does_not_validate(app, queue, discarded):
    """Break it: as the whole."""

    @app.get("/", response_model=int)
    async def add(tasks: BackgroundTasks):
        tasks.add_task(one)
        return "no number"

    exchange = await call(app, queue, "/")

    assert exchange.status == 500
    assert tasks(queue) == []
    assert "ResponseValidationError" in discarded()


@pytest.mark.parametrize("error", [Known("on exit"), ValueError("on exit"), HTTPException(409, "on exit")])
async def test_nothing_is_committed_when_a_dependency_fails_on_its_way_out(app, queue, discarded, error):
    """Break it: as the whole."""

    async def unit_of_work():
        yield
        raise error

    @app.get("/")
    async def add(tasks: BackgroundTasks, _: Annotated[None, Depends(unit_of_work, scope="function")]):
        tasks.add_task(one)

    exchange = await call(app, queue, "/")

    assert exchange.status >= 400
    assert tasks(queue) == []
    assert "on exit" in discarded()


@pytest.mark.parametrize("first", ["the tasks", "the unit of work"])
async def test_data_of_a_function_scoped_dependency_is_committed_before_the_jobs(app, queue, first):
    """Break it: as P1."""
    order = []

    async def unit_of_work():
        yield
        order.append(("data", tasks(queue)))

    if first == "the tasks":

        @app.get("/")
        async def add(
            background: BackgroundTasks, _: Annotated[None, Depends(unit_of_work, scope="function")]
        ):
            background.add_task(one)

    else:

        @app.get("/")
        async def add(
            _: Annotated[None, Depends(unit_of_work, scope="function")], background: BackgroundTasks
        ):
            background.add_task(one)

    await call(app, queue, "/")

    assert order == [("data", [])]
    assert tasks(queue) == ["one"]


async def test_nothing_is_committed_when_a_dependency_swallows_the_error(app, queue, discarded):
    """FastAPI takes a swallowed error for a failure, because there is no response. Break it: as the first."""

    async def swallows():
        with contextlib.suppress(Exception):
            yield

    @app.get("/", dependencies=[Depends(swallows)])
    async def add(tasks: BackgroundTasks):
        tasks.add_task(one)
        raise ValueError

    exchange = await call(app, queue, "/")

    assert exchange.status == 500
    assert tasks(queue) == []
    assert discarded()


@pytest.mark.parametrize("kind", ["send wrapper", "BaseHTTPMiddleware"])
@pytest.mark.parametrize("outer", ["nobody", "a middleware outside it"])
async def test_nothing_is_committed_when_a_middleware_fails(app, queue, discarded, kind, outer):
    """Also when another middleware answers for it.

    Break it: in Passage.fail (fastapi/door.py), do not discard; and in watch (fastapi/seam.py), watch the function's
    stack alone.
    """

    class Failing(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            await call_next(request)
            raise ValueError("middleware")

    class FailingSend:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            async def fail(message):
                raise ValueError("middleware")

            await self.app(scope, receive, fail)

    class Answering:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            try:
                await self.app(scope, receive, send)
            except ValueError:
                await PlainTextResponse("sorry", 500)(scope, receive, send)

    app.add_middleware(Failing if kind == "BaseHTTPMiddleware" else FailingSend)
    if outer != "nobody":
        app.add_middleware(Answering)

    @app.get("/")
    async def add(tasks: BackgroundTasks):
        tasks.add_task(one)

    exchange = await call(app, queue, "/")

    assert exchange.status == 500
    assert tasks(queue) == []
    assert discarded()


async def test_nothing_is_committed_when_a_mounted_app_answers_500_itself(app, queue, discarded):
    """Break it: as the whole."""
    inner = FastAPI()
    app.mount("/inner", inner)

    @inner.get("/")
    async def add(tasks: BackgroundTasks):
        tasks.add_task(one)
        raise ValueError("inner")

    assert (await call(app, queue, "/inner/")).status == 500
    assert tasks(queue) == []
    assert "inner" in discarded()


async def test_nothing_is_committed_when_one_of_the_calls_is_refused(app, queue, discarded):
    """Break it: as the first."""

    @app.get("/")
    async def add(tasks: BackgroundTasks):
        tasks.add_task(one, "fine")
        tasks.add_task(one, object())

    exchange = await call(app, queue, "/")

    assert isinstance(exchange.error, LuggageRefused)
    assert tasks(queue) == []
    assert "LuggageRefused" in discarded()


async def test_an_error_that_the_endpoint_handles_itself_is_no_failure(app, queue, discarded):
    @app.get("/")
    async def add(tasks: BackgroundTasks):
        try:
            tasks.add_task(one, object())
        except LuggageRefused:
            tasks.add_task(two)
        return JSONResponse("teapot", 418)

    assert (await call(app, queue, "/")).status == 418
    assert tasks(queue) == ["two"]
    assert not discarded()


def counting_commits(queue):
    """From now on. PostgreSQL keeps with each row which transaction wrote it, SQLite tells of each statement."""
    if is_postgres(queue.url):
        return lambda: execute(queue.url, "SELECT count(DISTINCT CAST(xmin AS text)) FROM jobs")[0][0]
    heard = []
    queue.tell(lambda store: store._file._connection.set_trace_callback(heard.append))
    return lambda: sum(statement.startswith("COMMIT") for statement in heard)


async def test_one_transaction_carries_them_all(app, store):
    """Break it: in Passage._decide (fastapi/door.py), commit the jobs one by one."""
    queue = TaskQueue(app, store=store, worker="external")
    commits = counting_commits(queue)

    @app.get("/")
    async def add(background: BackgroundTasks):
        for _ in range(5):
            background.add_task(one)

    await call(app, queue, "/")

    assert len(jobs(queue)) == 5
    assert commits() == 1
    queue.close()


async def test_a_failure_after_the_response_has_started_takes_nothing_back(app, queue):
    """The receipt was given. Break it: in Receipt.watch (fastapi/receipt.py), mark a failure whenever it comes."""

    async def session():
        yield
        raise ValueError("too late")

    @app.get("/", dependencies=[Depends(session)])
    async def add(background: BackgroundTasks):
        background.add_task(one)

    exchange = await call(app, queue, "/")

    assert exchange.status == 200
    assert isinstance(exchange.error, ValueError)
    assert tasks(queue) == ["one"]


async def test_nor_does_a_stream_that_breaks_half_way(app, queue):
    """Break it: as the one above."""

    @app.get("/")
    async def stream(background: BackgroundTasks):
        def chunks():
            yield "half"
            raise ValueError("broken")

        background.add_task(one)
        return StreamingResponse(chunks())

    exchange = await call(app, queue, "/")

    assert exchange.body == b"half"
    assert exchange.error is not None
    assert tasks(queue) == ["one"]
