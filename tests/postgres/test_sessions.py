"""A job on the caller's own session shares the fate of the caller's data: every kind of session, on a real database."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from outlast import JobNotFound, OptionRefused, TaskQueue
from outlast.address import address_of
from outlast.clock import ManualClock
from outlast.store.postgres_listener import PostgresListener
from outlast.store.postgres_schema import migrate
from tests.asgi import jobs
from tests.polling import apolled
from tests.postgres.callers import FOLLOWED, KINDS, Caller, address_url, make_table, opened, things
from tests.postgresql import connected, new_store
from tests.stores import execute


def work(n: int) -> None: ...


def keep(content: bytes) -> None: ...


@pytest.fixture
def queue(url: str) -> Iterator[TaskQueue]:
    make_table(url)
    queue = TaskQueue(store=url, worker="external")
    yield queue
    queue.close()


@pytest.fixture(params=KINDS)
async def caller(request: pytest.FixtureRequest, url: str, queue: TaskQueue) -> AsyncIterator[Caller]:
    async with opened(KINDS[request.param], url) as caller:
        yield caller


def numbers(queue: TaskQueue) -> list[int]:
    """The arguments of every job that is in the store."""
    return [json.loads(record.luggage)["n"] for record in jobs(queue)]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was told of jobs that were not committed."""
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# ---- one fate


async def test_a_job_is_there_once_the_caller_has_committed(caller, queue, url):
    """Break it: in of_psycopg._steps, or in of_sqlalchemy._Ledger._write, write nothing; or write it elsewhere."""
    await caller.put(1)
    job = await caller.add(queue, work, 1)

    assert (things(url), numbers(queue), job.state) == ([], [], "queued")

    await caller.commit()

    assert (things(url), numbers(queue), job.state) == ([1], [1], "queued")
    assert job.record().view == "queued"


async def test_it_is_gone_where_the_caller_rolls_back(caller, queue, url):
    """Break it: in TaskQueue._aput, take no notice of the session."""
    await caller.put(1)
    job = await caller.add(queue, work, 1)
    await caller.rollback()

    assert (things(url), numbers(queue)) == ([], [])
    with pytest.raises(JobNotFound):
        _ = job.state


async def test_a_session_can_be_used_again(caller, queue, url):
    for n in (1, 2, 3):
        await caller.put(n)
        await caller.add(queue, work, n)
        await (caller.rollback() if n == 2 else caller.commit())

    assert things(url) == [1, 3]
    assert numbers(queue) == [1, 3]


async def test_what_a_savepoint_takes_back_takes_the_job_with_it(caller, queue, url):
    """Break it: in of_sqlalchemy._Ledger._end_savepoint, take no notice of what was rolled back."""
    await caller.put(1)
    await caller.add(queue, work, 1)
    with pytest.raises(LookupError):
        async with caller.savepoint():
            await caller.put(2)
            await caller.add(queue, work, 2)
            raise LookupError
    async with caller.savepoint():
        await caller.put(3)
        await caller.add(queue, work, 3)
    await caller.commit()

    assert things(url) == [1, 3]
    assert numbers(queue) == [1, 3]


async def test_many_go_the_same_way(caller, queue, url):
    calls = [(n,) for n in range(500)]
    added = await queue.aenqueue_many(queue.options(work, session=caller.session), calls)
    assert numbers(queue) == []
    await caller.commit()

    assert [record.id for record in jobs(queue)][-1] == added[-1].id
    assert queue.ask(lambda store: store.counts())["ready"] == 500  # not ordered among themselves


async def test_options_and_times_are_those_of_any_job(caller, queue):
    due = datetime(2031, 1, 1, tzinfo=UTC)
    call = queue.options(work, session=caller.session, queue="mail", priority=-3, run_at=due, max_attempts=2)
    await queue.aenqueue(call, 1)
    await caller.add(queue, work, 2)
    await caller.commit()

    later, now = jobs(queue)
    assert (later.queue, later.priority, later.run_at, later.max_attempts) == ("mail", -3, due, 2)
    assert (later.view, now.view) == ("scheduled", "queued")
    (told,) = execute(queue.url, "SELECT extract(epoch FROM clock_timestamp())")
    assert abs(now.created_at - datetime.fromtimestamp(float(str(told[0])), UTC)) < timedelta(seconds=30)


async def test_files_are_stored_before_the_row_is(caller, url, tmp_path):
    queue = TaskQueue(store=url, worker="external", files=f"file:{tmp_path / 'files'}")
    (tmp_path / "upload").write_bytes(b"content")
    with (tmp_path / "upload").open("rb") as file:
        await caller.add(queue, keep, file)
    await caller.commit()

    assert len(jobs(queue)) == 1
    [stored] = [path for path in (tmp_path / "files").rglob("*") if path.is_file()]
    assert stored.read_bytes() == b"content"
    assert queue.sweep_files() == []
    queue.close()


# ---- what is told


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.parametrize(
    ("end", "told"),
    [("rollback", "its session was rolled back"), ("close", "its session was closed without a commit: end")],
)
async def test_what_is_not_committed_is_told(queue, caplog, name, end, told):
    """Break it: in sessions.lose, tell nobody."""
    async with opened(KINDS[name], queue.url) as caller:
        await caller.put(1)
        job = await caller.add(queue, work, 1)
        if end == "rollback":
            await caller.rollback()

    [message] = warnings(caplog)
    assert f"1 job(s) discarded, because {told}" in message
    assert f"work ({job.id})" in message
    assert numbers(queue) == []


async def test_so_is_what_a_savepoint_took_back(url, queue, caplog):
    async with opened(KINDS["AsyncSession on asyncpg"], url) as caller:
        await caller.add(queue, work, 1)
        with pytest.raises(LookupError):
            async with caller.savepoint():
                await caller.add(queue, work, 2)
                raise LookupError
        await caller.commit()

    [message] = warnings(caplog)
    assert "1 job(s) discarded, because the savepoint that it was added in was rolled back" in message


async def test_so_is_what_was_added_to_a_session_that_nobody_closes(queue, caplog, url):
    """Nothing tells of that but the garbage collector. Break it: in of_sqlalchemy.add, leave `finalize` out."""
    engine = create_engine(address_url(url, "psycopg"))
    session = Session(engine)
    queue.enqueue(queue.options(work, session=session), 1)
    del session
    gc.collect()
    engine.dispose()

    assert "closed without a commit" in caplog.text


@pytest.mark.parametrize("name", ["Connection", "AsyncConnection"])
async def test_a_connection_is_asked_after_with_its_next_transaction(url, queue, caplog, name):
    """Break it: in of_psycopg._Book.turn_to, forget what was written before."""
    async with opened(KINDS[name], url) as caller:
        lost = await caller.add(queue, work, 1)
        await caller.rollback()
        kept = await caller.add(queue, work, 2)
        await caller.commit()
        await caller.add(queue, work, 3)
        await caller.commit()

        assert await apolled(lambda: "its connection has not committed it" in caplog.text, 5)
    [message] = warnings(caplog)
    assert lost.id in message
    assert kept.id not in message


# ---- what is refused


@pytest.mark.parametrize("kind", ["Session", "AsyncSession on asyncpg", "AsyncConnection"])
async def test_a_session_of_another_database_writes_nothing_at_all(queue, url, kind):
    """It has tables of Outlast, too: a job would go to others' workers. Break it: in both, vouch for everybody."""
    base = address_of(url).parameters["dbname"]
    name = f"outlast_{address_of(url).schema}"
    there = url.replace(f"/{base}", f"/{name}")
    execute(url, f"CREATE DATABASE {name} TEMPLATE template0")  # nobody is connected to that one
    migrate(there)
    elsewhere = TaskQueue(store=there, worker="external")
    try:
        async with opened(KINDS[kind], url) as caller:
            await caller.put(1)
            with pytest.raises(
                OptionRefused, match="the session's database is another one; give a session of"
            ):
                await both(caller.add(elsewhere, work, 1), caller.commit)
        assert (things(url), numbers(queue), numbers(elsewhere)) == ([], [], [])
    finally:
        elsewhere.close()
        execute(url, f"DROP DATABASE {name} WITH (FORCE)")


async def both(adding: Awaitable[object], commit: Callable[[], Awaitable[None]]) -> None:
    """A connection is looked at when a job is added, a session when it commits."""
    await adding
    await commit()


@pytest.mark.parametrize("name", KINDS)
async def test_nor_one_whose_database_has_no_such_tables(queue, url, name):
    base = address_of(url).parameters["dbname"]
    elsewhere = url.replace(f"/{base}", "/template1" if base == "postgres" else "/postgres")
    async with opened(KINDS[name], elsewhere) as caller:
        with pytest.raises(OptionRefused, match="has no tables of Outlast in its schema test_"):
            await both(caller.add(queue, work, 1), caller.commit)


async def test_a_user_who_may_not_write_jobs_is_told_what_to_grant(queue, url):
    """Break it: in foreign.require_same, take no notice of the second column."""
    schema = address_of(url).schema
    with connected(url) as connection:
        connection.execute(f"DROP ROLE IF EXISTS {schema}_reader")
        connection.execute(f"CREATE ROLE {schema}_reader LOGIN")
    try:
        theirs = address_url(url).replace("postgres@", f"{schema}_reader@")
        with (
            psycopg.connect(theirs) as connection,
            pytest.raises(OptionRefused, match="GRANT USAGE ON SCHEMA"),
        ):
            queue.enqueue(queue.options(work, session=connection), 1)
    finally:
        with connected(url) as connection:
            connection.execute(f"DROP ROLE {schema}_reader")


async def test_a_connection_that_must_be_awaited_is_refused_where_nothing_can_be(url, queue):
    async with opened(KINDS["AsyncConnection"], url) as caller:
        with pytest.raises(OptionRefused, match=r"await queue\.aenqueue"):
            queue.enqueue(queue.options(work, session=caller.session), 1)


def test_a_connection_that_is_closed_says_so_itself(url, queue):
    with psycopg.connect(address_url(url)) as connection:
        pass

    with pytest.raises(psycopg.OperationalError, match="the connection is closed"):
        queue.enqueue(queue.options(work, session=connection), 1)


async def test_nobody_waits_for_a_job_that_only_his_own_commit_brings(caller, queue):
    job = await caller.add(queue, work, 1)

    with pytest.raises(JobNotFound, match="is committed when its session commits"):
        await job.wait()
    [why] = job.explain()
    assert "your own transaction, is not over" in why.text


# ---- the moment of the commit


def test_the_row_is_written_with_the_commit_and_by_one_statement(url, queue):
    """However many savepoints there were. Break it: in _Ledger.begin_commit, write with every savepoint."""
    engine = create_engine(address_url(url, "psycopg"))
    statements: list[str] = []
    with Session(engine) as session:
        queue.enqueue(queue.options(work, session=session), 0)
        session.commit()
        event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
        for n in range(3):
            with session.begin_nested():
                queue.enqueue(queue.options(work, session=session), n)
        session.commit()
    engine.dispose()

    assert len([sql for sql in statements if ".jobs" in sql]) == 1
    assert "INSERT" in statements[-1]
    assert not any("pg_notify" in sql for sql in statements)


@pytest.mark.parametrize("name", FOLLOWED)
async def test_workers_are_told_after_the_commit(queue, url, name):
    """Not within it: that would make commits wait for each other. Break it: in sessions.keep, tell nobody."""
    listener = PostgresListener.of(address_of(url))
    async with opened(KINDS[name], url) as caller:
        await caller.add(queue, work, 1)
        assert not listener.heard()
        await caller.commit()
        assert await apolled(listener.heard, 5)
    listener.close()


def test_savepoints_that_the_commit_ends_count(url, queue):
    """Break it: in _Ledger._end_savepoint, do not write."""
    engine = create_engine(address_url(url, "psycopg"))
    with Session(engine) as session:
        whole = session.begin()
        queue.enqueue(queue.options(work, session=session), 1)
        session.begin_nested()
        queue.enqueue(queue.options(work, session=session), 2)
        session.begin_nested()
        queue.enqueue(queue.options(work, session=session), 3)
        whole.commit()
    engine.dispose()

    assert numbers(queue) == [1, 2, 3]


def test_a_commit_that_the_database_refuses_leaves_nothing(url, queue, caplog):
    engine = create_engine(address_url(url, "psycopg"))
    with Session(engine) as session:
        for _ in range(2):  # unique, and deferred until the commit
            session.execute(text(f'INSERT INTO "{address_of(url).schema}".things VALUES (1)'))
        job = queue.enqueue(queue.options(work, session=session), 1)
        with pytest.raises(IntegrityError):
            session.commit()
    engine.dispose()

    assert numbers(queue) == []
    assert job.id in caplog.text


def test_two_stores_in_one_transaction(url, queue):
    with new_store() as second:
        other = TaskQueue(store=second, worker="external", clock=ManualClock())
        engine = create_engine(address_url(url, "psycopg"))
        with Session(engine) as session, session.begin():
            queue.enqueue(queue.options(work, session=session), 1)
            other.enqueue(other.options(work, session=session), 2)
        engine.dispose()

        assert (numbers(queue), numbers(other)) == ([1], [2])
        other.close()


def test_others_who_hear_of_the_commit_may_add_jobs_to_it(url, queue):
    """An audit, say: after our rows have been written. Break it: in _Ledger.add, write nothing."""
    engine = create_engine(address_url(url, "psycopg"))
    with Session(engine) as session:
        event.listen(
            session, "before_commit", lambda _: queue.enqueue(queue.options(work, session=session), 2)
        )
        queue.enqueue(queue.options(work, session=session), 1)
        session.commit()
    engine.dispose()

    assert numbers(queue) == [1, 2]


def test_a_connection_in_a_pipeline_takes_jobs(url, queue):
    with psycopg.connect(address_url(url)) as connection, connection.pipeline():
        queue.enqueue(queue.options(work, session=connection), 1)

    assert numbers(queue) == [1]


def test_a_row_of_the_connection_is_ours_whatever_its_owner_makes_of_rows(url, queue):
    with psycopg.connect(address_url(url), row_factory=psycopg.rows.dict_row) as connection:
        queue.enqueue(queue.options(work, session=connection), 1)

    assert numbers(queue) == [1]


def test_a_scoped_session_is_the_one_that_it_stands_for(url, queue):
    from sqlalchemy.orm import scoped_session, sessionmaker

    engine = create_engine(address_url(url, "psycopg"))
    scoped: Any = scoped_session(sessionmaker(engine))
    queue.enqueue(queue.options(work, session=scoped), 1)
    scoped.commit()
    scoped.remove()
    engine.dispose()

    assert numbers(queue) == [1]
