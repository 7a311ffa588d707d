"""P7, the worker's side: jobs of one request first start in the order added, each once the one before has ended its
first attempt. How a request's jobs come to be chained is tested with the face."""

from __future__ import annotations

from datetime import timedelta

import pytest

from outlast.job import NewJob, State
from outlast.queue import TaskQueue
from outlast.retry import RetryPolicy
from outlast.store import JobFilter
from tests.worker.harness import House

LATER = RetryPolicy(delay=timedelta(hours=1), max_delay=timedelta(hours=1))


def test_each_waits_until_the_one_before_has_ended(house: House) -> None:
    """With slots to spare, the second does not start while the first runs, nor the third while the second does.

    Break it: in queue._chained, write waiting=0 into every row.
    """
    house.worker()
    jobs = house.chain([house.row("app:hold", {"door": f"door-{n}"}) for n in range(3)])
    for number, job in enumerate(jobs):
        house.noted("started", job)
        _is_idle(house)
        assert house.diary("started")[-1].job == job, "one behind it has started"
        house.open(f"door-{number}")

    assert house.results(jobs) == [1, 1, 1]
    assert [note.job for note in house.diary("started")] == jobs


@pytest.mark.parametrize("task", ["app:err", "app:die"], ids=["an error", "a crash"])
def test_a_failed_attempt_lets_the_next_start(house: House, task: str) -> None:
    """One that errs or crashes does not stop those behind it; its retries run alongside.

    Break it: in lifecycle._failure, say opens=False in the last line.
    """
    house.worker()
    first, second = house.chain([house.row(task, retry=LATER), house.row("app:work", {"value": 2})])

    assert house.result(second) == 2
    assert house.starts(first) == [1]
    assert (house.job(first).state, house.job(first).view) == (State.QUEUED, "retrying")


def test_a_release_does_not_let_the_next_start(house: House) -> None:
    """When the worker leaves in the middle of the first, the first starts again before the second starts at all.

    Break it: in lifecycle._unsuccessful, say opens=True for Released.
    """
    worker = house.worker()
    first, second = house.chain(
        [house.row("app:hold", {"door": "door"}), house.row("app:hold", {"door": "door"})]
    )
    house.noted("started", first)
    assert worker.terminate() == 0

    house.worker()
    house.noted("started", first, attempt=2)
    _is_idle(house)
    assert house.starts(second) == []

    house.open("door")
    assert house.results([first, second]) == [2, 1]


def test_the_death_of_the_worker_lets_the_next_start(house: House) -> None:
    """A first attempt that died with its supervisor has ended: both then run, side by side.

    Break it: in lifecycle._lost, say opens=False.
    """
    worker = house.worker()
    first, second = house.chain(
        [house.row("app:hold", {"door": "door"}), house.row("app:hold", {"door": "door"})]
    )
    house.noted("started", first)
    worker.kill()

    house.worker()

    house.noted("started", second)
    assert house.job(first).state in (State.QUEUED, State.RUNNING)
    house.open("door")
    assert house.results([first, second]) == [2, 1]


@pytest.mark.parametrize("fate", ["cancelled", "expired", "delayed"])
def test_one_that_will_not_start_soon_holds_up_nobody(house: House, fate: str) -> None:
    """A first job that was cancelled, has expired or was itself delayed lets the second start.

    Break it: in SQLiteStore._let_go, do nothing; for the delayed one, in queue._chained, do not ask for run_at.
    """
    options = {"expires": timedelta(microseconds=1)} if fate == "expired" else {}
    options |= {"delay": timedelta(hours=1)} if fate == "delayed" else {}
    first, second = house.chain([house.row("app:work", **options), house.row("app:work", {"value": 2})])
    if fate == "cancelled":
        house.store.cancel(JobFilter(ids=(first,)))

    house.worker()

    assert house.result(second) == 2
    assert not house.diary("ran", first)


def test_without_order_they_run_side_by_side(house: House) -> None:
    """TaskQueue(ordered=False): the second starts while the first still runs.

    Break it: in TaskQueue.bind, do not ask for self.ordered.
    """
    house.worker()
    rows: list[NewJob] = [house.row("app:hold", {"door": "door"}) for _ in range(2)]
    house.add_all(TaskQueue(store=house.url, ordered=False).bind(rows))

    for row in rows:
        house.noted("started", row.id)
    house.open("door")
    assert house.results([row.id for row in rows]) == [1, 1]


def _is_idle(house: House) -> None:
    """The worker has a free slot and has looked for work: a job added now runs at once."""
    house.result(house.add("app:work"))
