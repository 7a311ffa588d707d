"""P4: one attempt of a job holds the fence, and only it can end the job.

A worker on the same machine is dead when its lock is free, one elsewhere when its lease is over. To have a living one
taken for dead, its supervisor is stopped, its lock files are removed, as a person might who tidies up, and its lease
is ended.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from outlast.job import State
from tests.stores import execute
from tests.worker.harness import TASKS, House, Process

APP = (
    TASKS
    + '''

def turn(door, err=False):
    """Each attempt has a door of its own."""
    attempt = current_job().attempt
    note("started")
    wait_for(f"{door}{attempt}")
    note("done")
    if err:
        raise ValueError(f"attempt {attempt} erred")
    return attempt
'''
)


@pytest.mark.parametrize("err", [False, True], ids=["success", "error"])
def test_a_worker_taken_for_dead_cannot_end_a_job_that_its_successor_runs(house: House, err: bool) -> None:
    """What the old worker says of attempt 1 is not counted while attempt 2 runs.

    Break it: in sqlite.sql, leave `attempt = ?` out of the fence of `succeed` and of `standing`.
    """
    old, job = _stopped_after_its_task(house, err)
    new = _taken_for_dead(house, old)
    house.noted("started", job, attempt=2)

    old.go_on()
    house.logged(old, "not counted")

    assert (house.job(job).state, house.job(job).attempt) == (State.RUNNING, 2)
    house.open("turn2")
    _ended_by_attempt_2(house, job, err)
    assert new.is_alive


@pytest.mark.parametrize("err", [False, True], ids=["success", "error"])
def test_a_worker_taken_for_dead_cannot_overwrite_what_its_successor_has_ended(
    house: House, err: bool
) -> None:
    """What the old worker says of attempt 1 is not counted after attempt 2 has ended the job.

    Break it: in the SQL, leave the whole fence out of `succeed`, of `standing` and of `end`: only the id counts.
    """
    old, job = _stopped_after_its_task(house, err)
    house.open("turn2")
    _taken_for_dead(house, old)
    _ended_by_attempt_2(house, job, err)
    before = house.job(job)

    old.go_on()
    house.logged(old, "not counted")

    assert house.job(job) == before


def test_a_worker_taken_for_dead_stops_its_jobs_and_begins_anew(house: House) -> None:
    """Once it goes on and learns that it was taken for dead, it ends what it runs, and serves again as another worker.

    Break it: in Supervisor._tend, do not call _cut_off.
    """
    house.write("app", APP)
    old = house.worker()
    job = house.add("app:turn", {"door": "turn"})
    first = house.noted("started", job)
    old.stop()
    new = _taken_for_dead(house, old)
    house.noted("started", job, attempt=2)

    old.go_on()
    house.logged(old, "lease lost: ended 1 running jobs")
    house.until(lambda: first.pid not in house.everybody(), "the child of attempt 1 to be gone")
    house.open("turn2")
    assert house.result(job) == 2
    new.terminate()

    assert house.result(house.add("app:work", {"value": 1})) == 1, "the old worker serves again"


def _stopped_after_its_task(house: House, err: bool) -> tuple[Process, str]:
    """A worker whose supervisor stands still while the outcome of attempt 1 lies in its socket."""
    house.write("app", APP)
    old = house.worker(
        lease=timedelta(hours=1)
    )  # so long that it settles before it asks whether it is still known
    job = house.add("app:turn", {"door": "turn", "err": err}, max_attempts=1)
    house.noted("started", job)
    old.stop()
    house.open("turn1")
    house.noted("done", job)
    return old, job


def _taken_for_dead(house: House, old: Process) -> Process:
    """A second worker, which finds no lock of the first, and its lease over."""
    for lock in house.premises.folder.glob("worker.*.lock"):
        lock.unlink()
    execute(house.url, "UPDATE workers SET lease_until = 0")
    assert old.is_alive
    new = house.worker()
    house.logged(new, "rescued 1 jobs of the dead worker")
    return new


def _ended_by_attempt_2(house: House, job: str, err: bool) -> None:
    record = house.ended(job)
    assert record.attempt == 2
    if err:
        assert (record.state, record.error) == (State.FAILED, "ValueError: attempt 2 erred")
    else:
        assert house.result(job) == 2
