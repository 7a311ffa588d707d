"""Random histories of a session: after each, the jobs in the store are those whose rows of data are there, too."""

from __future__ import annotations

import gc
import json
import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import InvalidRequestError, ResourceClosedError
from sqlalchemy.orm import Session

from outlast import TaskQueue
from outlast.address import address_of
from tests.asgi import jobs
from tests.histories import in_time, many
from tests.postgres.callers import address_url, make_table, things
from tests.postgresql import new_store
from tests.stores import execute

STEPS = [
    "add",
    "add",
    "job alone",
    "savepoint",
    "release",
    "take back",
    "whole",
    "commit",
    "rollback",
    "close",
]


def work(n: int) -> None: ...


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with new_store() as url:
        make_table(url)
        yield url


@pytest.fixture(scope="module")
def queue(url: str) -> Iterator[TaskQueue]:
    queue = TaskQueue(store=url, worker="external")
    yield queue
    queue.close()


@pytest.fixture(scope="module")
def engine(url: str) -> Iterator[Engine]:
    engine = create_engine(address_url(url, "psycopg"))
    yield engine
    engine.dispose()


class History:
    """One session, and what is done with it."""

    def __init__(self, queue: TaskQueue, engine: Engine) -> None:
        self.queue = queue
        self.session = Session(engine)
        self.number = 0
        self.alone = 0

    def take(self, step: str) -> None:
        session = self.session
        nested = session.get_nested_transaction()
        match step:
            case "add":
                self.number += 1
                schema = address_of(self.queue.url).schema
                session.execute(text(f'INSERT INTO "{schema}".things VALUES ({self.number})'))
                self.queue.enqueue(self.queue.options(work, session=session), self.number)
            case "job alone":
                self.alone += 1
                self.queue.enqueue(self.queue.options(work, session=session), -self.alone)
            case "savepoint":
                session.begin_nested()
            case "release" if nested:
                nested.commit()
            case "take back" if nested:
                nested.rollback()
            case "whole" if whole := session.get_transaction():
                whole.commit()
            case "commit":
                session.commit()
            case "rollback":
                session.rollback()
            case "close":
                session.close()


@in_time
@many(60)
@given(steps=st.lists(st.sampled_from(STEPS), max_size=16))
def test_jobs_and_data_share_one_fate(queue, engine, url, caplog, steps):
    """And every job that was added and is not there was told.

    Break it: in of_sqlalchemy._Ledger.end, take every end for a commit, or none.
    """
    execute(url, "DELETE FROM jobs; DELETE FROM things")
    caplog.clear()
    history = History(queue, engine)
    with caplog.at_level(logging.WARNING):
        for step in steps:
            with suppress(InvalidRequestError, ResourceClosedError):
                history.take(step)
        history.session.close()
        added = history.number + history.alone
        del history
        gc.collect()

    there = [json.loads(record.luggage)["n"] for record in jobs(queue)]
    lost = [record.args[0] for record in caplog.records if "discarded" in record.msg]
    assert sorted(n for n in there if n > 0) == things(url)
    assert len(there) + sum(lost) == added
