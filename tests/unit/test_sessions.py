"""What is refused of sessions before any database is asked."""

import pytest
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from outlast import OptionRefused, TaskQueue
from outlast.clock import ManualClock

DATABASE = "postgresql://nobody@nowhere.invalid/shop"


def work(): ...


@pytest.fixture
def queue():
    queue = TaskQueue(store=DATABASE, worker="external", clock=ManualClock())
    yield queue
    queue.close()


@pytest.fixture
def sqlite_session():
    engine = create_engine("sqlite://")
    with Session(engine) as session:
        yield session
    engine.dispose()


def test_a_store_that_is_no_database_of_the_callers_has_no_sessions(sqlite_session):
    """Break it: in sessions.add, require nothing of the store."""
    queue = TaskQueue(store="sqlite://", worker="inline")

    with pytest.raises(OptionRefused, match=r"with the store sqlite.*leave the session out"):
        queue.enqueue(queue.options(work, session=sqlite_session))
    with pytest.raises(OptionRefused, match=r"TaskQueue\(session=…\) with the store sqlite"):
        TaskQueue(store="sqlite:///outlast.db", session=lambda: None)
    queue.close()


def test_a_session_belongs_to_a_call_and_to_no_task(queue):
    with pytest.raises(OptionRefused, match=r"belongs to a call.*TaskQueue\(app, session=get_db\)"):
        queue.task(session=object())
    with pytest.raises(OptionRefused, match="did you mean 'session'"):
        queue.options(work, sesion=object())


def test_other_options_of_the_call_leave_it_as_it_is(queue):
    call = queue.options(work, session=None)

    assert queue.options(call, priority=3).session is None
    assert "session=None" in repr(call)
    assert "session=" not in repr(queue.options(work, priority=3))


@pytest.mark.parametrize(
    "session", ["a text", 5, create_engine("sqlite://")], ids=["text", "number", "engine"]
)
def test_what_is_no_session_is_refused(queue, session):
    with pytest.raises(
        OptionRefused, match="give SQLAlchemy's Session or AsyncSession, or psycopg's Connection"
    ):
        queue.enqueue(queue.options(work, session=session))


def test_a_session_of_another_kind_of_database_is_refused(queue, sqlite_session):
    """At once, not when it commits. Break it: in of_sqlalchemy.add, require no PostgreSQL."""
    with pytest.raises(
        OptionRefused, match=r"is one of sqlite, and the store is in PostgreSQL.*session=None"
    ):
        queue.enqueue(queue.options(work, session=sqlite_session))


def test_so_is_one_that_has_none_of_its_own(queue):
    with pytest.raises(OptionRefused, match=r"has no database of its own.*Session\(engine\)"):
        queue.enqueue(queue.options(work, session=Session()))
