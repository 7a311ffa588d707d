"""When a job starts: delays, instants, deadlines; by priority; in queues that a worker serves and are not paused."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from outlast.clock import SystemClock, to_instant
from outlast.job import Reason, State
from tests.worker.harness import House

SETTINGS = {"children": 1, "slots": 1}


def test_a_delayed_job_starts_when_its_time_has_come(served: House) -> None:
    """Not before; until then it is scheduled, and holds up nobody."""
    delayed = served.add("app:work", delay=timedelta(seconds=1))
    assert served.job(delayed).view == "scheduled"
    assert served.result(served.add("app:work", {"value": 1})) == 1

    record = served.ended(delayed)

    assert record.started_at is not None
    assert record.started_at >= record.run_at
    assert record.run_at - record.created_at == timedelta(seconds=1)


def test_a_job_with_an_instant_starts_then(served: House) -> None:
    """An instant in the past means now."""
    now = to_instant(SystemClock().now())
    past, ahead = (served.add("app:work", run_at=now + timedelta(seconds=s)) for s in (-60, 0.3))

    served.ended(past)
    record = served.ended(ahead)

    assert record.started_at is not None
    assert record.started_at >= now + timedelta(seconds=0.3)


def test_a_delay_is_a_row_and_no_workers_memory(house: House) -> None:
    """The worker that has seen the job is killed; the next one starts it at its time."""
    first = house.worker()
    house.child()
    delayed = house.add("app:work", {"value": 1}, delay=timedelta(seconds=1))
    house.result(house.add("app:work"))
    first.kill()

    house.worker()

    assert house.result(delayed) == 1
    assert house.job(delayed).attempt == 1


def test_what_has_expired_is_not_started_and_what_has_started_does_not_expire(served: House) -> None:
    """A deadline is for the start: one that passes while the job runs changes nothing."""
    running = served.add("app:hold", {"door": "late"}, expires=timedelta(hours=1))
    served.noted("started", running)
    _move_deadline_into_the_past(served, running)
    waiting = served.add("app:work", expires=timedelta(seconds=0.1))

    assert served.ended(waiting).reason == Reason.EXPIRED
    assert not served.diary("ran", waiting)
    assert served.job(running).state is State.RUNNING
    served.open("late")
    assert served.result(running) == 1


def _move_deadline_into_the_past(house: House, job: str) -> None:
    with closing(sqlite3.connect(house.folder / "outlast.db", isolation_level=None)) as shell:
        shell.execute("UPDATE jobs SET expires_at = created_at + 1 WHERE id = ?", [job])


def test_the_more_urgent_goes_first(served: House) -> None:
    """By priority, high before low; among equals in the order added."""
    _, *jobs = _behind_one_that_runs(
        served,
        "urgent",
        [{"priority": 0}, {"priority": 5}, {"priority": -1}, {"priority": 5}, {"priority": 0}],
    )

    assert served.results(jobs)
    order = [note.job for note in served.diary("ran") if note.job in jobs]
    assert order == [jobs[1], jobs[3], jobs[0], jobs[4], jobs[2]]


def test_a_worker_claims_only_for_its_free_slots(served: House) -> None:
    """What it could not start at once stays queued, for others to claim."""
    running, *jobs = _behind_one_that_runs(served, "slots", [{}, {}], opened=False)

    served.until(lambda: not served.diary("ran", jobs[0]), "a look")
    assert [(served.job(job).state, served.job(job).attempt) for job in jobs] == [(State.QUEUED, 0)] * 2
    served.open("slots")
    served.results([running, *jobs])


def test_a_paused_queue_starts_nothing_until_it_is_resumed(served: House) -> None:
    """Other queues go on; what was running in it goes on, too."""
    running = served.add("app:hold", {"door": "pausing"}, queue="reports")
    served.noted("started", running)
    served.store.pause("reports")
    paused = served.add("app:work", queue="reports")
    served.open("pausing")
    assert served.result(running) == 1
    served.result(served.add("app:work"))
    assert served.job(paused).attempt == 0

    assert served.store.resume("reports")
    served.ring()

    served.result(paused)


def test_each_worker_takes_from_the_queues_that_it_serves(house: House) -> None:
    """Two workers, two queues: each job runs in the right one; a queue that nobody serves waits."""
    house.worker(queues=("mail",))
    house.worker(queues=("reports", "rest"))
    jobs = {
        name: [house.add("app:whoami", queue=name) for _ in range(3)] for name in ("mail", "reports", "rest")
    }
    nobodys = house.add("app:work", queue="elsewhere")

    mail, reports, rest = (set(house.results(jobs[name])) for name in ("mail", "reports", "rest"))

    assert len(mail) == 1
    assert reports == rest != mail
    assert house.job(nobodys).attempt == 0
    house.worker()
    house.result(nobodys)


def test_both_children_of_a_worker_work(house: House) -> None:
    """A job goes to the child that has the fewest."""
    house.worker(children=2, slots=4)
    house.until(lambda: len(house.children(house.supervisor())) == 2, "two children")
    jobs = house.add_all([house.row("app:hold", {"door": "door"}) for _ in range(8)])
    pids = [house.noted("started", job).pid for job in jobs]

    assert sorted(pids.count(pid) for pid in set(pids)) == [4, 4]
    house.open("door")
    assert house.results(jobs) == [1] * 8


@pytest.mark.parametrize("kill", ["first", "second"])
def test_two_workers_share_one_queue(house: House, kill: str) -> None:
    """Each job is run by one of them, once; when one is killed, the other does the rest."""
    workers = {"first": house.worker(slots=2), "second": house.worker(slots=2)}
    jobs = house.add_all([house.row("app:hold", {"door": "door"}) for _ in range(6)])
    house.until(lambda: len({note.pid for note in house.diary("started")}) == 2, "both to work")
    orphans = {*house.children(workers[kill].pid)}
    workers[kill].kill()
    house.until(lambda: not orphans & {*house.everybody()}, "its child to have ended as well")
    house.open("door")

    house.results(jobs)
    for job in jobs:
        done = house.diary("done", job)
        assert len(done) == 1, f"counted once, done {done}"


def _behind_one_that_runs(
    house: House, door: str, each: list[dict[str, int]], *, opened: bool = True
) -> list[str]:
    """Jobs that all wait for the worker's only slot."""
    running = house.add("app:hold", {"door": door})
    house.noted("started", running)
    jobs = house.add_all([house.row("app:work", **options) for options in each])
    if opened:
        house.open(door)
    return [running, *jobs]
