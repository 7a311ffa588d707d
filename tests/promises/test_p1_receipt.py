"""P1 receipt: what a request added before its response starts is committed before the first byte of the response.

If the commit is not confirmed, the client gets 503 with Retry-After. What is added later commits by itself.
"""

import logging
from datetime import timedelta

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient
from starlette.middleware.base import BaseHTTPMiddleware

from outlast import BackgroundTasks, TaskQueue
from tests.asgi import call, get, get_and_leave, jobs, tasks
from tests.stores import execute, locked


def early(number: int = 0): ...


def late(): ...


async def test_jobs_are_committed_before_the_first_byte(app, queue):
    """Break it: in Passage.send (fastapi/door.py), forward the message before deciding."""

    @app.get("/")
    async def add(tasks: BackgroundTasks):
        tasks.add_task(early)
        tasks.add_task(early)

    exchange = await call(app, queue, "/")

    assert exchange.status == 200
    assert exchange.at("http.response.start") == ["early", "early"]


async def test_they_are_on_disk_then(app, queue, store):
    """Another connection finds them in the file and its log, however the server ends from here on.

    Break it: have acommit (queue.py) return without waiting for the writer.
    """

    @app.get("/")
    def add(tasks: BackgroundTasks):
        tasks.add_task(early)

    seen = []

    async def send(message):
        if message["type"] == "http.response.start":
            seen.extend(execute(store, "SELECT count(*) FROM jobs"))

    await get(app, send)

    assert seen == [(1,)]


async def test_a_commit_that_is_not_confirmed_is_answered_with_503(app, store, caplog):
    """Another process has the write lock for longer than the commit may take.

    Break it: in Passage._decide (fastapi/door.py), let the exception of acommit pass in silence.
    """
    queue = TaskQueue(app, store=store, worker="external", commit_timeout=timedelta(milliseconds=50))
    session = []

    async def get_session():
        try:
            yield "session"
        except Exception:
            session.append("rolled back")
            raise
        session.append("committed")

    @app.get("/", dependencies=[Depends(get_session)])
    async def add(tasks: BackgroundTasks):
        tasks.add_task(early)
        return "done"

    queue.tell(lambda store: store.counts())  # the store is there
    with locked(store):
        exchange = await call(app, queue, "/")

    assert exchange.error is None
    assert exchange.status == 503
    assert exchange.headers["retry-after"] == "1"
    assert b"Not confirmed" in exchange.body
    assert [message["type"] for message in exchange.messages] == ["http.response.start", "http.response.body"]
    assert session == ["rolled back"]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "not confirmed" in record.getMessage()
    assert f"{__name__}:early" in record.getMessage()
    queue.close()


@pytest.mark.parametrize("middleware", ["catches", "passes"])
async def test_503_stands_whatever_a_middleware_makes_of_the_exception(app, tmp_path, middleware):
    """Break it: in Passage.send (fastapi/door.py), forward messages also when refused."""
    elsewhere = TaskQueue(store="sqlite://", worker="external")
    queue = TaskQueue(app, store=f"sqlite:///{tmp_path / 'no-such-folder' / 'outlast.db'}", worker="external")

    @app.middleware("http")
    async def handle(request, call_next):
        if middleware == "passes":
            return await call_next(request)
        try:
            return await call_next(request)
        except Exception:
            return JSONResponse("sorry", 500)

    class Catching:
        def __init__(self, app):
            self.app = app

        async def __call__(self, scope, receive, send):
            try:
                await self.app(scope, receive, send)
            except Exception:
                await JSONResponse("sorry", 500)(scope, receive, send)

    app.add_middleware(Catching)

    @app.get("/")
    async def add(tasks: BackgroundTasks):
        tasks.add_task(early)

    exchange = await call(app, elsewhere, "/")

    assert exchange.error is None
    assert [message.get("status") for message in exchange.messages] == [503, None]
    assert b"detail" in exchange.body
    with pytest.raises(Exception, match="no-such-folder"):
        queue.tell(lambda store: store.counts())


async def test_a_client_that_goes_away_during_the_commit_does_not_undo_it(app, store):
    """The request's task is cancelled while its commit waits for the store.

    Break it: in acommit (store/writer.py), let the loop go before handing the rows over.
    """
    queue = TaskQueue(app, store=store, worker="external")

    @app.get("/")
    async def add(tasks: BackgroundTasks):
        tasks.add_task(early)

    request = await get_and_leave(app, queue)

    assert request.cancelled()
    queue.tell(lambda store: None)  # what was handed over before is done
    assert tasks(queue) == ["early"]
    queue.close()


async def test_what_a_stream_adds_is_committed_before_its_next_chunk(app, queue):
    """Break it: in Passage.send (fastapi/door.py), do not wait for what was added late."""

    @app.get("/")
    async def stream(tasks: BackgroundTasks):
        async def chunks():
            yield "one"
            tasks.add_task(late)
            yield "two"

        tasks.add_task(early)
        return StreamingResponse(chunks())

    exchange = await call(app, queue, "/")

    seen = {
        message.get("body", b""): [job.task.partition(":")[2] for job in found]
        for message, found in zip(exchange.messages, exchange.jobs, strict=True)
    }
    assert exchange.at("http.response.start") == ["early"]
    assert (seen[b"one"], seen[b"two"]) == (["early"], ["early", "late"])


async def test_what_a_stream_in_a_thread_adds_is_committed_when_add_task_returns(app, queue):
    """Break it: in Late.add (fastapi/receipt.py), collect jobs where there is no loop."""
    seen = []

    @app.get("/")
    def stream(background: BackgroundTasks):
        def chunks():
            background.add_task(late)
            seen.append(tasks(queue))
            yield "one"

        return StreamingResponse(chunks())

    await call(app, queue, "/")

    assert seen == [["late"]]


def test_what_a_websocket_adds_is_committed_before_its_next_message(app, queue):
    """Break it: in Door._socket (fastapi/door.py), do not wait for what was added late."""

    @app.websocket("/")
    async def talk(socket: WebSocket, background: BackgroundTasks):
        await socket.accept()
        async for word in socket.iter_text():
            background.add_task(early, len(word))
            await socket.send_text("kept")

    with TestClient(app).websocket_connect("/") as socket:
        for number in (1, 2, 3):
            socket.send_text("x" * number)
            assert socket.receive_text() == "kept"
            assert len(jobs(queue)) == number


async def test_what_exit_code_adds_is_committed_before_the_request_is_over(app, queue):
    """Break it: in Door._request (fastapi/door.py), do not finish the receipt."""

    async def get_session(background: BackgroundTasks):
        yield "session"
        background.add_task(late)

    def get_other(background: BackgroundTasks):
        yield "other"
        background.add_task(late)

    @app.get("/", dependencies=[Depends(get_session), Depends(get_other)])
    async def add(background: BackgroundTasks):
        background.add_task(early)

    exchange = await call(app, queue, "/")

    assert exchange.at("http.response.start") == ["early"]
    assert tasks(queue) == ["early", "late", "late"]


async def test_a_response_that_a_middleware_makes_of_it_is_a_receipt_too(app, queue):
    """Break it: build the door inside the user's middlewares (fastapi/queue.py)."""
    seen = []

    class Watching(BaseHTTPMiddleware):
        async def dispatch(self, request, call_next):
            response = await call_next(request)
            seen.append(tasks(queue))
            return JSONResponse({"was": response.status_code}, 202)

    app.add_middleware(Watching)

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(early)

    exchange = await call(app, queue, "/")

    assert seen == [[]]
    assert (exchange.status, exchange.at("http.response.start")) == (202, ["early"])


def test_a_route_without_jobs_pays_no_commit(app, queue, tmp_path):
    """Break it: in Passage.send (fastapi/door.py), decide whether or not there are jobs."""

    @app.get("/")
    async def nothing(background: BackgroundTasks): ...

    assert TestClient(app).get("/").status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_it_holds_for_a_sub_app_that_is_mounted(queue, app, store):
    """Break it: in provide (fastapi/tasks.py), look for the receipt of the sub-app alone."""
    inner = FastAPI()
    app.mount("/inner", inner)

    @inner.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(early)

    assert TestClient(app).get("/inner/").status_code == 200
    assert tasks(queue) == ["early"]
