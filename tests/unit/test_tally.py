"""What a worker counts, until it is written."""

from datetime import timedelta

import pytest

from outlast.clock import ManualClock, to_instant
from outlast.errors import StoreError
from outlast.job import Claimed, Reason, State
from outlast.lifecycle import Ending, expiry
from outlast.statistics import MINUTE
from outlast.store import Settled, open_store
from outlast.store.sql_store import success_of
from outlast.worker.tally import Tally

SUCCESS = success_of(0, None)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def store(clock):
    store = open_store("sqlite://", clock=clock)
    yield store
    store.close()


@pytest.fixture
def tally(clock):
    tally = Tally()
    tally.turn(clock.now())
    return tally


def job(clock, task="app:work", ago=0):
    return Claimed("id", 1, task, "{}", 0, None, None, 0, 0, None, "mail", clock.now() - ago)


def minutes(store, clock):
    rows = store.statistics(to_instant(clock.now()) - timedelta(hours=1))
    return [(row.task, row.queue, row.started, row.succeeded) for row in rows]


def test_each_minute_has_what_began_and_ended_in_it(tally, store, clock):
    tally.started(job(clock, ago=30_000))
    clock.advance(timedelta(minutes=1))
    tally.turn(clock.now())
    tally.ended(job(clock), SUCCESS, 0.2)
    tally.write(store)

    assert minutes(store, clock) == [("app:work", "mail", 1, 0), ("app:work", "mail", 0, 1)]
    [total] = store.totals()
    assert (total.late.total, total.run.total) == (timedelta(milliseconds=30), timedelta(milliseconds=200))


def test_nothing_is_written_twice_and_nothing_where_nothing_was_counted(tally, store, clock):
    assert tally.write_at == float("inf")
    tally.started(job(clock))
    assert tally.write_at < float("inf")

    for _ in range(3):
        tally.write(store)

    assert minutes(store, clock) == [("app:work", "mail", 1, 0)]
    assert tally.write_at == float("inf")


def test_what_could_not_be_written_is_written_later(tally, store, clock, monkeypatch):
    def refuse(counts):
        raise StoreError("away")

    tally.started(job(clock))
    with monkeypatch.context() as broken, pytest.raises(StoreError):
        broken.setattr(store, "count", refuse)
        tally.write(store)
    tally.started(job(clock))
    tally.write(store)

    assert minutes(store, clock) == [("app:work", "mail", 2, 0)]


def test_each_way_to_end_is_counted_apart(tally, store, clock):
    def ended(state, **fields):
        plain = {"failures": 0, "deaths": 0, "rescues": 0, "wait": 0}
        return Ending(state=state, **(plain | fields))

    for ending in (
        ended(State.QUEUED, error="no"),
        ended(State.QUEUED),
        ended(State.CANCELLED),
        ended(State.FAILED, reason=Reason.TIMEOUT, error="no"),
        None,
    ):
        tally.ended(job(clock), ending, 1.0)
    tally.ended_elsewhere(
        [Settled("id", 0, expiry(0, 0, 0), None, "app:work", "mail"), Settled("id", 1, None)]
    )
    tally.write(store)

    [total] = store.totals()
    assert (total.retried, total.released, total.cancelled) == (1, 1, 1)
    assert total.failed == {Reason.TIMEOUT: 1, Reason.EXPIRED: 1}
    assert total.run.count == 4


def test_a_clock_that_is_set_back_begins_another_minute(tally, store, clock):
    tally.started(job(clock))
    tally.turn(clock.now() - 5 * MINUTE)
    tally.started(job(clock))
    tally.write(store)

    assert len(minutes(store, clock)) == 2
