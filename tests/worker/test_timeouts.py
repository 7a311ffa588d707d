"""Timeouts: of async tasks by cancellation, of def tasks with their child, once its other jobs have drained."""

from __future__ import annotations

from datetime import timedelta

from outlast.clock import steady
from outlast.job import Claimed, Reason, State
from outlast.retry import RetryPolicy
from outlast.worker.supervisor import Supervisor
from tests.worker.harness import TASKS, House, lives

BRIEF = timedelta(seconds=0.2)
APP = (
    TASKS
    + '''

async def clean_up(door):
    """Needs a moment to stop, and has something to return all the same."""
    try:
        await await_for(door)
    except asyncio.CancelledError:
        await asyncio.to_thread(note, "cleaned up")
        return "cleaned up"
'''
)
SETTINGS = {"grace": timedelta(seconds=1), "slots": 16}


def test_an_async_task_is_cancelled_and_has_failed(served: House) -> None:
    """Its code sees the cancellation; nothing else in the child is touched."""
    child = served.child()
    job = served.add("app:ahold", {"door": "never"}, timeout=BRIEF, max_attempts=1)

    record = served.ended(job)

    assert (record.state, record.reason, record.failures) == (State.FAILED, Reason.TIMEOUT, 1)
    assert served.diary("cancelled", job)
    assert served.child() == child


def test_a_timeout_is_a_failure_like_any_other(served: House) -> None:
    """It is tried again by the job's policy, while attempts are left."""
    job = served.add(
        "app:ahold", {"door": "never"}, timeout=BRIEF, max_attempts=2, retry=RetryPolicy(delay=timedelta(0))
    )

    assert served.ended(job).attempt == 2
    assert [each.outcome for each in served.store.attempts(job)] == ["timed out", "timed out"]


def test_what_a_cancelled_task_returns_counts(served: House) -> None:
    """A task that makes the best of its cancellation and returns has succeeded."""
    job = served.add("app:clean_up", {"door": "never"}, timeout=BRIEF)

    assert served.result(job) == "cleaned up"


def test_a_task_that_ends_in_time_is_left_alone(served: House) -> None:
    """The timeout of one that has ended stops nobody, and the next job with one is timed from its own start."""
    child = served.child()
    jobs = [served.add("app:work", {"value": n}, timeout=timedelta(seconds=5)) for n in range(3)]

    assert served.results(jobs) == [0, 1, 2]
    assert served.child() == child


def test_a_stuck_def_task_ends_with_its_child_and_the_neighbours_drain(house: House) -> None:
    """Its child takes no new jobs, finishes what else it has, and is replaced; nobody innocent pays."""
    house.write("app", APP)
    house.worker(children=1, grace=timedelta(seconds=30))
    neighbours = [house.add(task, {"door": "neighbour"}) for task in ("app:hold", "app:ahold")]
    child = house.noted("started", neighbours[0]).pid
    house.noted("started", neighbours[1])
    stuck = house.add("app:hold", {"door": "never"}, timeout=BRIEF, max_attempts=1)
    house.logged(house.processes[0], f"child {child} is stuck")

    newcomer = house.child()
    assert newcomer != child, "new jobs run in another child"
    house.open("neighbour")

    assert house.results(neighbours) == [1, 1]
    record = house.ended(stuck)
    assert (record.state, record.reason, record.failures) == (State.FAILED, Reason.TIMEOUT, 1)
    assert [house.job(each).failures for each in neighbours] == [0, 0]
    assert not lives(child)


def test_neighbours_that_do_not_drain_in_time_are_handed_back(served: House) -> None:
    """When the grace is over the stuck child is ended with whoever is still in it: they start again, at no cost."""
    neighbour = served.add("app:hold", {"door": "slow"}, max_attempts=1)
    served.noted("started", neighbour)
    stuck = served.add("app:hold", {"door": "never"}, timeout=BRIEF, max_attempts=1)

    assert served.ended(stuck).reason == Reason.TIMEOUT
    served.noted("started", neighbour, attempt=2)
    served.open("slow")
    assert served.result(neighbour) == 2
    assert served.job(neighbour).failures == 0


def test_an_async_task_that_defies_its_cancellation_ends_with_its_child(served: House) -> None:
    """After the grace it is given up, as a def task is at once."""
    job = served.add("app:defy", {"door": "never"}, timeout=BRIEF, max_attempts=1)
    child = served.noted("started", job).pid

    record = served.ended(job)

    assert (record.state, record.reason) == (State.FAILED, Reason.TIMEOUT)
    assert served.diary("cancelled", job)
    assert not lives(child)
    assert served.child() != child


def test_a_stuck_task_that_ends_after_all_costs_its_child_no_kill(house: House) -> None:
    """A child that was to be replaced but has drained leaves the lifespan as on any other day."""
    lifespan = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def lifespan(app):
    yield
    note("down")

queue.worker_lifespan = lifespan
"""
    house.write("app", TASKS + lifespan)
    worker = house.worker(grace=timedelta(hours=1))
    neighbour = house.add("app:ahold", {"door": "neighbour"})
    child = house.noted("started", neighbour).pid
    stuck = house.add("app:hold", {"door": "door"}, timeout=BRIEF)
    house.logged(worker, "is stuck")
    house.open("door")
    assert house.result(stuck) == 1
    house.open("neighbour")

    assert house.noted("down").pid == child
    assert house.result(neighbour) == 1


def test_the_deadlines_of_what_has_ended_are_not_kept(house: House) -> None:
    """However many jobs with long timeouts have ended, the worker remembers few of them."""
    supervisor = Supervisor(house.settings())
    job = Claimed("id", 1, "app:work", "{}", 0, None, 3_600_000_000, 0, 0, None)
    for number in range(20_000):
        supervisor._set_deadline(steady() + 3600, job._replace(id=str(number)))

    assert len(supervisor._deadlines) <= 1001
