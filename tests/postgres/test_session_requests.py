"""Requests that use the dependency named by `TaskQueue(app, session=…)`: their jobs go with its session."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import psycopg
import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from outlast import BackgroundTasks, LuggageRefused, OptionRefused, TaskQueue
from outlast.address import address_of
from outlast.store.postgres_listener import PostgresListener
from tests.asgi import Exchange, call, jobs, tasks
from tests.polling import apolled
from tests.postgres.callers import address_url, make_table, things
from tests.stores import execute


def first(): ...


def second(): ...


def third(): ...


def greet(user: str): ...


class Shop:
    """An app with a queue, a session for each request, and a table of data."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.app = FastAPI()
        make_table(url)
        self.insert = text(f'INSERT INTO "{address_of(url).schema}".things VALUES (1)')
        self.engine = create_async_engine(address_url(url, "asyncpg"))
        self.sync_engine = create_engine(address_url(url, "psycopg"))
        self.queue = TaskQueue(self.app, store=url, worker="external", session=self.get_db)

    async def get_db(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self.engine) as session:
            yield session

    async def get(self, path: str = "/") -> Exchange:
        return await call(self.app, self.queue, path)

    async def close(self) -> None:
        self.queue.close()
        self.sync_engine.dispose()
        await self.engine.dispose()


@pytest.fixture
async def shop(url: str) -> AsyncIterator[Shop]:
    shop = Shop(url)
    yield shop
    await shop.close()


def discarded(caplog: pytest.LogCaptureFixture) -> str:
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    return record.getMessage()


# ---- the receipt is the caller's commit


async def test_jobs_and_data_are_committed_together_before_the_response(shop):
    """Break it: in _Note.__call__ (fastapi/sessions.py), keep the session to yourself."""
    seen = []

    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        await db.execute(shop.insert)
        tasks_.add_task(first)
        tasks_.add_task(second)
        seen.append((things(shop.url), tasks(shop.queue)))
        await db.commit()
        seen.append((things(shop.url), tasks(shop.queue)))

    exchange = await shop.get()

    assert exchange.status == 200
    assert seen == [([], []), ([1], ["first", "second"])]
    assert exchange.at("http.response.start") == ["first", "second"]
    assert [job.view for job in jobs(shop.queue)] == [
        "queued",
        "waiting",
    ]  # in their order (P7), and not held


async def test_they_belong_to_whoever_made_the_request(shop):
    """Break it: in _Note.__call__, do not find the owner."""
    shop.queue.owner = lambda: "ada"

    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        tasks_.add_task(first)
        await db.commit()

    assert (await shop.get()).status == 200
    assert [job.owner for job in jobs(shop.queue)] == ["ada"]


async def test_a_request_without_that_dependency_is_as_always(shop):
    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks):
        tasks_.add_task(first)

    assert (await shop.get()).at("http.response.start") == ["first"]


async def test_a_dependency_that_commits_on_its_way_out_commits_the_jobs(shop):
    """Where it ends before the response, before it; where after it, after it."""

    async def get_and_commit(db: Annotated[AsyncSession, Depends(shop.get_db)]):
        yield db
        await db.commit()

    @shop.app.get("/before")
    async def before(tasks_: BackgroundTasks, db: Annotated[Any, Depends(get_and_commit, scope="function")]):
        tasks_.add_task(first)

    @shop.app.get("/after")
    async def after(tasks_: BackgroundTasks, db: Annotated[Any, Depends(get_and_commit)]):
        tasks_.add_task(second)

    assert (await shop.get("/before")).at("http.response.start") == ["first"]
    assert (await shop.get("/after")).at("http.response.start") == ["first"]
    assert tasks(shop.queue) == ["first", "second"]


async def test_a_request_that_fails_leaves_neither_data_nor_jobs(shop, caplog):
    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        await db.execute(shop.insert)
        tasks_.add_task(first)
        raise HTTPException(409)

    assert (await shop.get()).status == 409
    assert (things(shop.url), tasks(shop.queue)) == ([], [])
    assert "1 job(s) of GET / discarded, because its session was closed without a commit" in discarded(caplog)


async def test_a_commit_that_fails_is_the_requests_failure(shop, caplog):
    """FastAPI's own 500, and nothing of the jobs. Break it: write the row on a connection of ours."""

    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        await db.execute(shop.insert)
        await db.execute(shop.insert)  # unique, which shows at the commit
        tasks_.add_task(first)
        await db.commit()

    exchange = await shop.get()

    assert exchange.error is not None
    assert (things(shop.url), tasks(shop.queue)) == ([], [])
    assert f"{__name__}:first" in discarded(caplog)


async def test_a_request_that_fails_after_its_commit_has_committed(shop):
    """As its data is. Break it: have Receipt.discard take the entries, too."""

    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        await db.execute(shop.insert)
        tasks_.add_task(first)
        await db.commit()
        raise HTTPException(409)

    assert (await shop.get()).status == 409
    assert (things(shop.url), tasks(shop.queue)) == ([1], ["first"])


@pytest.mark.parametrize("way", ["closes it", "keeps it open"])
async def test_a_route_that_forgets_to_commit_is_told(shop, caplog, way):
    """Break it: in _part (fastapi/door.py), do not look after what is open."""
    kept = AsyncSession(shop.engine)

    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        session = db if way == "closes it" else kept
        await session.execute(shop.insert)
        tasks_.add_task(shop.queue.options(first, session=session))

    async with kept:
        exchange = await shop.get()

        assert exchange.status == 200
        assert await apolled(lambda: "commit(), where it is used or where it is made" in caplog.text, 5)
    assert "1 job(s) of GET / discarded" in discarded(caplog)


# ---- which session


async def test_it_is_the_session_that_fastapi_gave_the_request(shop):
    """In whatever place of the tree, with whatever scopes; a dependency adds on it, too. Once for a request."""
    made = []

    async def get_db() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(shop.engine) as session:
            made.append(session)
            yield session

    shop.queue.session = get_db

    async def get_user(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(get_db)]):
        tasks_.add_task(first)
        return db

    router = APIRouter(dependencies=[Depends(get_db)])

    @router.get("/{way}")
    async def order(
        way: str, tasks_: BackgroundTasks, db: Annotated[AsyncSession, Security(get_user, scopes=["a"])]
    ):
        tasks_.add_task(second)
        await db.commit()

    shop.app.include_router(router, prefix="/included")
    mounted = FastAPI()

    @mounted.get("/")
    async def inner(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(get_db)]):
        tasks_.add_task(third)
        await db.commit()

    shop.app.mount("/mounted", mounted)

    assert (await shop.get("/included/x")).at("http.response.start") == ["first", "second"]
    assert (await shop.get("/mounted/")).at("http.response.start") == ["first", "second", "third"]


async def test_an_override_of_it_is_followed(shop):
    """As FastAPI does. Break it: in _Note, have no signature."""

    def get_sync() -> Iterator[Session]:
        with Session(shop.sync_engine) as session:
            yield session

    @shop.app.get("/")
    def order(tasks_: BackgroundTasks, db: Annotated[Any, Depends(shop.get_db)]):
        tasks_.add_task(first)
        assert tasks(shop.queue) == []
        db.commit()

    shop.app.dependency_overrides[shop.get_db] = get_sync

    assert (await shop.get()).at("http.response.start") == ["first"]


async def test_one_call_may_name_another_or_none(shop, caplog):
    """Each session has jobs of its own; what goes with none goes with the response."""

    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        tasks_.add_task(first)
        tasks_.add_task(shop.queue.options(second, session=None))
        async with AsyncSession(shop.engine) as other:
            tasks_.add_task(shop.queue.options(third, session=other))
            await other.commit()

    exchange = await shop.get()

    assert exchange.at("http.response.start") == ["third", "second"]
    assert "first" in discarded(caplog)


async def test_enqueue_goes_with_a_session_only_where_the_call_says_so(shop):
    @shop.app.get("/")
    async def order(db: Annotated[AsyncSession, Depends(shop.get_db)]):
        await shop.queue.aenqueue(first)
        await shop.queue.aenqueue(shop.queue.options(second, session=db))

    await shop.get()

    assert tasks(shop.queue) == ["first"]


async def test_the_order_of_a_transaction_survives_its_savepoints(shop):
    """Jobs wait for the one before them that is still there (P7). Break it: in of_psycopg._chained, take the last."""

    @shop.app.get("/session")
    async def by_session(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        tasks_.add_task(first)
        gone = await db.begin_nested()
        tasks_.add_task(second)
        await gone.rollback()
        tasks_.add_task(third)
        await db.commit()

    @shop.app.get("/connection")
    def by_connection(tasks_: BackgroundTasks):
        with psycopg.connect(address_url(shop.url)) as connection, connection.transaction():
            for func in (first, second, third):
                with connection.transaction(force_rollback=func is second):
                    tasks_.add_task(shop.queue.options(func, session=connection))

    for path in ("/session", "/connection"):
        execute(shop.url, "DELETE FROM jobs")
        await shop.get(path)

        assert [(job.task.partition(":")[2], job.view) for job in jobs(shop.queue)] == [
            ("first", "queued"),
            ("third", "waiting"),
        ]
        assert execute(shop.url, "SELECT next_id FROM jobs ORDER BY seq")[0] == (jobs(shop.queue)[1].id,)


async def test_jobs_of_two_transactions_do_not_wait_for_each_other(shop):
    @shop.app.get("/")
    def order(tasks_: BackgroundTasks):
        with psycopg.connect(address_url(shop.url)) as connection:
            tasks_.add_task(shop.queue.options(first, session=connection))
            connection.commit()
            tasks_.add_task(shop.queue.options(second, session=connection))

    await shop.get()

    assert [job.view for job in jobs(shop.queue)] == ["queued", "queued"]


async def test_a_session_in_threads_is_as_good(shop):
    get_db = sessionmaker(shop.sync_engine)

    def in_request() -> Iterator[Session]:
        with get_db.begin() as session:
            yield session

    shop.queue.session = in_request

    @shop.app.get("/")
    def order(tasks_: BackgroundTasks, db: Annotated[Session, Depends(in_request, scope="function")]):
        db.execute(shop.insert)
        tasks_.add_task(first)

    assert (await shop.get()).at("http.response.start") == ["first"]
    assert things(shop.url) == [1]


async def test_workers_are_told_of_what_a_connection_has_committed(shop):
    """It does not tell that itself: they are told with the response, and once the request has unwound.

    Break it: in Receipt.go_on, or in sessions._hear, rouse nobody.
    """
    listener = PostgresListener.of(address_of(shop.url))
    heard = []

    async def get_connection() -> AsyncIterator[Any]:
        with psycopg.connect(address_url(shop.url)) as connection:
            yield connection
            heard.append(await apolled(listener.heard, 5))

    @shop.app.get("/")
    def order(tasks_: BackgroundTasks, connection: Annotated[Any, Depends(get_connection)]):
        tasks_.add_task(shop.queue.options(first, session=connection))

    await shop.get()
    heard.append(await apolled(listener.heard, 5))

    assert heard == [True, True]
    assert tasks(shop.queue) == ["first"]
    listener.close()


# ---- run by the server, and in tests


async def test_inline_the_jobs_of_a_session_run_in_the_course_of_the_request(url):
    """Break it: in Receipt.committed, queue nothing up."""
    ran = []
    globals()["note"] = note = lambda: ran.append(execute(url, "SELECT n FROM things"))
    note.__qualname__ = note.__name__ = "note"
    app = FastAPI()
    make_table(url)
    engine = create_async_engine(address_url(url, "asyncpg"))

    async def get_db() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session

    queue = TaskQueue(app, store=url, worker="inline", session=get_db)

    @app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(get_db)]):
        await db.execute(text(f'INSERT INTO "{address_of(url).schema}".things VALUES (7)'))
        tasks_.add_task(note)
        await db.commit()
        assert ran == []

    exchange = await call(app, queue, "/")

    assert exchange.status == 200
    assert ran == [[(7,)]]
    queue.close()
    await engine.dispose()


async def test_inline_those_of_a_connection_run_soon(url):
    """The timer finds them. Break it: in sessions._hear, have their request queue them up, though it is over."""
    app = FastAPI()
    queue = TaskQueue(app, store=url, worker="inline")
    added = []

    @app.get("/")
    def order(tasks_: BackgroundTasks):
        with psycopg.connect(address_url(url)) as connection:
            added.append(tasks_.add_task(queue.options(first, session=connection)))

    async with app.router.lifespan_context(app):
        await call(app, queue, "/")
        assert await apolled(lambda: added[0].state == "succeeded", 10)
    queue.close()


async def test_on_the_store_of_a_test_a_connection_counts_for_nothing(shop, outlast_queue):
    """It cannot be followed: its jobs go with the response, as others do."""

    @shop.app.get("/")
    def order(tasks_: BackgroundTasks):
        with psycopg.connect(address_url(shop.url)) as connection:
            tasks_.add_task(shop.queue.options(first, session=connection))
            connection.rollback()

    await shop.get()

    outlast_queue.assert_enqueued(first)


# ---- beyond the response


async def test_a_stream_uses_its_session_as_it_likes(shop):
    async def body(tasks_: Any, db: AsyncSession) -> AsyncIterator[str]:
        yield "begun"
        tasks_.add_task(first)
        await db.commit()
        yield "done"

    @shop.app.get("/")
    async def stream(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        return StreamingResponse(body(tasks_, db))

    await shop.get()

    assert tasks(shop.queue) == ["first"]


async def test_so_does_a_websocket(shop):
    def get_db() -> Iterator[Session]:
        with Session(shop.sync_engine) as session:
            yield session

    shop.queue.session = get_db

    @shop.app.websocket("/")
    async def talk(socket: WebSocket, tasks_: BackgroundTasks, db: Annotated[Session, Depends(get_db)]):
        await socket.accept()
        tasks_.add_task(first)
        await socket.send_json(tasks(shop.queue))
        db.commit()
        await socket.send_json(tasks(shop.queue))
        await socket.close()

    def heard() -> list[Any]:
        with TestClient(shop.app).websocket_connect("/") as socket:
            return [socket.receive_json(), socket.receive_json()]

    assert await asyncio.to_thread(heard) == [[], ["first"]]


# ---- what is refused


async def test_what_only_the_request_can_solve_comes_too_late(shop):
    """A snapshot is solved when the response starts; the session may have committed by then."""

    def get_user() -> str:
        return "you"

    def welcome(user: Annotated[str, Depends(shop.queue.snapshot(get_user))]): ...

    welcome.__qualname__ = "welcome"
    globals()["welcome"] = welcome

    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, db: Annotated[AsyncSession, Depends(shop.get_db)]):
        with pytest.raises(LuggageRefused, match="pass it: user=…"):
            tasks_.add_task(welcome)
        tasks_.add_task(welcome, user="you")
        await db.commit()

    assert (await shop.get()).status == 200
    assert tasks(shop.queue) == ["welcome"]


async def test_a_dependency_that_is_no_session_is_named(shop):
    def get_settings() -> dict[str, str]:
        return {}

    shop.queue.session = get_settings

    @shop.app.get("/")
    async def order(tasks_: BackgroundTasks, settings: Annotated[Any, Depends(get_settings)]):
        with pytest.raises(OptionRefused, match=r"session=\{\}: give SQLAlchemy's Session or AsyncSession"):
            tasks_.add_task(first)

    assert (await shop.get()).status == 200
