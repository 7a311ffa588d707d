"""Workers of engines that are killed, that die of a job, that must be stopped, and that are told to leave."""

import os
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from outlast import locks
from outlast.job import Reason, State
from outlast.retry import RetryPolicy
from tests.handover.engines import CELERY_ON_REDIS, DRAMATIQ_ON_REDIS, RQ
from tests.polling import polled
from tests.worker.harness import last_beat, lives

LONGER = timedelta(seconds=1)
"""More than a lease that is renewed once."""
SOON = RetryPolicy(delay=timedelta(milliseconds=10))


each_engine = pytest.mark.parametrize(
    "shift", [CELERY_ON_REDIS, RQ, DRAMATIQ_ON_REDIS], ids=str, indirect=True
)
"""On one broker, where the broker cannot matter."""


def test_the_jobs_of_a_killed_worker_are_run_by_the_next(shift):
    """P3, P5: its keeper frees them at once, and that costs no failure."""
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


@each_engine
def test_a_job_that_kills_its_process_is_failed_in_the_end(shift):
    """P6. Celery starts another process for its pool: its death is held against the job, which is poison at the third.

    The commands of the others end with the job, which is nobody's fault: whoever starts them again runs it again.
    """
    house = shift.house
    shift.relay()
    worker = shift.worker(processes=3)
    job = shift.add("app:die", retry=SOON, max_attempts=10)
    if shift.kind.engine == "celery":
        record = house.ended(job)
        assert (record.state, record.reason, record.failures) == (State.FAILED, Reason.POISON, 3)
        total = shift.counted("app:die", lambda total: total.failed)
        assert (total.retried, total.failed) == (2, {Reason.POISON: 1})
        assert f"failed id={job}" in house.logged(worker, "reason=poison")
        assert house.result(shift.add("app:work", {"value": 1})) == 1
        return
    worker.wait()
    record = house.reached(job, lambda record: record.state is State.QUEUED, "was freed")
    assert (record.failures, record.note) == (0, "rescued from a dead worker")
    assert shift.counted("app:die", lambda total: total.released).retried == 0


@pytest.mark.parametrize("shift", [CELERY_ON_REDIS], ids=str, indirect=True)
def test_a_job_that_kills_a_command_of_threads_is_no_poison(shift):
    """P6: Celery's other pools run jobs in the command itself, which nobody but its own starter starts again."""
    house = shift.house
    shift.relay()
    worker = shift.worker("-P", "threads")
    assert house.result(shift.add("app:work", {"value": 1})) == 1
    job = shift.add("app:die")
    worker.wait()

    record = house.reached(job, lambda record: record.state is State.QUEUED, "was freed")
    assert (record.failures, record.note) == (0, "rescued from a dead worker")


@each_engine
def test_what_an_engine_stops_when_it_must_leave_at_once_starts_again(shift):
    """P11: that is no failure. As a person does who will not wait: told again and again, until it ends."""
    house = shift.house
    shift.relay()
    worker = shift.worker()
    job = shift.add("app:hold", {"door": "front"}, max_attempts=1)
    house.noted("started", job)
    number = signal.SIGQUIT if shift.kind.engine == "celery" else signal.SIGTERM
    house.until(lambda: worker.signal(number) or polled(lambda: not worker.is_alive, 1.2), "its end")

    record = house.reached(job, lambda record: record.state is not State.RUNNING, "was freed")
    assert (record.state, record.failures, house.diary("done", job)) == (State.QUEUED, 0, [])


@each_engine
def test_a_plain_task_that_runs_out_of_time_ends_its_process(shift):
    """Nothing else stops a `def`; the job has failed by then, so that it is not run again."""
    house = shift.house
    shift.relay()
    worker = shift.worker(processes=2)
    job = shift.add("app:hold", {"door": "never"}, timeout=timedelta(seconds=0.5), max_attempts=1)
    record = house.ended(job)

    assert (record.state, record.reason) == (State.FAILED, Reason.TIMEOUT)
    [attempt] = house.store.attempts(job)
    assert "wait_for(door)" in attempt.traceback
    total = shift.counted("app:hold", lambda total: total.failed)
    assert (total.started, total.failed, total.run.count) == (1, {Reason.TIMEOUT: 1}, 1)
    pid = house.noted("started", job).pid
    assert house.until(lambda: not lives(pid), "the process to be gone")
    if shift.kind.engine == "celery":
        assert house.result(shift.add("app:work", {"value": 1})) == 1
    else:
        worker.wait()


@each_engine
def test_a_worker_that_is_told_to_leave_ends_its_job_and_its_lifespan(shift):
    """P11, with the engine's own patience. The store knows the worker no more."""
    house = shift.house
    shift.relay()
    worker = shift.worker()
    job = shift.add("app:hold", {"door": "front"})
    house.noted("started", job)

    worker.signal(signal.SIGTERM)
    house.open("front")
    worker.wait()
    assert house.result(job) == 1
    assert house.noted("closed").pid == house.noted("opened").pid
    assert house.until(lambda: not _of_engines(house), "the store to know it no more")
    assert house.job(job).attempt == 1
    [total] = house.store.totals()
    assert (total.started, total.succeeded) == (1, 1)


@each_engine
def test_a_keeper_that_dies_is_replaced(shift):
    """And the jobs of a killed worker are freed by the keeper alone: there is no supervisor then."""
    house = shift.house
    relay = shift.relay()
    worker = shift.worker()
    job = shift.add("app:hold", {"door": "front"})
    house.noted("started", job)
    [keeper] = _keepers(house)
    os.kill(keeper, signal.SIGKILL)
    house.until(lambda: [pid for pid in _keepers(house) if pid != keeper], "another keeper")
    relay.terminate()

    os.killpg(worker.pid, signal.SIGKILL)
    house.reached(job, lambda record: record.state is State.QUEUED, "was freed")
    house.until(lambda: not _keepers(house), "the keeper to end")


def leased(shift, seconds):
    """Its app gives the engine's processes this lease."""
    source = shift.house.folder / "app.py"
    told = "from datetime import timedelta\nfrom outlast.handover import attempts\n"
    source.write_text(f"{source.read_text()}\n{told}attempts._LEASE = timedelta(seconds={seconds})\n")


@pytest.mark.parametrize("shift", [RQ], ids=str, indirect=True)
def test_a_keeper_that_dies_with_its_process_is_waited_for_no_longer(shift):
    """P5: the supervisor frees the jobs then, long before the lease is over."""
    house = shift.house
    leased(shift, 3600)
    shift.relay()
    worker = shift.worker()
    job = shift.add("app:hold", {"door": "front"})
    house.noted("started", job)
    [known] = _of_engines(house)
    keeper = house.until(lambda: locks.holder(house.premises.keeper(known.id)), "its keeper to keep it")
    for pid in (keeper, worker.pid):
        os.kill(pid, signal.SIGKILL)

    assert house.reached(job, lambda record: record.state is State.QUEUED, "was freed").failures == 0


@pytest.mark.parametrize("shift", [RQ], ids=str, indirect=True)
def test_a_job_that_holds_the_interpreter_is_not_taken_for_dead(shift):
    """P5: its keeper renews the lease, which is short here."""
    house = shift.house
    leased(shift, 0.9)
    shift.relay()
    shift.worker()
    page = house.page("beats")
    job = shift.add("app:hog", {"page": page.name})
    house.until(lambda: last_beat(page), "the job to hold the interpreter")
    [worker] = _of_engines(house)

    house.until(
        lambda: _of_engines(house)[0].lease_until - worker.lease_until > LONGER, "its lease to be renewed"
    )
    beat = last_beat(page)
    house.until(lambda: last_beat(page) > beat, "the job to go on")
    with page.open("r+b") as memory:
        memory.seek(8)
        memory.write(b"!")
    assert house.result(job) == 1


@pytest.mark.parametrize("shift", [RQ], ids=str, indirect=True)
def test_the_job_of_a_killed_worker_is_freed_though_what_it_forked_lives_on(shift):
    """P5: that holds the keeper's pipe open, so the lock must tell. It is not ended, as the page says."""
    house = shift.house
    shift.relay()
    shift.worker()
    page = house.page("beats")
    job = shift.add("app:fork", {"page": page.name, "door": "never"})
    os.kill(house.noted("forked", job).pid, signal.SIGKILL)

    record = house.reached(job, lambda record: record.state is State.QUEUED, "was freed")
    assert (record.failures, record.note) == (0, "rescued from a dead worker")
    beat = last_beat(page)
    assert house.until(lambda: last_beat(page) > beat, "what it forked to live on")


def _of_engines(house):
    return [worker for worker in house.store.workers() if worker.engine]


def _keepers(house):
    return [
        pid
        for pid in house.everybody()
        if b"outlast.handover\0keep" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


@each_engine
def test_a_worker_that_cannot_reach_its_store_says_so_at_its_start(shift):
    """Such as one that was started in another folder, where `sqlite:///outlast.db` is another file."""
    shift.env["OUTLAST_STORE"] = "sqlite:////nowhere/outlast.db"
    worker = shift.worker()

    assert "/nowhere/outlast.db" in shift.house.logged(worker, "cannot reach the store")
