"""Cancel: of what is queued at once, of what runs by stopping its code; `cancelled` is written once it has stopped."""

from __future__ import annotations

from datetime import timedelta

import pytest

from outlast.job import State
from outlast.retry import RetryPolicy
from outlast.store import JobFilter
from tests.worker.harness import TASKS, House, lives

APP = (
    TASKS
    + """

async def complain(door):
    note("started")
    try:
        await await_for(door)
    except asyncio.CancelledError:
        raise RuntimeError("not now") from None
"""
)
SETTINGS = {"grace": timedelta(seconds=0.5)}


@pytest.mark.parametrize(
    "options", [{"delay": timedelta(hours=1)}, {"queue": "paused"}], ids=["delayed", "in a paused queue"]
)
def test_what_is_queued_is_cancelled_at_once(served: House, options: dict[str, object]) -> None:
    """No worker is needed for it, and none runs it afterwards."""
    served.store.pause("paused")
    job = served.add("app:work", **options)

    _cancel(served, job)

    assert served.job(job).state is State.CANCELLED
    served.store.resume("paused")
    served.result(served.add("app:work", queue="paused"))
    assert not served.diary("ran", job)


def test_what_waits_for_a_retry_is_cancelled_at_once(served: House) -> None:
    """It has failed once; it does not fail again."""
    job = served.add("app:err", retry=RetryPolicy(delay=timedelta(hours=1), max_delay=timedelta(hours=1)))
    served.reached(job, lambda record: record.view == "retrying", "is to be tried again")

    _cancel(served, job)

    assert served.job(job).state is State.CANCELLED


def test_a_running_async_task_is_stopped(served: House) -> None:
    """Its code sees the cancellation; the child goes on."""
    job = served.add("app:ahold", {"door": "never"})
    child = served.noted("started", job).pid

    _cancel(served, job)

    assert served.ended(job).state is State.CANCELLED
    assert served.diary("cancelled", job)
    assert served.child() == child


def test_an_async_task_that_has_not_begun_is_stopped_too(house: House) -> None:
    """A cancel that comes while another task blocks the loop is neither forgotten nor does the job's end get lost."""
    worker = house.worker(grace=timedelta(hours=1))
    blocker = house.add("app:block", {"door": "blocked"})
    house.noted("started", blocker)
    jobs = [house.add("app:ahold", {"door": "never"}) for _ in range(3)]
    for job in jobs:
        house.running(job)
        _cancel(house, job)
    stuck = house.add("app:hold", {"door": "blocked"})
    house.noted("started", stuck)
    _cancel(house, stuck)
    house.logged(worker, "is stuck")  # so the child has heard of the cancels before it

    house.open("blocked")

    for job in jobs:
        assert house.ended(job).state is State.CANCELLED
    assert house.result(blocker) == 1


def test_a_running_def_task_is_stopped_with_its_child_and_the_neighbours_drain(served: House) -> None:
    """`cancelled` is true: when it is written, no code of the job runs any more."""
    neighbour = served.add("app:ahold", {"door": "neighbour"})
    served.noted("started", neighbour)
    job = served.add("app:hold", {"door": "never"})
    child = served.noted("started", job).pid

    _cancel(served, job)
    served.logged(served.processes[0], f"child {child} is stuck")
    assert served.job(job).view == "cancelling"
    assert lives(child)
    served.open("neighbour")

    assert served.ended(job).state is State.CANCELLED
    assert not lives(child)
    assert served.result(neighbour) == 1


def test_a_task_that_defies_its_cancellation_is_stopped_with_its_child(served: House) -> None:
    """It has the grace to think better of it."""
    job = served.add("app:defy", {"door": "never"})
    child = served.noted("started", job).pid

    _cancel(served, job)
    served.noted("cancelled", job)

    assert served.ended(job).state is State.CANCELLED
    assert not lives(child)


def test_a_task_that_answers_its_cancellation_with_an_error_is_cancelled(served: House) -> None:
    """It is not tried again, though attempts are left; its error is kept."""
    job = served.add("app:complain", {"door": "never"})
    served.noted("started", job)

    _cancel(served, job)

    assert (served.ended(job).state, served.job(job).error) == (State.CANCELLED, "RuntimeError: not now")


def test_a_task_that_ends_before_it_can_be_stopped_has_succeeded(served: House) -> None:
    """What is done is done: its result is kept."""
    job = served.add("app:defy", {"door": "anyway"})
    served.noted("started", job)

    _cancel(served, job)
    served.noted("cancelled", job)
    served.open("anyway")

    assert served.result(job) == 1


def test_what_has_ended_cannot_be_cancelled(served: House) -> None:
    """The store says that it touched nothing."""
    job = served.add("app:work", {"value": 1})
    served.result(job)

    assert served.store.cancel(JobFilter(ids=(job,))) == []
    assert served.result(job) == 1


def _cancel(house: House, job: str) -> None:
    """As a server does it: ask the store, and ring."""
    assert [each.id for each in house.store.cancel(JobFilter(ids=(job,)))] == [job]
    house.ring()
