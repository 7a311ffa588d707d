"""Attempts of tasks with dependencies in a real worker: what they add, and how they are stopped.

Broken on purpose, each of these makes tests here fail:
 - in `SQLStore._keep_more`, leave out the jobs: what a task adds is lost;
 - in `solving.Solver.__call__`, commit what was added at once: a failed attempt leaves its jobs;
 - in `child._in_thread`, leave `_threaded` alone: a `def` that has dependencies cannot be stopped.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from outlast.job import Reason, State
from outlast.retry import RetryPolicy
from outlast.store import JobFilter
from tests.worker.harness import TASKS, House

BRIEF = timedelta(seconds=0.2)
AT_ONCE = RetryPolicy(delay=timedelta(0))
APP = (
    TASKS
    + '''
from typing import Annotated

from fastapi import Depends, FastAPI
from outlast import BackgroundTasks, TaskQueue, current_job

app = FastAPI()
queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}")


async def opened():
    note("opened")
    try:
        yield "session"
        note("committed")
    except BaseException as error:
        note("rolled back", error=type(error).__name__)
        raise


Session = Annotated[str, Depends(opened)]


def adds_below(tasks: BackgroundTasks):
    tasks.add_task(work, "by a dependency")


async def parent(tasks: BackgroundTasks, session: Session, fails=0, below: None = Depends(adds_below)):
    """Adds two jobs, and fails in its first attempts."""
    tasks.add_task(work, 1)
    tasks.add_task(work, 2)
    if current_job().attempt <= fails:
        raise ValueError("after it has added")
    return "done"


async def parent_of_one_that_holds(tasks: BackgroundTasks, door):
    tasks.add_task(hold, door)
    tasks.add_task(work)


def adds_what_it_changes(tasks: BackgroundTasks):
    with open(HERE / "changing", "w+b") as file:
        file.write(b"before")
        file.flush()
        tasks.add_task(work, file)
        file.write(b"after")


def threaded_parent(tasks: BackgroundTasks, door):
    tasks.add_task(work, "added")
    note("added")
    wait_for(door)


async def impatient(tasks: BackgroundTasks):
    job = tasks.add_task(work)
    assert job.state == "queued"
    await job.wait()


async def held_up(session: Session, door):
    await await_for(door)


def threaded(session: Session, door):
    note("began")
    wait_for(door)
'''
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    house = House(tmp_path_factory.mktemp("attempts"))
    try:
        house.write("app", APP)
        house.worker(children=2, slots=8, grace=timedelta(seconds=1))
        yield house
    finally:
        house.close()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    try:
        house.write("app", APP)
        yield house
    finally:
        house.close()


def added_by(house: House, before: set[str]) -> list[str]:
    """What is in the store that was not before: oldest first."""
    return [job.id for job in reversed(house.store.find(limit=1000)) if job.id not in before]


def all_of(house: House) -> set[str]:
    return {job.id for job in house.store.find(limit=1000)}


def test_what_a_task_adds_runs_after_it_has_succeeded_in_the_order_added(served: House) -> None:
    before = all_of(served)
    job = served.add("app:parent")
    assert served.result(job) == "done"

    added = [each for each in added_by(served, before) if each != job]

    assert [served.result(each) for each in added] == ["by a dependency", 1, 2]
    committed = served.noted("committed", job).at
    assert all(served.noted("ran", each).at > committed for each in added)


def test_jobs_of_one_task_are_ordered_as_those_of_one_request(served: House) -> None:
    before = all_of(served)
    job = served.add("app:parent_of_one_that_holds", {"door": "in order"})
    served.ended(job)
    first, second = (each for each in added_by(served, before) if each != job)

    served.noted("started", first)
    assert served.job(second).view == "waiting"
    served.open("in order")
    served.ended(second)


def test_what_a_failed_attempt_added_is_discarded_and_told(served: House) -> None:
    before = all_of(served)
    job = served.add("app:parent", {"fails": 2}, max_attempts=3, retry=AT_ONCE)
    assert served.ended(job).attempt == 3

    added = [each for each in added_by(served, before) if each != job]

    assert [served.result(each) for each in added] == ["by a dependency", 1, 2]
    assert served.processes[0].log.count("3 job(s) discarded, because the task that added them failed") == 2


def test_what_cannot_be_stored_of_what_it_added_is_discarded_and_told(served: House) -> None:
    """Break it: in Solver.__call__, store the files behind the `try`."""
    job = served.add("app:adds_what_it_changes", max_attempts=1)

    assert served.ended(job).state is State.FAILED
    served.logged(served.processes[0], "1 job(s) discarded, because the task that added them failed")


def test_what_a_killed_attempt_added_is_added_by_the_next_one_alone(house: House) -> None:
    house.worker(children=1)
    job = house.add("app:threaded_parent", {"door": "open"})
    os.kill(house.noted("added", job).pid, signal.SIGKILL)
    house.open("open")
    assert house.ended(job).attempt == 2

    assert len(all_of(house)) == 2


def test_a_task_that_waits_for_what_it_adds_is_told_that_this_never_ends(served: House) -> None:
    record = served.ended(served.add("app:impatient", max_attempts=1))
    assert record.error is not None
    assert (
        "is committed when the task that added it has succeeded, so to wait for it here would never end"
        in record.error
    )


def test_a_timeout_rolls_back_what_was_opened(served: House) -> None:
    job = served.add("app:held_up", {"door": "never"}, timeout=BRIEF, max_attempts=1)
    record = served.ended(job)
    assert (record.state, record.reason) == (State.FAILED, Reason.TIMEOUT)
    assert served.noted("rolled back", job).more["error"] == "CancelledError"


def test_a_cancel_rolls_back_what_was_opened(served: House) -> None:
    job = served.add("app:held_up", {"door": "never"})
    served.noted("opened", job)
    served.store.cancel(JobFilter(ids=(job,)))
    served.ring()
    assert served.ended(job).state is State.CANCELLED
    assert served.noted("rolled back", job).more["error"] == "CancelledError"


def test_a_def_that_runs_out_of_time_ends_with_its_child(served: House) -> None:
    job = served.add("app:threaded", {"door": "nobody opens"}, timeout=BRIEF, max_attempts=1)
    record = served.ended(job)
    assert record.reason is Reason.TIMEOUT
    assert "wait_for(door)" in served.store.attempts(job)[0].traceback


def test_a_shutdown_hands_it_back_and_it_is_opened_anew(house: House) -> None:
    worker = house.worker(children=1, grace=timedelta(seconds=0.2))
    job = house.add("app:held_up", {"door": "later"})
    house.noted("opened", job)
    assert worker.terminate() == 0
    record = house.job(job)
    assert (record.state, record.failures) == (State.QUEUED, 0)

    house.worker(children=1)
    house.open("later")
    assert house.ended(job).state is State.SUCCEEDED
    assert [note.more.get("error") for note in house.diary("rolled back", job)] == ["CancelledError"]
