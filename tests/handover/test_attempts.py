"""Jobs that an engine's own workers run, by their own commands: their outcomes are as everywhere, and in the store."""

import os
import signal

from outlast.job import State


def test_a_job_goes_through_the_broker_and_comes_back_to_the_store(shift):
    shift.relay()
    worker = shift.worker()
    plain, awaited = shift.add("app:work", {"value": 1}), shift.add("app:awork", {"value": [2]})

    assert shift.house.results([plain, awaited]) == [1, [2]]
    record = shift.house.job(plain)
    assert (record.engine, record.engine_id, record.attempt) == (shift.kind.engine, f"{plain}-1", 1)
    assert worker.is_alive


def test_the_jobs_of_a_killed_worker_are_run_by_the_next(shift):
    house = shift.house
    shift.relay()
    first = shift.worker()
    job = shift.add("app:hold", {"door": "front"})
    house.noted("started", job)

    os.killpg(first.pid, signal.SIGKILL)
    house.reached(job, lambda record: record.state is State.QUEUED, "was freed")
    shift.worker()
    house.noted("started", job, attempt=2)
    house.open("front")

    assert house.result(job) == 2
    assert house.job(job).failures == 0
