"""P10: no failure without its traceback, no dropped job without a log line and a count, no unknown task discarded."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from outlast.job import Attempt, State
from outlast.retry import RetryPolicy
from tests.worker.harness import PRELUDE, TASKS, House

AT_ONCE = RetryPolicy(delay=timedelta(0))
APP = (
    TASKS
    + '''
import threading
from outlast.errors import Snooze


async def cancel_within():
    """Something that it awaits is cancelled, though nobody asked to stop the job."""
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


async def cancel_itself():
    asyncio.current_task().cancel()
    await asyncio.Event().wait()


def not_unicode():
    raise ValueError(os.fsdecode(b"caf\\xe9.txt"))


def leave():
    raise SystemExit("a task is no program")


def misuse():
    raise Snooze(5)


def lock():
    return threading.Lock()


def need(a, b):
    return a + b
'''
)


@pytest.fixture
def busy(house: House) -> House:
    """With a worker of this app."""
    house.write("app", APP)
    house.worker(grace=timedelta(seconds=0.2))
    return house


def test_every_failed_attempt_keeps_its_traceback_and_has_its_line(busy: House) -> None:
    """Three errors of one job: three attempts with the place in the code, three lines in the log.

    Break it: in SQLiteStore._keep_attempt, return at once; in events.attempt_ended, ask for level CRITICAL.
    """
    job = busy.add("app:err", max_attempts=3, retry=AT_ONCE)
    record = busy.ended(job)

    kept = busy.store.attempts(job)
    assert [(each.attempt, each.outcome) for each in kept] == [(1, "erred"), (2, "erred"), (3, "erred")]
    for each in kept:
        assert each.traceback.startswith("Traceback (most recent call last):")
        assert "in err\n    raise ValueError" in each.traceback
        assert each.error == f"ValueError: attempt {each.attempt} erred"
    assert (record.state, record.error) == (State.FAILED, "ValueError: attempt 3 erred")
    for attempt, word in [(1, "retrying"), (2, "retrying"), (3, "failed")]:
        line = busy.logged(busy.processes[0], f"{word} id={job} task=app:err attempt={attempt} duration=")
        assert f"attempt {attempt} erred" in line


@pytest.mark.parametrize(
    ("task", "code"),
    [
        ("app:hold", "in wait_for\n    os.close(entrance(door))"),
        ("app:ahold", "in await_for\n    await opened.wait()"),
        ("app:block", "in wait_for\n    os.close(entrance(door))"),
    ],
    ids=["def", "async def", "a blocked loop"],
)
def test_a_job_that_timed_out_says_where_it_was(busy: House, task: str, code: str) -> None:
    """The traceback of a timeout is the code that was running, or awaiting, when the time was over.

    Break it: in Running.stopped, leave self.where out; in Child._stop, send "" for the stack.
    """
    job = busy.add(task, {"door": "never"}, timeout=timedelta(seconds=0.2), max_attempts=1)

    assert busy.ended(job).error == "timed out after 0.2 s"
    (attempt,) = busy.store.attempts(job)
    assert (attempt.outcome, attempt.error) == ("timed out", "timed out after 0.2 s")
    assert code in attempt.traceback


@pytest.mark.parametrize("task", ["app:cancel_within", "app:cancel_itself"])
def test_a_task_that_was_cancelled_from_within_has_failed_and_says_where(busy: House, task: str) -> None:
    """A cancellation that nobody asked for is a failure, with its traceback.

    Break it: in Running.came_to, give the Erred an empty traceback.
    """
    attempt = _only_attempt(busy, task)

    assert attempt.error.startswith("CancelledError")
    assert f"in {task.removeprefix('app:')}\n" in attempt.traceback


@pytest.mark.parametrize(
    ("task", "error"),
    [
        ("app:not_unicode", r"ValueError: caf\udce9.txt"),
        ("app:leave", "SystemExit: a task is no program"),
        ("app:misuse", "TypeError: unsupported operand type(s) for //: 'int' and 'datetime.timedelta'"),
    ],
)
def test_whatever_a_task_raises_ends_its_attempt(busy: House, task: str, error: str) -> None:
    """An error that no message could carry, one that would end a program, a mistaken one: all are told as any other.

    Break it: in wire.frame, leave out "surrogatepass"; in executor.run, catch Exception; in executor._outcome, catch
    nothing.
    """
    attempt = _only_attempt(busy, task)

    assert attempt.error == error
    assert f"in {task.removeprefix('app:')}\n" in attempt.traceback


def test_a_crash_is_kept_and_told(busy: House) -> None:
    """An attempt that a dead child ended says how it died; the stack of a crash in C goes to standard error.

    Break it: in lifecycle._crash, leave out the detail; in child.main, do not tell crashes.
    """
    job = busy.add("app:die", {"signal": 11}, retry=AT_ONCE)
    busy.ended(job)

    assert [(each.outcome, each.error) for each in busy.store.attempts(job)][:2] == [
        ("crashed", "its child process was killed by SIGSEGV")
    ] * 2
    busy.logged(busy.processes[0], "was killed by SIGSEGV; starting another")
    assert "Fatal Python error: Segmentation fault" in busy.processes[0].log


def test_a_result_that_cannot_be_carried_is_told_and_its_work_is_not_done_again(busy: House) -> None:
    """The job has succeeded, without a result, and the log says why there is none.

    Break it: in executor._succeeded, return Succeeded() without a word.
    """
    job = busy.add("app:lock")

    assert busy.result(job) is None
    assert "cannot carry result" in busy.logged(busy.processes[0], f"result not kept id={job} task=app:lock")


def test_an_unknown_task_waits_for_a_worker_whose_code_knows_it(busy: House) -> None:
    """It stays queued, says why, is told once, costs no failure, and runs when a second worker with newer code comes.

    Break it: in Supervisor._on_unknown, end it with an Erred.
    """
    jobs = [busy.add("app:to_come") for _ in range(2)]
    for job in jobs:
        note = busy.reached(job, lambda record: record.note is not None, "has a note").note or ""
        assert "to_come" in note
        assert note.endswith("waits for a worker that has it")
    busy.logged(busy.processes[0], "unknown task app:to_come")

    newer = busy.folder / "newer"
    newer.mkdir()
    (newer / "app.py").write_text(PRELUDE + "\ndef to_come():\n    return 'it is here'\n")
    target = busy.target()
    busy.worker(target=replace(target, path=(str(newer), *target.path)))

    assert busy.results(jobs) == ["it is here"] * 2
    assert [busy.job(job).failures for job in jobs] == [0, 0]
    assert busy.processes[0].log.count("unknown task app:to_come") == 1


def test_arguments_that_no_longer_fit_wait_for_code_that_they_fit(busy: House) -> None:
    """A row whose arguments do not fit the function as it is now stays queued, says which, and costs no failure.

    Break it: in executor.begin, make a LuggageMisfit an Erred.
    """
    job = busy.add("app:need", {"a": 1, "c": 2})

    record = busy.reached(job, lambda record: record.note is not None, "has a note")

    assert (record.state, record.view, record.failures) == (State.QUEUED, "scheduled", 0)
    assert "need()" in (record.note or "")
    assert "waits for code that fits it" in (record.note or "")
    assert record.run_at - record.created_at < timedelta(minutes=1)
    assert json.loads(record.luggage) == {"a": 1, "c": 2}


def test_an_expired_job_is_told_and_counted(house: House) -> None:
    """A job that was too late to be useful has failed, with that reason, a line in the log, and a place in the counts.

    Break it: in chores.do, do not tell events of it.
    """
    job = house.add("app:work", expires=timedelta(microseconds=1))
    worker = house.worker()

    record = house.ended(job)

    assert (record.state, record.reason) == (State.FAILED, "expired")
    house.logged(worker, f"expired id={job}")
    assert house.store.counts()["failed"] == 1


def test_a_rescue_is_told(house: House) -> None:
    """Each job that was taken over from a dead worker has its line.

    Break it: in chores._rescue, do not tell events of it.
    """
    first = house.worker()
    job = house.add("app:hold", {"door": "never"})
    house.noted("started", job)
    first.kill()

    second = house.worker()

    house.logged(second, f"rescued id={job} attempt=1")


def _only_attempt(house: House, task: str) -> Attempt:
    job = house.add(task, max_attempts=1)
    assert house.ended(job).state is State.FAILED
    (attempt,) = house.store.attempts(job)
    return attempt
