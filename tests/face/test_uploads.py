"""Files on the request's side: stored before the receipt, 413 and 503, and clients that leave meanwhile."""

import asyncio
import io
import logging
import resource
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi import APIRouter, Depends, FastAPI, UploadFile
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.testclient import TestClient

from outlast import BackgroundTasks, FileTooLarge, LuggageTooLarge, TaskQueue
from outlast.clock import span
from outlast.files.folder import Folder
from outlast.files.sources import Memory
from tests.asgi import call, jobs, tasks
from tests.polling import apolled

CONTENT = b"content " * 100_000


def keep(file: UploadFile): ...


def plain(): ...


def upload(content=CONTENT, name="a.txt"):
    return UploadFile(io.BytesIO(content), filename=name)


def stored(queue):
    return list(queue.freight.files.names())


class Slow(Folder):
    """A folder on a disk that takes its time: `go` lets it go on."""

    def __init__(self, path):
        super().__init__(path)
        self.begun, self.go = asyncio.Event(), threading.Event()
        self.loop = asyncio.get_running_loop()

    def put(self, content, now):
        self.loop.call_soon_threadsafe(self.begun.set)
        self.go.wait(60)
        return super().put(content, now)


@pytest.fixture
async def slow(queue, tmp_path):
    queue.freight.files = slow = Slow(str(tmp_path / "outlast.db-files"))
    yield slow
    slow.go.set()


async def test_files_are_stored_and_jobs_committed_before_the_first_byte(app, queue, slow):
    """Break it: in TaskQueue.acommit, store the files after the rows."""

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(keep, upload())

    request = asyncio.create_task(call(app, queue, "/"))
    await slow.begun.wait()
    assert jobs(queue) == []
    assert not request.done()
    slow.go.set()

    exchange = await request
    assert exchange.status == 200
    assert exchange.at("http.response.start") == ["keep"]
    (name,) = stored(queue)
    assert jobs(queue)[0].luggage.count(name) == 1


async def test_what_storing_takes_does_not_count_as_the_commit(app, store, tmp_path):
    """Break it: in TaskQueue.acommit, bound both together."""
    queue = TaskQueue(app, store=store, worker="external", commit_timeout=timedelta(seconds=0.3))

    class Late(Folder):
        def put(self, content, now):
            threading.Event().wait(0.5)
            return super().put(content, now)

    queue.freight.files = Late(str(tmp_path / "files"))
    queue.tell(lambda store: store.counts())

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(keep, upload())

    assert (await call(app, queue, "/")).status == 200
    queue.close()


async def test_a_request_that_fails_stores_nothing(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(keep, upload())
        raise RuntimeError("no")

    await call(app, queue, "/")

    assert (tasks(queue), stored(queue)) == ([], [])


async def test_the_files_of_a_request_s_jobs_are_each_of_its_own(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        for content in (b"one", b"two"):
            background.add_task(keep, upload(content))
        background.add_task(plain)

    await call(app, queue, "/")

    first, second, third = (record.luggage for record in jobs(queue))
    assert [sum(name in text for name in stored(queue)) for text in (first, second, third)] == [1, 1, 0]
    assert first != second


# ---- 413


@pytest.fixture
def limited(app, store):
    queue = TaskQueue(app, store=store, worker="external", file_limit=10)
    yield queue
    queue.close()


@pytest.mark.parametrize("where", ["app", "router", "mounted app", "dependency", "enqueue"])
async def test_a_file_over_the_limit_is_answered_413(app, limited, where):
    inner = {"router": APIRouter(), "mounted app": FastAPI()}.get(where, app)

    def dependency(background: BackgroundTasks):
        if where == "dependency":
            background.add_task(keep, upload(b"x" * 11))

    @inner.get("/upload", dependencies=[Depends(dependency)])
    async def add(background: BackgroundTasks):
        background.add_task(plain)
        if where == "enqueue":
            await limited.aenqueue(keep, upload(b"x" * 11))
        background.add_task(keep, upload(b"x" * 11))

    if where == "router":
        app.include_router(inner)
    elif where == "mounted app":
        app.mount("/top", inner)

    exchange = await call(app, limited, "/top/upload" if where == "mounted app" else "/upload")

    assert (exchange.status, exchange.body) == (413, b'{"detail":"File too large"}')
    assert (tasks(limited), stored(limited)) == ([], [])


async def test_a_file_at_the_limit_is_taken(app, limited):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(keep, upload(b"x" * 10))

    assert (await call(app, limited, "/")).status == 200


async def test_the_endpoint_may_answer_for_itself(app, limited):
    @app.get("/")
    async def add(background: BackgroundTasks):
        try:
            background.add_task(keep, upload(b"x" * 11))
        except FileTooLarge as error:
            return JSONResponse({"told": str(error)}, 422)

    exchange = await call(app, limited, "/")

    assert exchange.status == 422
    told = exchange.body.decode()
    assert "a.txt for tests.face.test_uploads:keep has 11 bytes, and 10 are allowed; send less" in told


def test_outside_a_request_it_is_an_error_like_any(limited):
    with pytest.raises(LuggageTooLarge, match=r"a\.txt .* has 11 bytes, and 10 are allowed"):
        limited.enqueue(keep, upload(b"x" * 11))
    with pytest.raises(FileTooLarge):
        limited.enqueue_many(keep, [(upload(b"x"),), (upload(b"x" * 11),)])
    assert tasks(limited) == []


# ---- 503


async def test_a_full_disk_is_answered_503_and_nothing_is_committed(app, queue):
    """The kernel refuses to write more into one file than so much. Break it: in Folder.put, let OSError through."""

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(plain)
        background.add_task(keep, upload(b"small"))
        background.add_task(keep, upload(CONTENT))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(CONTENT) // 2, hard))
    try:
        exchange = await call(app, queue, "/")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (exchange.status, exchange.headers["retry-after"]) == (503, "1")
    assert tasks(queue) == []
    assert not [name for name in stored(queue) if ".part." in name]


async def test_the_log_says_what_could_not_be_stored_and_where(app, queue, store, caplog):
    Path(store.removeprefix("sqlite:///") + "-files").touch()

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(keep, upload())

    assert (await call(app, queue, "/")).status == 503
    assert "a file of 800,000 bytes could not be stored in" in caplog.text


# ---- clients that leave


async def session():
    yield


@pytest.mark.parametrize("holds", [[], [Depends(session)]], ids=["not held", "held"])
async def test_a_client_that_leaves_while_files_are_stored_loses_no_job(app, queue, slow, holds):
    """Break it: in Passage._decide, await the commit without the shield; in Holds.settle, release at once."""

    @app.get("/", dependencies=holds)
    async def add(background: BackgroundTasks):
        background.add_task(keep, upload())

    request = asyncio.create_task(call(app, queue, "/"))
    await slow.begun.wait()
    request.cancel()
    await asyncio.wait([request])
    assert request.cancelled()
    slow.go.set()
    await asyncio.wait(queue._carrying)
    queue.tell(lambda store: None)  # releases go through the same thread, in order

    (record,) = jobs(queue)
    assert record.view == "queued"
    assert stored(queue)[0] in record.luggage


async def test_what_cannot_be_stored_after_the_client_has_left_is_logged(app, queue, slow, store, caplog):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(keep, upload())

    request = asyncio.create_task(call(app, queue, "/"))
    await slow.begun.wait()
    request.cancel()
    await asyncio.wait([request])
    Path(store.removeprefix("sqlite:///") + "-files").touch()
    slow.go.set()
    await asyncio.wait(queue._carrying)

    assert tasks(queue) == []
    (line,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "not committed" in line.message
    assert "could not be stored" in line.message


async def test_a_server_ends_once_what_clients_did_not_wait_for_is_committed(app, queue, slow):
    """Break it: in TaskQueue's lifespan, do not wait for it."""

    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(keep, upload())

    async with app.router.lifespan_context(app):
        request = asyncio.create_task(call(app, queue, "/"))
        await slow.begun.wait()
        request.cancel()
        await asyncio.wait([request])
        asyncio.get_running_loop().call_later(0.1, slow.go.set)

    assert not queue._carrying
    assert tasks(queue) == ["keep"]


async def test_inline_the_server_itself_deletes_what_no_job_uses(app, store):
    """Break it: in Inline._serve, leave out the sweeps."""
    queue = TaskQueue(app, store=store, worker="inline")
    old = queue.clock.now() - span(timedelta(hours=3))
    _, young = (queue.freight.files.put(Memory(b"unused"), now) for now in (old, queue.clock.now()))

    async with app.router.lifespan_context(app):
        assert await apolled(lambda: len(stored(queue)) == 1, 20)

    assert stored(queue) == [young]


# ---- other ways


async def test_a_file_added_in_a_stream_is_carried(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        async def body():
            yield b"1"
            background.add_task(keep, upload())
            yield b"2"

        return StreamingResponse(body())

    await call(app, queue, "/")

    assert tasks(queue) == ["keep"]
    assert len(stored(queue)) == 1


def test_a_file_added_in_a_websocket_is_carried(app, queue):
    from fastapi import WebSocket

    @app.websocket("/")
    async def add(socket: WebSocket, background: BackgroundTasks):
        await socket.accept()
        background.add_task(keep, upload())
        await socket.send_text("added")
        await socket.close()

    with TestClient(app) as client, client.websocket_connect("/") as socket:
        assert socket.receive_text() == "added"

    assert tasks(queue) == ["keep"]


async def test_enqueueing_carries_files_too(queue):
    queue.enqueue(keep, upload(b"1"))
    await queue.aenqueue(keep, upload(b"2"))
    queue.enqueue_many(keep, [(upload(b"3"),), {"file": upload(b"4")}])
    await queue.aenqueue_many(keep, [(upload(b"5"),)])

    assert tasks(queue) == ["keep"] * 5
    assert len(stored(queue)) == 5


async def test_tasks_made_by_hand_carry_files_too(queue):
    hand_made = BackgroundTasks()
    hand_made.add_task(queue.options(keep), upload())

    await hand_made()

    assert tasks(queue) == ["keep"]
    assert len(stored(queue)) == 1
