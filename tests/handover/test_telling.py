"""What jobs tell of themselves, and what is counted of them, reaches the store from an engine's own process, too.

The tasks are those of tests/worker/test_telling.py: each engine is held to what Outlast's own worker is.
"""

from datetime import UTC, datetime, timedelta

import pytest

from outlast.retry import RetryPolicy
from tests.handover.conftest import told
from tests.handover.engines import CELERY_ON_REDIS, DRAMATIQ_ON_REDIS, RQ
from tests.stores import sqlite
from tests.worker.test_telling import TELLING, texts

APP = f"""{TELLING}

def tell_while_the_store_is_away():
    from outlast.errors import StoreUnusable
    from outlast.store.sqlite import SQLiteStore

    keep, tried = SQLiteStore.keep, threading.Event()

    def fail(store, told):
        SQLiteStore.keep = keep
        tried.set()
        raise StoreUnusable("away")

    SQLiteStore.keep = fail
    current_job().progress(1)
    log.warning("told")
    tried.wait()


def take_a_minute():
    now = queue.clock.now
    queue.clock.now = lambda: now() + 60_000_000
"""
PLACES = [(kind, sqlite) for kind in (CELERY_ON_REDIS, RQ, DRAMATIQ_ON_REDIS)]
pytestmark = pytest.mark.parametrize("served", PLACES, ids=told, indirect=True, scope="module")


@pytest.mark.parametrize("task", ["half", "ahalf"])
def test_progress_is_seen_while_a_task_runs_and_the_last_of_it_when_it_has_ended(served, task):
    house = served.house
    job = served.add(f"app:{task}", {"door": f"{task}-door"})

    seen = house.reached(job, lambda job: job.progress is not None, "has told its progress").progress
    assert (seen.done, seen.total, seen.note) == (5, 10, "half of it")
    house.open(f"{task}-door")

    assert house.ended(job).progress.done == 10


def test_lines_come_while_a_task_runs_each_once_and_in_their_order(served):
    """Also what it prints, though Celery makes log lines of that."""
    house = served.house
    job = served.add("app:say", {"door": "say"})
    house.until(lambda: len(texts(house, job)) >= 2, "two lines")
    assert texts(house, job) == ["one two", "printed in pieces"]
    house.open("say")
    house.ended(job)

    log = house.store.log(job)
    assert [line.text.splitlines()[0] for line in log[2:]] == ["three", "no end of line"]
    assert log[2].text.endswith("ZeroDivisionError: division by zero")
    assert [line.logger for line in log] == ["app", "stdout", "app", "stdout"]


def test_what_is_told_while_the_store_is_away_is_kept_until_it_is_back(served):
    house = served.house
    job = served.add("app:tell_while_the_store_is_away")

    assert house.ended(job).progress.done == 1
    assert texts(house, job) == ["told"]


def test_attempts_are_counted_and_timed_and_each_end_in_its_own_minute(served):
    job = served.add("app:err", {"times": 1}, retry=RetryPolicy(delay=timedelta(milliseconds=10)))
    served.house.result(job)
    served.house.result(served.add("app:take_a_minute"))
    total = served.counted("app:err", lambda total: total.succeeded)
    served.counted("app:take_a_minute", lambda total: total.succeeded)

    assert (total.started, total.retried, total.succeeded) == (2, 1, 1)
    assert (total.run.count, total.late.count) == (2, 2)
    now, around = datetime.now(UTC), timedelta(minutes=5)
    minutes = served.house.store.statistics(now - around, now + around)
    of_it = [(each.started, each.succeeded) for each in minutes if each.task == "app:take_a_minute"]
    assert of_it == [(1, 0), (0, 1)]
