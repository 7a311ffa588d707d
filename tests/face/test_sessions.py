"""Tests of users whose app has `TaskQueue(app, session=…)`: on the fixtures' stores, with SQLite for the data.

The rows cannot be written on such a session. They are committed once it has committed, and lost as it is.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, HTTPException, Security
from fastapi.testclient import TestClient
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from sqlalchemy.pool import StaticPool

from outlast import BackgroundTasks, TaskQueue
from outlast.fastapi import routes
from outlast.fastapi.sessions import note_sessions

DATABASE = "postgresql://nobody@nowhere.invalid/shop"
app = FastAPI()
engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
log: list[object] = []


async def get_db() -> AsyncIterator[AsyncSession]:
    """That of production, which no test reaches."""
    raise NotImplementedError
    yield


def get_test_db() -> Iterator[Session]:
    with Session(engine) as session:
        yield session


queue = TaskQueue(app, store=DATABASE, session=get_db)
Db = Annotated[Session, Depends(get_db)]


def note(word: str):
    with Session(engine) as session:
        log.append((word, session.execute(text("SELECT count(*) FROM things")).scalar()))


def break_down():
    raise LookupError("the task's own")


@app.post("/order/{end}")
def order(end: str, tasks: BackgroundTasks, db: Db):
    db.execute(text("INSERT INTO things VALUES (1)"))
    tasks.add_task(note, "first")
    tasks.add_task(note, "second")
    if end == "fail":
        raise HTTPException(409)
    if end == "commit":
        db.commit()


@app.post("/break")
def order_broken(tasks: BackgroundTasks, db: Db):
    tasks.add_task(break_down)
    db.commit()


@pytest.fixture(autouse=True)
def _data():
    log.clear()
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE IF EXISTS things"))
        connection.execute(text("CREATE TABLE things (n int)"))
    app.dependency_overrides[get_db] = get_test_db
    yield
    app.dependency_overrides.clear()


def test_jobs_run_in_the_course_of_the_request_once_it_has_committed(outlast_inline):
    """In their order, and they find its data. Break it: in _Ledger._keep, do not commit what is switched."""
    assert TestClient(app).post("/order/commit").status_code == 200

    assert log == [("first", 1), ("second", 1)]


def test_the_error_of_a_task_reaches_the_test(outlast_inline):
    with pytest.raises(LookupError, match="the task's own"):
        TestClient(app).post("/break")


@pytest.mark.parametrize("end", ["forget", "fail"])
def test_what_is_not_committed_does_not_run_and_is_told(outlast_inline, caplog, end):
    TestClient(app).post(f"/order/{end}")

    assert log == []
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [f"2 job(s) of POST /order/{end} discarded" in message for message in told] == [True]


def test_a_test_that_runs_them_itself_finds_them(outlast_queue):
    client = TestClient(app)
    client.post("/order/fail")
    outlast_queue.assert_not_enqueued()

    client.post("/order/commit")

    outlast_queue.assert_enqueued(note, "second")
    outlast_queue.drain()
    assert log == [("first", 1), ("second", 1)]


def test_so_does_one_that_enqueues_outside_a_request(outlast_queue):
    with Session(engine) as session:
        queue.enqueue(queue.options(note, session=session), "gone")
        session.rollback()
        job = queue.enqueue(queue.options(note, session=session), "here")
        assert job.state == "queued"
        outlast_queue.assert_not_enqueued()
        session.commit()

    assert [record.id for record in outlast_queue.enqueued(note)] == [job.id]


def test_background_tasks_made_by_hand_leave_it_to_the_session(outlast_queue):
    """Break it: in Unbound.add, take no notice of it."""
    with Session(engine) as session:
        tasks = BackgroundTasks()
        tasks.add_task(queue.options(note, session=session), "gone")
        session.rollback()
        tasks.add_task(queue.options(note, session=session), "here")
        session.commit()
    asyncio.run(tasks())

    [record] = outlast_queue.enqueued(note)
    assert record.luggage.startswith('{"word":"here"')


def test_outside_a_request_they_run_with_the_commit(outlast_inline):
    with Session(engine) as session:
        queue.enqueue(queue.options(note, session=session), "now")
        assert log == []
        session.commit()

    assert log == [("now", 0)]


# ---- what it does to the app


@pytest.mark.filterwarnings(
    "ignore:The .__fields__. attribute is deprecated"
)  # the oldest FastAPI asks for it
def test_the_note_of_a_session_is_no_part_of_the_documentation(outlast_queue):
    """Nor does it double what the dependency takes from the request."""
    documented = FastAPI()

    def get_session(tenant: str) -> str:
        return tenant

    TaskQueue(documented, store=DATABASE, session=get_session)

    @documented.get("/")
    def read(session: Annotated[str, Depends(get_session)]):
        return session

    with TestClient(documented) as client:
        schema = client.get("/openapi.json").json()
        assert client.get("/?tenant=us").json() == "us"

    assert [each["name"] for each in schema["paths"]["/"]["get"]["parameters"]] == ["tenant"]


@pytest.mark.parametrize("is_overridden", [False, True])
def test_a_session_that_only_other_dependencies_take(outlast_queue, is_overridden):
    """It is seen, with whatever scopes around it; but where a test overrides any dependency, FastAPI reads nested ones
    anew, without our notes: then jobs go with the response. Break it: in _note, look at the endpoint's own alone.
    """
    nested = FastAPI()
    made = []

    def get_session() -> Iterator[Session]:
        with Session(engine) as session:
            made.append(session)
            yield session

    def get_user(session: Annotated[Session, Depends(get_session)]) -> Session:
        return session

    TaskQueue(nested, store=DATABASE, session=get_session)
    if is_overridden:
        nested.dependency_overrides[get_db] = get_test_db

    @nested.post("/")
    def add(tasks: BackgroundTasks, session: Annotated[Session, Security(get_user, scopes=["orders"])]):
        tasks.add_task(note, "not committed")

    TestClient(nested).post("/")

    assert len(made) == 1
    assert len(outlast_queue.enqueued(note)) == (1 if is_overridden else 0)


@pytest.mark.parametrize("use_cache", [True, False])
def test_the_dependency_is_solved_no_more_often_than_without(outlast_queue, use_cache):
    """However often the app has been started. Break it: in _note, take no notice of an earlier start."""
    counted = FastAPI()
    solved = []

    def get_session() -> str:
        solved.append(1)
        return "session"

    TaskQueue(counted, store=DATABASE, session=get_session)

    @counted.get("/", dependencies=[Depends(get_session, use_cache=use_cache)])
    def read(session: Annotated[str, Depends(get_session, use_cache=use_cache)]):
        return session

    client = TestClient(counted)
    client.get("/")
    *_, (_, dependant) = routes.each(counted.routes)
    noted = len(dependant.dependencies)
    note_sessions(counted.routes, get_session)
    client.get("/")

    assert len(dependant.dependencies) == noted
    assert len(solved) == (2 if use_cache else 4)
