"""What people do with jobs by hand: cancel, retry, pause and resume."""

from datetime import timedelta

import pytest

from outlast.clock import to_instant
from outlast.job import Crashed, Erred, Reason, State, Stopped, Succeeded
from outlast.store import ALL, JobFilter
from tests.contract.making import ERRED, claimable, end, ids, new_job, put, take

FOR_GOOD = Erred("for good", "tb", again=False)


def only(job_id):
    return JobFilter(ids=(job_id,))


# ---- cancel


def test_a_queued_job_is_cancelled_at_once(store, clock):
    job_id = put(store)

    [record] = store.cancel(only(job_id))
    assert record == store.get(job_id)
    assert (record.state, record.view, record.finished_at) == (
        State.CANCELLED,
        "cancelled",
        to_instant(clock.now()),
    )
    assert claimable(store) == []


def test_a_running_job_is_asked_to_stop(store, clock):
    job_id = put(store)
    take(store)

    [record] = store.cancel(only(job_id))
    assert (record.state, record.view) == (State.RUNNING, "cancelling")
    assert record.cancel_requested_at == to_instant(clock.now())


def test_the_first_request_to_cancel_is_the_one_that_is_kept(store, clock):
    job_id = put(store)
    take(store)
    [first] = store.cancel(only(job_id))
    clock.advance(timedelta(seconds=1))

    [second] = store.cancel(only(job_id))
    assert second.cancel_requested_at == first.cancel_requested_at


@pytest.mark.parametrize("outcome", [Stopped(), ERRED, FOR_GOOD, Crashed("signal 9", True)], ids=str)
def test_a_job_that_stops_after_a_request_to_cancel_is_cancelled(store, outcome):
    job_id = put(store)
    job = take(store)
    store.cancel(only(job_id))

    assert end(store, job, outcome).state is State.CANCELLED
    assert store.get(job_id).state is State.CANCELLED


def test_a_job_that_succeeds_in_spite_of_a_request_to_cancel_has_succeeded(store):
    job_id = put(store)
    job = take(store)
    store.cancel(only(job_id))
    end(store, job, Succeeded("1"))

    record = store.get(job_id)
    assert (record.state, record.view, record.result) == (State.SUCCEEDED, "succeeded", "1")


@pytest.mark.parametrize("outcome", [Succeeded(), FOR_GOOD], ids=["succeeded", "failed"])
def test_a_job_that_has_ended_is_not_touched(store, outcome):
    job_id = put(store)
    end(store, take(store), outcome)
    before = store.get(job_id)

    assert store.cancel(only(job_id)) == []
    assert store.get(job_id) == before


def test_cancelling_all_that_match_touches_no_other(store):
    mail = [put(store, queue="mail"), put(store, queue="mail", delay=timedelta(hours=1))]
    other = put(store)

    assert {record.id for record in store.cancel(JobFilter(queue="mail"))} == set(mail)
    assert store.get(other).state is State.QUEUED


def test_a_cancel_may_be_for_one_state_alone(store):
    running = put(store)
    take(store)
    queued = put(store)

    assert [record.id for record in store.cancel(JobFilter(state=State.QUEUED))] == [queued]
    assert [record.id for record in store.cancel(JobFilter(state=State.RUNNING))] == [running]
    assert store.cancel(JobFilter(state=State.SUCCEEDED)) == []


def test_more_jobs_than_a_page_are_all_cancelled(store):
    store.insert([new_job(store) for _ in range(120)])

    assert len(store.cancel(ALL)) == 120


# ---- retry by hand


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_a_job_that_failed_or_was_cancelled_can_be_queued_again(store, clock, state):
    job_id = put(store)
    if state is State.FAILED:
        end(store, take(store), FOR_GOOD)
    else:
        store.cancel(only(job_id))
    clock.advance(timedelta(seconds=1))

    assert store.retry(only(job_id)) == [job_id]
    record = store.get(job_id)
    assert (record.state, record.view, record.finished_at, record.reason) == (
        State.QUEUED,
        "queued",
        None,
        None,
    )
    assert record.run_at == to_instant(clock.now())
    assert claimable(store) == [job_id]


def test_a_retry_by_hand_begins_with_a_clean_sheet(store):
    job_id = put(store, max_attempts=2)
    for _ in range(2):
        end(store, take(store), Erred("no", "tb", delay=0))
    store.retry(only(job_id))

    assert store.get(job_id).failures == 0
    assert end(store, take(store), Erred("no", "tb", delay=0)).state is State.QUEUED


def test_a_retry_by_hand_keeps_the_attempt_number_the_attempts_and_the_last_error(store):
    job_id = put(store)
    end(store, take(store), FOR_GOOD)
    store.retry(only(job_id))

    record = store.get(job_id)
    assert (record.attempt, record.error) == (1, "for good")
    assert [attempt.attempt for attempt in store.attempts(job_id)] == [1]
    assert take(store).attempt == 2


def test_a_poisonous_job_that_is_retried_by_hand_is_no_suspect(store, clock):
    job_id = put(store)
    for _ in range(3):
        clock.advance(timedelta(hours=1))
        [job] = store.claim("w1", 1) or store.claim("w1", 1, alone=True)
        end(store, job, Crashed("signal 11", alone=False))
    assert store.get(job_id).reason is Reason.POISON

    store.retry(only(job_id))
    assert claimable(store) == [job_id]
    end(store, take(store), Crashed("signal 11", alone=False))
    assert store.get(job_id).state is State.QUEUED


def test_an_expired_job_that_is_retried_by_hand_expires_no_more(store, clock):
    job_id = put(store, expires_at=clock.now() + 1)
    clock.advance(timedelta(seconds=1))
    store.expire()
    store.retry(only(job_id))

    assert store.get(job_id).expires_at is None
    assert claimable(store) == [job_id]


def test_a_time_to_expire_that_is_still_ahead_is_kept(store, clock):
    job_id = put(store, expires_at=clock.now() + 10_000_000)
    store.cancel(only(job_id))
    store.retry(only(job_id))

    assert store.get(job_id).expires_at is not None


def test_a_job_cancelled_while_it_ran_can_be_run_again(store):
    job_id = put(store)
    job = take(store)
    store.cancel(only(job_id))
    end(store, job, Stopped())
    store.retry(only(job_id))

    again = take(store)
    assert store.get(job_id).cancel_requested_at is None
    assert end(store, again).state is State.SUCCEEDED


def test_a_delayed_job_that_is_retried_by_hand_does_not_wait_again(store):
    job_id = put(store, delay=timedelta(hours=1))
    store.cancel(only(job_id))
    store.retry(only(job_id))

    assert claimable(store) == [job_id]


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.SUCCEEDED])
def test_a_job_in_another_state_is_not_queued_again(store, state):
    job_id = put(store)
    if state is not State.QUEUED:
        job = take(store)
        if state is State.SUCCEEDED:
            end(store, job)
    before = store.get(job_id)

    assert store.retry(only(job_id)) == []
    assert store.retry(JobFilter(state=state)) == []
    assert store.get(job_id) == before


def test_a_retry_may_be_for_all_that_match(store):
    mail, other = put(store, queue="mail"), put(store)
    for job in store.claim("w1", 2):
        end(store, job, FOR_GOOD)
    cancelled = put(store, queue="mail")
    store.cancel(only(cancelled))

    assert store.retry(JobFilter(queue="mail", state=State.FAILED)) == [mail]
    assert set(store.retry(ALL)) == {other, cancelled}


# ---- pause and resume


def test_a_paused_queue_says_since_when(store, clock):
    store.pause("mail")
    paused_at = to_instant(clock.now())
    clock.advance(timedelta(seconds=1))
    store.pause("mail")

    assert [(queue.name, queue.paused_at) for queue in store.queues()] == [("mail", paused_at)]


def test_a_queue_that_was_not_paused_is_not_resumed(store):
    assert not store.resume("mail")
    store.pause("mail")
    assert store.resume("mail")
    assert not store.resume("mail")
    assert ids(store.find()) == []
