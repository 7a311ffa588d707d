"""What workers count: minute by minute, hour by hour, and for ever."""

from datetime import timedelta

import pytest

from outlast.clock import to_instant
from outlast.job import Reason
from outlast.statistics import BOUNDS, MINUTE, PLACE, Count, count_end, count_start, nothing
from outlast.store import ALL, JobFilter
from tests.contract.making import put


def count(store, *, task="app:task", queue="default", late=0, took=None, ending="succeeded"):
    """One attempt that began now, and ended if it took so long (ms)."""
    now = store.clock.now()
    numbers = nothing()
    count_start(numbers, late * 1000)
    if took is not None:
        count_end(numbers, PLACE[ending], took * 1000)
    return Count(now - now % MINUTE, task, queue, numbers)


def told(rows):
    return [(row.task, row.queue, row.started, row.succeeded) for row in rows]


def an_hour(store):
    return to_instant(store.clock.now()) - timedelta(hours=1)


def test_a_store_that_nothing_ran_in_has_no_statistics(store):
    assert store.statistics(an_hour(store)) == []
    assert store.totals() == []


def test_what_several_workers_counted_is_added(store, twin):
    store.count([count(store, took=20), count(store, task="app:mail")])
    twin.count([count(store, took=30), count(store, took=7, ending="failed_poison")])

    rows = store.statistics(an_hour(store))

    assert told(rows) == [("app:mail", "default", 1, 0), ("app:task", "default", 3, 2)]
    [_, task] = rows
    assert (task.failed, task.retried, task.cancelled) == ({Reason.POISON: 1}, 0, 0)
    assert (task.run.count, task.run.total) == (3, timedelta(milliseconds=57))
    assert task.run.counts[:4] == (0, 1, 1, 1)  # up to 5, 10, 25, 50 ms
    assert task.late.counts[0] == 3


def test_minutes_are_told_one_by_one_or_in_larger_steps(store, clock):
    begin = to_instant(clock.now())
    for _ in range(4):
        store.count([count(store, took=1)])
        clock.advance(timedelta(minutes=1))

    each = store.statistics(begin)
    in_fours = store.statistics(begin - timedelta(minutes=4), step=timedelta(minutes=4))

    assert [row.started for row in each] == [1, 1, 1, 1]
    assert len({row.start for row in each}) == 4
    assert sum(row.started for row in in_fours) == 4
    assert len(in_fours) <= 2
    assert all(row.start.minute % 4 == 0 for row in in_fours)


def test_an_end_bounds_what_is_told(store, clock):
    store.count([count(store)])
    between = to_instant(clock.now()) + timedelta(minutes=1)
    clock.advance(timedelta(minutes=3))
    store.count([count(store), count(store)])

    assert [row.started for row in store.statistics(an_hour(store), between)] == [1]


def test_minutes_go_and_hours_stay_and_the_totals_only_rise(store, clock):
    store.count([count(store, took=1)])
    long_ago = an_hour(store)
    clock.advance(timedelta(days=3))
    store.count([count(store, task="app:other")])

    minutes = store.statistics(long_ago)
    hours = store.statistics(long_ago, step=timedelta(hours=1))

    assert told(minutes) == [("app:other", "default", 1, 0)]
    assert told(hours) == [("app:task", "default", 1, 1), ("app:other", "default", 1, 0)]
    clock.advance(timedelta(days=60))
    store.count([])
    assert store.statistics(long_ago, step=timedelta(hours=24)) == []
    assert told(store.totals()) == [("app:other", "default", 1, 0), ("app:task", "default", 1, 1)]


@pytest.mark.parametrize("step", [timedelta(seconds=90), timedelta(0), timedelta(minutes=-1)])
def test_a_step_is_whole_minutes(store, step):
    with pytest.raises(ValueError, match="whole minutes"):
        store.statistics(an_hour(store), step=step)


def test_queued_jobs_that_are_cancelled_are_counted_though_no_worker_sees_them(store):
    for task in ("app:mail", "app:mail", "app:task"):
        put(store, task=task)

    store.cancel(JobFilter(task="app:mail"))
    store.cancel(ALL)
    store.cancel(ALL)

    assert [(row.task, row.cancelled) for row in store.totals()] == [("app:mail", 2), ("app:task", 1)]


def test_a_quantile_is_estimated_within_its_bucket(store):
    store.count([count(store, took=took) for took in (30, 30, 30, 200)])
    store.count([count(store, task="app:slow", took=10_000_000)])

    slow, task = store.totals()

    assert timedelta(milliseconds=25) < task.run.quantile(0.5) <= timedelta(milliseconds=50)
    assert timedelta(milliseconds=100) < task.run.quantile(0.99) <= timedelta(milliseconds=250)
    assert slow.run.quantile(0.5) == BOUNDS[-1]
    assert count_nothing(store).run.quantile(0.5) is None


def count_nothing(store):
    store.count([count(store, task="a")])
    return store.totals()[0]
