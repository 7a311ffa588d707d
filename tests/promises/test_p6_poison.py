"""P6: what kills its child three times is poison; the innocent who were with it are cleared; and a dead supervisor is
held against nobody, up to twenty times."""

from __future__ import annotations

from datetime import timedelta

import pytest

from outlast.clock import SystemClock, to_instant
from outlast.job import Reason, State
from outlast.lifecycle import MAX_RESCUES
from outlast.retry import RetryPolicy
from outlast.store import WorkerRecord
from tests.worker.harness import TASKS, House

FLICKER = '''

def flicker():
    """Dies, errs, dies, errs, dies, errs, and succeeds."""
    attempt = current_job().attempt
    if attempt == 7:
        return attempt
    if attempt % 2:
        os.kill(os.getpid(), 9)
    raise ValueError(attempt)
'''
AT_ONCE = RetryPolicy(delay=timedelta(0))


def test_a_job_whose_child_dies_three_times_is_poison(house: House) -> None:
    """After the third death of its child the job has failed, with that reason, whatever attempts were left.

    Break it: set lifecycle.MAX_DEATHS to 4.
    """
    house.worker()
    job = house.add("app:die", max_attempts=10, retry=AT_ONCE)

    record = house.ended(job)

    assert (record.state, record.reason, record.attempt) == (State.FAILED, Reason.POISON, 3)
    assert (
        record.error
        == "its child process died 3 times with it; last: its child process was killed by SIGKILL"
    )
    assert house.starts(job) == [1, 2, 3]
    assert house.result(house.add("app:work", {"value": 1})) == 1, "the worker goes on"


@pytest.mark.parametrize("children", [1, 2])
def test_the_innocent_run_alone_and_are_cleared(house: House, children: int) -> None:
    """Jobs that were in a child when another killed it run again one at a time, lose no failure, and succeed.

    Break it: in Supervisor._bury, say alone=True for each; or in Nursery.reserve, say True though the child is busy; or
    in Child.free, take no notice of is_reserved.
    """
    worker = house.worker(children=children)
    pids: dict[str, int] = {}
    while len(pids) < 4 or len(set(pids.values())) < children:
        innocent = house.add("app:hold", {"door": f"door-{len(pids)}"})
        pids[innocent] = house.noted("started", innocent).pid
    innocents = list(pids)
    poison = house.add("app:die", retry=AT_ONCE)
    killed = house.noted("started", poison).pid
    suspects = [innocent for innocent in innocents if pids[innocent] == killed]
    assert suspects
    behind = [house.add("app:work", {"value": n}) for n in range(30)]

    for number, innocent in enumerate(innocents):
        if innocent in suspects:
            house.noted("started", innocent, attempt=2)
            if children > 1:  # the worker has looked for more to do beside it
                house.result(house.add("app:work"))
        house.open(f"door-{number}")

    assert house.ended(poison).reason == Reason.POISON
    assert house.results(innocents) == [2 if innocent in suspects else 1 for innocent in innocents]
    assert {house.job(innocent).failures for innocent in innocents} == {0}
    assert house.results(behind) == list(range(30))
    assert worker.is_alive
    _were_alone(house, [poison, *suspects])


def test_suspects_and_others_do_not_wait_for_one_another(house: House) -> None:
    """While each child has a long job, a suspect runs alone in one child more, and other jobs run beside the long ones.

    Break it: in Nursery.reserve, take the least busy child instead of one more.
    """
    house.worker(children=1)
    suspect = house.add("app:die", retry=RetryPolicy(delay=timedelta(seconds=0.5), factor=1))
    house.reached(suspect, lambda record: record.failures == 1, "has crashed once")
    long = house.add("app:hold", {"door": "door"})
    house.noted("started", long)

    assert house.ended(suspect).reason == Reason.POISON
    assert house.result(house.add("app:work", {"value": 1})) == 1
    assert house.job(long).state is State.RUNNING
    house.open("door")
    assert house.result(long) == 1
    house.until(lambda: len(house.children(house.supervisor())) == 1, "the one child more to be gone")


def test_an_attempt_that_ends_clears_a_suspect(house: House) -> None:
    """Three deaths of its child are poison in a row only: whatever else an attempt comes to, the count begins anew.

    Break it: in lifecycle._failure, keep job.deaths where it says deaths=0.
    """
    house.write("app", TASKS + FLICKER)
    house.worker()

    job = house.add("app:flicker", max_attempts=10, retry=AT_ONCE)

    assert house.result(job) == 7


def test_the_death_of_supervisors_is_not_held_against_a_job(house: House) -> None:
    """A job whose supervisor is killed under it, four times, has no failure, is no suspect, and succeeds.

    Break it: in lifecycle._lost, count a failure, with max_attempts=1 the job then ends.
    """
    job = house.add("app:hold", {"door": "door"}, max_attempts=1)
    for attempt in range(1, 5):
        worker = house.worker()
        house.noted("started", job, attempt=attempt)
        worker.kill()
    house.open("door")

    house.worker()

    assert house.result(job) == 5
    assert house.job(job).failures == 0


def test_a_job_is_given_up_after_twenty_deaths_of_its_supervisor(house: House) -> None:
    """The cap: the twentieth dead supervisor fails the job, so that one that brings down machines comes to an end.

    Break it: set lifecycle.MAX_RESCUES to 21.
    """
    job = house.add("app:hold", {"door": "door"})
    for number in range(MAX_RESCUES - 1):
        _claimed_by_one_that_dies(house, f"dead-{number}")
    assert house.job(job).state == State.QUEUED
    worker = house.worker()
    house.noted("started", job)
    worker.kill()

    house.worker()

    record = house.ended(job)
    assert (record.state, record.reason, record.failures) == (State.FAILED, Reason.RESCUES, 0)
    assert record.error == "its worker died 20 times under it"


def _were_alone(house: House, suspects: list[str]) -> None:
    """From its second attempt on, nothing ran in a suspect's child but the suspect."""
    alone: dict[int, str | None] = {}
    for note in house.diary():
        assert alone.get(note.pid) in (None, note.job), f"{note} beside {alone[note.pid]}"
        if note.job in suspects and note.event == "started" and (note.attempt or 0) > 1:
            alone[note.pid] = note.job
        elif note.event == "done":
            alone.pop(note.pid, None)


def _claimed_by_one_that_dies(house: House, worker: str) -> None:
    """What a worker writes that claims and is then killed, and what the next one makes of it."""
    now = to_instant(SystemClock().now())
    house.store.enter(
        WorkerRecord(
            id=worker, host="here", premises="", pid=0, queues=None, slots=1, started_at=now, lease_until=now
        )
    )
    assert len(house.store.claim(worker, 1)) == 1
    house.store.rescue(worker)
