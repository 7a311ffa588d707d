"""Why a job is not running, told beside real workers: each reason is set up, seen, taken away, and the job starts."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import timedelta

from outlast import locks
from outlast.explain import Explanation, Why, ask
from outlast.job import Reason, State, new_id
from tests.worker.harness import PRELUDE, TASKS, House, Process

SECOND = timedelta(seconds=1)


def reasons(house: House, job: str) -> list[Explanation]:
    return ask(house.store, job)[1]


def seen(house: House, job: str, *whys: Why) -> list[Explanation]:
    """The reasons, once they are just these."""

    def these() -> list[Explanation] | None:
        found = reasons(house, job)
        return found if [reason.why for reason in found] == [*whys] else None

    return house.until(these, lambda: f"{whys}, but {reasons(house, job)}")


def busy(house: House, **settings: object) -> Process:
    """A worker whose child is ready."""
    worker = house.worker(**settings)
    house.child()
    return worker


def test_a_job_that_runs_and_one_that_has_ended_say_so(house: House) -> None:
    busy(house)
    job = house.add("app:hold", {"door": "front"})
    house.running(job)
    seen(house, job, Why.RUNNING)

    house.open("front")

    house.ended(job)
    seen(house, job, Why.ENDED)


def test_a_job_that_its_request_holds(house: House) -> None:
    busy(house)
    server = new_id()
    locks.acquire(house.premises.server(server))
    job = house.add("app:work", {"value": 1}, held_by=server)
    seen(house, job, Why.HELD)

    house.store.unhold(server, [job])
    house.ring()

    assert house.result(job) == 1


def test_a_job_behind_another(house: House) -> None:
    busy(house)
    first, job = house.chain([house.row("app:hold", {"door": "front"}), house.row("app:work", {"value": 1})])
    house.running(first)
    [reason] = seen(house, job, Why.WAITING)
    assert f"job {first} of the same request, which is running" in reason.text

    house.open("front")

    assert house.result(job) == 1


def test_a_job_that_is_not_due(house: House) -> None:
    busy(house)
    job = house.add("app:work", {"value": 1}, delay=2 * SECOND)
    [reason] = seen(house, job, Why.NOT_DUE)
    assert reason.until == house.job(job).run_at

    assert house.result(job) == 1
    assert house.job(job).started_at >= reason.until


def test_a_job_whose_arguments_do_not_fit(house: House) -> None:
    busy(house)
    job = house.add("app:work", {"no_such_parameter": 1})

    for reason in seen(house, job, Why.NOT_DUE, Why.MISFIT):
        assert "no_such_parameter" in reason.note
        assert "no_such_parameter" not in reason.text


def test_a_job_of_a_paused_queue(house: House) -> None:
    busy(house)
    house.store.pause("mail")
    job = house.add("app:work", {"value": 1}, queue="mail")
    [reason] = seen(house, job, Why.PAUSED)
    assert reason.cure == "outlast queues resume mail"

    house.store.resume("mail")
    house.ring()

    assert house.result(job) == 1


def test_a_job_that_comes_too_late(house: House) -> None:
    job = house.add("app:work", expires=timedelta(microseconds=1))
    seen(house, job, Why.EXPIRED, Why.NO_WORKER)

    house.worker()

    assert house.ended(job).reason is Reason.EXPIRED


def test_a_job_that_no_worker_serves(house: House) -> None:
    job = house.add("app:work", {"value": 1}, queue="mail")
    assert "No worker is alive" in seen(house, job, Why.NO_WORKER)[0].text
    house.worker(queues=("default",))
    house.until(lambda: "for other queues" in reasons(house, job)[0].text, "a worker for other queues")

    house.worker(queues=("mail",))

    assert house.result(job) == 1


def test_a_job_whose_worker_was_killed(house: House) -> None:
    """Its row is still there; its lock tells."""
    worker = busy(house)
    worker.kill()
    job = house.add("app:work", {"value": 1})
    assert house.store.workers() != []
    seen(house, job, Why.NO_WORKER)

    house.worker()

    assert house.result(job) == 1


def test_a_job_whose_worker_is_shutting_down(house: House) -> None:
    worker = busy(house, grace=timedelta(seconds=30))
    last = house.add("app:hold", {"door": "front"})
    house.running(last)
    worker.signal(signal.SIGTERM)
    job = house.add("app:work", {"value": 1})
    [reason] = seen(house, job, Why.NO_WORKER)
    assert "shutting down" in reason.text

    house.worker()

    assert house.result(job) == 1
    house.open("front")
    assert worker.wait() == 0


def test_a_job_whose_task_no_worker_knows(house: House) -> None:
    """Also a worker that serves another queue and has the task is none that helps."""
    busy(house)
    job = house.add("app:to_come")
    [reason] = seen(house, job, Why.UNKNOWN_TASK)
    assert "app:to_come" in reason.text

    newer = house.folder / "newer"
    newer.mkdir()
    (newer / "app.py").write_text(PRELUDE + "\ndef to_come():\n    return 'it is here'\n")
    target = replace(house.target(), path=(str(newer), *house.target().path))
    other = house.worker(target=target, queues=("mail",))
    house.until(lambda: len(house.store.workers()) == 2, "the other worker")
    seen(house, job, Why.UNKNOWN_TASK)
    other.terminate()
    house.worker(target=target)

    assert house.result(job) == "it is here"


def test_a_task_that_newer_code_has_is_unknown_no_more(house: House) -> None:
    """A new child may have newer code, so the worker no longer says that it lacks the task."""
    busy(house)
    job = house.add("app:to_come")
    seen(house, job, Why.UNKNOWN_TASK)
    house.store.pause("default")
    house.write("app", TASKS + "\ndef to_come():\n    return 'it is here'\n")
    killer = house.add("app:die", at_most_once=True, queue="other")
    house.ended(killer)
    seen(house, job, Why.PAUSED)

    house.store.resume("default")
    house.ring()

    assert house.result(job) == "it is here"


def test_a_job_whose_app_does_not_start(house: House) -> None:
    house.write("app", TASKS + "\nraise RuntimeError('no')")
    worker = house.worker()
    job = house.add("app:work", {"value": 1})
    house.logged(worker, "does not start")
    seen(house, job, Why.NOT_READY)

    house.write("app", TASKS)

    assert house.result(job) == 1


def test_a_job_that_finds_no_slot_free(house: House) -> None:
    busy(house, slots=1)
    running = house.add("app:hold", {"door": "front"})
    house.running(running)
    before = house.add("app:work")
    job = house.add("app:work", {"value": 1})
    [reason] = seen(house, job, Why.NO_SLOT)
    assert reason.text == (
        "The one slot of the worker that could run it is taken. 1 job is before it in line."
    )
    assert seen(house, before, Why.NO_SLOT)[0].text.endswith("It is next in line.")

    house.open("front")

    assert house.result(job) == 1


def test_jobs_in_a_child_that_is_being_replaced_take_nobody_elses_slot(house: House) -> None:
    """Two run and there are two slots, but those are in the new child: the old one drains."""
    busy(house, slots=2, grace=timedelta(seconds=30))
    stuck = house.add("app:hold", {"door": "never"}, timeout=timedelta(seconds=0.5), max_attempts=1)
    draining = house.add("app:hold", {"door": "front"})
    house.running(draining)
    house.until(lambda: house.store.workers()[0].room == 4, "room for those two and two more")
    assert [house.job(job).state for job in (stuck, draining)] == [State.RUNNING] * 2

    assert house.result(house.add("app:work", {"value": 1})) == 1

    house.open("front")
    house.ended(stuck)
    house.until(lambda: house.store.workers()[0].room == 2, "the room of the new child alone")


def test_a_job_that_must_run_alone(house: House) -> None:
    """It was in a child that died; its queue is paused meanwhile, so that it can be seen waiting."""
    busy(house)
    job = house.add("app:hold", {"door": "front"}, queue="mail")
    house.running(job)
    house.store.pause("mail")
    killer = house.add("app:die", at_most_once=True)
    assert house.ended(killer).state is State.FAILED
    seen(house, job, Why.PAUSED, Why.ALONE)

    house.store.resume("mail")
    house.ring()

    house.running(job, attempt=2)
    house.open("front")
    assert house.result(job) == 2
