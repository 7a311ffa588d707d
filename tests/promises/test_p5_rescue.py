"""P5: work of a dead worker is taken up again without anybody acting, never beside a live orphan of its own; and a
task that merely blocks its loop or the interpreter is not taken for dead.

That no two attempts overlap is read from what they write: the orphan's beats, in a page of shared memory, stop before
the next attempt notes its start.
"""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from outlast.job import State
from outlast.retry import RetryPolicy
from tests.worker.harness import House, last_beat, lives

LONG = timedelta(hours=1)
"""A lease that no test could wait out."""


def test_a_worker_that_is_there_takes_up_a_dead_ones_work_at_once(house: House) -> None:
    """A second worker on the machine goes on with the jobs of a killed one, though its lease has an hour to run.

    Break it: in chores._is_dead, judge by the lease on this machine, too.
    """
    first = house.worker(lease=LONG)
    job = house.add("app:hold", {"door": "door"})
    house.noted("started", job)
    second = house.worker(lease=LONG)
    house.logged(second, "worker started")

    first.kill()

    house.noted("started", job, attempt=2)
    house.open("door")
    assert house.result(job) == 2
    assert house.job(job).failures == 0


def test_a_worker_that_comes_rescues_before_it_does_anything_else(house: House) -> None:
    """The jobs of a dead worker are queued again by the time that a new one says that it has started.

    Break it: in Supervisor._open, leave out the chores.
    """
    house.worker(lease=LONG)
    job = house.add("app:hold", {"door": "door"})
    house.noted("started", job)
    house.processes[0].kill()
    house.add("app:work")

    second = house.worker(lease=LONG)

    house.logged(second, "task=app:work")
    started = house.logged(second, "rescued 1 jobs of the dead worker")
    lines = second.log.splitlines()
    assert not any("started id=" in line for line in lines[: lines.index(started)])
    house.open("door")
    assert house.result(job) == 2


@pytest.mark.parametrize(
    ("task", "arguments"),
    [("app:block", {"door": "door"}), ("app:hog", {"page": "page"}), ("app:count", {"to": 30_000_000})],
    ids=["its loop", "the interpreter", "the interpreter in one call of C"],
)
def test_a_task_that_blocks_is_not_taken_for_dead(
    house: House, task: str, arguments: dict[str, object]
) -> None:
    """While a task lets nothing else run in its child, the lease is renewed, and a second worker leaves it alone.

    Break it: in Supervisor._tend, do not renew, and in chores._is_dead, judge by the lease on this machine, too.
    """
    page = house.page("page")
    house.worker(lease=timedelta(seconds=0.3))
    job = house.add(task, arguments)
    started = house.noted("started", job)
    second = house.worker(lease=LONG)
    house.logged(second, "worker started")

    _lease_renewed(house, times=4)

    assert (house.job(job).state, house.job(job).attempt) in [(State.RUNNING, 1), (State.SUCCEEDED, 1)]
    _let_go(house, page)
    assert house.result(job) == 1
    assert house.starts(job) == [1]
    assert lives(started.pid), "its child is still the one it was"


def test_a_job_is_not_started_beside_its_orphan(house: House) -> None:
    """A child that outlives its supervisor, as its task holds the interpreter, is killed before the job starts again.

    Break it: in chores._rescue, neither kill nor wait for the children.
    """
    page = house.page("page")
    house.worker()
    job = house.add("app:hog", {"page": "page"})
    orphan = house.noted("started", job).pid
    house.until(lambda: last_beat(page), "the first beat")
    house.processes[0].kill()
    assert lives(orphan), "it heard nothing of it"

    house.worker()

    again = house.noted("started", job, attempt=2)
    assert last_beat(page) < again.at
    assert not lives(orphan)
    assert house.result(job) == 2


@pytest.mark.parametrize("victim", ["supervisor", "child", "supervisor of one that holds the interpreter"])
def test_a_job_is_not_started_beside_what_it_forked(house: House, victim: str) -> None:
    """A process that a task forked is gone before the job starts again, whoever of its worker was killed.

    Break it: in child._end_with_forks, only exit; in Child.last_words, do not kill the group; in chores._kill, kill the
    process alone.
    """
    forked, hogged = house.page("forked"), house.page("hogged")
    worker = house.worker()
    job = house.add("app:fork", {"page": "forked", "door": "door"}, retry=RetryPolicy(delay=timedelta(0)))
    child = house.noted("forked", job).pid
    house.until(lambda: last_beat(forked), "the first beat of what it forked")
    if "interpreter" in victim:
        house.add("app:hog", {"page": "hogged"})
        house.until(lambda: last_beat(hogged), "the first beat in the child itself")

    if victim == "child":
        os.kill(child, signal.SIGKILL)
    else:
        worker.kill()
        house.worker()

    again = house.noted("started", job, attempt=2)
    assert last_beat(forked) < again.at
    house.open("door")
    assert house.result(job) == 2


def _lease_renewed(house: House, times: int) -> None:
    """Wait until the lease of the first worker has been prolonged so many times."""
    seen = set()

    def renewed() -> bool:
        seen.add(house.store.workers()[0].lease_until)
        return len(seen) > times

    house.until(renewed, f"{times} renewals")


def _let_go(house: House, page: Path) -> None:
    house.open("door")
    with page.open("r+b") as file:
        file.seek(8)
        file.write(b"\1")
