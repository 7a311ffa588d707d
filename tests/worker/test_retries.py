"""Retries: which errors, how often, how long after; and what a task says of it itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from outlast.clock import SystemClock, to_instant
from outlast.job import Reason, State
from outlast.retry import RetryPolicy
from outlast.store import JobFilter
from tests.worker.harness import TASKS, House

APP = (
    TASKS
    + """
from datetime import timedelta
from outlast.errors import Fail, Retry, Snooze


class Refused(ConnectionError):
    pass


def refuse():
    note("started")
    raise Refused("no")


def retry(times, seconds):
    note("started")
    if current_job().attempt <= times:
        raise Retry("not yet", delay=timedelta(seconds=seconds))
    return current_job().failures


def snooze(times, seconds):
    note("started")
    if current_job().attempt <= times:
        raise Snooze(timedelta(seconds=seconds))
    return current_job().failures


async def asnooze(times, seconds):
    return snooze(times, seconds)


def fail():
    note("started")
    raise Fail("never again")


def sleepy():
    raise Snooze(timedelta.max)
"""
)
AT_ONCE = RetryPolicy(delay=timedelta(0))


def test_a_failed_attempt_is_tried_again_until_one_succeeds(served: House) -> None:
    """Each attempt has the next number; the job ends with the failures that it had."""
    job = served.add("app:err", {"times": 2}, retry=AT_ONCE)

    assert served.result(job) == 3
    assert served.job(job).failures == 2
    assert served.starts(job) == [1, 2, 3]


def test_the_last_attempt_fails_the_job(served: House) -> None:
    """With as many failures as attempts were allowed."""
    record = served.ended(served.add("app:err", max_attempts=3, retry=AT_ONCE))

    assert (record.state, record.reason, record.failures) == (State.FAILED, Reason.ERROR, 3)


def test_the_first_retry_comes_after_about_a_second_by_default(served: House) -> None:
    """With a quarter of jitter either way; the job is `retrying` until then."""
    job = served.add("app:err")

    record = served.reached(job, lambda record: record.failures == 1, "has erred")

    (attempt,) = served.store.attempts(job)
    assert record.view == "retrying"
    assert timedelta(seconds=0.75) <= record.run_at - attempt.ended_at <= timedelta(seconds=1.25)
    assert record.max_attempts == 5
    served.store.cancel(JobFilter(ids=(job,)))


@pytest.mark.parametrize(
    ("policy", "again"),
    [
        (RetryPolicy(delay=timedelta(0), on=(OSError,)), True),
        (RetryPolicy(delay=timedelta(0), on=(ValueError,)), False),
        (RetryPolicy(delay=timedelta(0), on=(OSError,), never=(ConnectionError,)), False),
    ],
    ids=["a class above", "another class", "never wins"],
)
def test_the_policy_says_which_errors_are_tried_again(
    served: House, policy: RetryPolicy, again: bool
) -> None:
    """By their classes and those above them; one that is not covered fails the job at once."""
    job = served.add("app:refuse", retry=policy, max_attempts=2)

    assert served.ended(job).failures == (2 if again else 1)
    assert served.job(job).error == "app.Refused: no"


def test_a_task_may_say_when_to_try_again(served: House) -> None:
    """Retry(delay=…) is a failure, and its delay goes before the policy's."""
    job = served.add("app:retry", {"times": 1, "seconds": 0.05}, retry=RetryPolicy(delay=timedelta(hours=1)))

    assert served.result(job) == 1
    assert served.store.attempts(job)[0].error == "outlast.errors.Retry: not yet"


def test_a_retry_needs_an_attempt_that_is_left(served: House) -> None:
    """It does not lift max_attempts, but it is tried again whatever the policy says of errors."""
    never = RetryPolicy(never=(Exception,))
    job = served.add("app:retry", {"times": 9, "seconds": 0}, max_attempts=2, retry=never)

    record = served.ended(job)

    assert (record.state, record.attempt, record.failures) == (State.FAILED, 2, 2)


@pytest.mark.parametrize("task", ["app:snooze", "app:asnooze"])
def test_a_snooze_is_no_failure(served: House, task: str) -> None:
    """However often, and with one attempt allowed."""
    job = served.add(task, {"times": 3, "seconds": 0.01}, max_attempts=1)

    assert served.result(job) == 0
    assert served.job(job).attempt == 4
    assert served.store.attempts(job) == []


def test_a_snooze_without_end_fails_and_fells_nobody(served: House) -> None:
    """A delay that no row can hold is told as the job's error."""
    record = served.ended(served.add("app:sleepy", max_attempts=1))

    assert (record.state, record.reason) == (State.FAILED, Reason.ERROR)
    assert (record.error or "").startswith("its outcome could not be stored: OverflowError")
    assert served.result(served.add("app:work", {"value": 1})) == 1


def test_a_task_may_fail_for_good(served: House) -> None:
    """Fail ends the job, whatever attempts are left and whatever the policy says."""
    job = served.add("app:fail", retry=RetryPolicy(delay=timedelta(0), on=(BaseException,)))

    record = served.ended(job)

    assert (record.state, record.attempt, record.error) == (
        State.FAILED,
        1,
        "outlast.errors.Fail: never again",
    )


def test_a_failed_job_can_be_tried_again_by_hand(served: House) -> None:
    """With a clean sheet of failures; its attempts go on counting."""
    job = served.add("app:err", {"times": 1}, max_attempts=1)
    served.ended(job)

    assert served.store.retry(JobFilter(ids=(job,))) == [job]
    served.ring()

    assert served.result(job) == 2
    assert served.job(job).failures == 0
    assert to_instant(SystemClock().now()) > served.job(job).created_at
