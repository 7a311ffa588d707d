"""Endings: what is written for each outcome, and the fence (P4)."""

from contextlib import closing
from datetime import timedelta

import pytest

from outlast.clock import to_instant
from outlast.job import (
    Crashed,
    Ended,
    Erred,
    Lost,
    Reason,
    Released,
    Snoozed,
    State,
    Stopped,
    Succeeded,
    TimedOut,
)
from outlast.store import JobFilter, open_store
from tests.contract.making import ERRED, claimable, end, new_chain, new_job, put, take, worker_record


def test_a_success_keeps_its_result(store, clock):
    job_id = put(store)
    clock.advance(timedelta(seconds=1))
    job = take(store)
    clock.advance(timedelta(seconds=2))

    ending = end(store, job, Succeeded('{"sum": 3}'))

    record = store.get(job_id)
    assert (ending.state, ending.result) == (State.SUCCEEDED, '{"sum": 3}')
    assert (record.state, record.view, record.result) == (State.SUCCEEDED, "succeeded", '{"sum": 3}')
    assert record.finished_at - record.started_at == timedelta(seconds=2)
    assert record.worker is record.reason is None


def test_a_success_without_a_result_has_none(store):
    job_id = put(store)

    assert end(store, take(store)).result is None
    assert store.get(job_id).result is None


def test_a_success_tells_how_many_failures_came_before(store, clock):
    put(store)
    for _ in range(2):
        end(store, take(store), ERRED)
        clock.advance(timedelta(hours=1))

    assert end(store, take(store)).failures == 2


def test_a_success_told_by_another_connection_counts_the_same(store, twin, clock):
    job_id = put(store)
    end(store, take(store), ERRED)
    clock.advance(timedelta(hours=1))

    assert end(twin, take(store), Succeeded("1")).failures == 1
    assert store.get(job_id).state is State.SUCCEEDED


def test_a_success_leaves_no_attempt_to_read(store):
    job_id = put(store)
    end(store, take(store))

    assert store.attempts(job_id) == []


def test_an_error_queues_the_job_again_for_later(store, clock):
    job_id = put(store)

    ending = end(store, take(store), Erred("ValueError: no", "tb", delay=4_000_000))

    record = store.get(job_id)
    assert (ending.state, record.state, record.view) == (State.QUEUED, State.QUEUED, "retrying")
    assert (record.failures, record.attempt, record.worker, record.error) == (1, 1, None, "ValueError: no")
    assert record.run_at == to_instant(clock.now()) + timedelta(seconds=4)
    clock.advance(timedelta(seconds=3))
    assert claimable(store) == []
    clock.advance(timedelta(seconds=1))
    assert claimable(store) == [job_id]


def test_an_error_without_a_wait_is_retried_at_once_behind_those_that_are_there(store, clock):
    erring = put(store)
    job = take(store)
    other = put(store)
    clock.advance(timedelta(microseconds=1))

    end(store, job, Erred("no", "tb", delay=0))
    assert claimable(store) == [other, erring]


def test_the_last_error_fails_the_job(store):
    job_id = put(store, max_attempts=1)

    end(store, take(store), ERRED)

    record = store.get(job_id)
    assert (record.state, record.reason, record.error) == (State.FAILED, Reason.ERROR, ERRED.error)
    assert record.finished_at is not None
    assert claimable(store) == []


def test_every_failed_attempt_keeps_its_traceback(store, clock):
    job_id = put(store)
    started = []
    for number in (1, 2):
        started.append(to_instant(clock.now()))
        end(store, take(store), Erred(f"error {number}", f"traceback {number}", delay=0))
        clock.advance(timedelta(seconds=1))

    first, second = store.attempts(job_id)
    assert (first.job_id, first.attempt, second.attempt) == (job_id, 1, 2)
    assert (first.error, second.error) == ("error 1", "error 2")
    assert (first.traceback, second.traceback) == ("traceback 1", "traceback 2")
    assert (first.outcome, first.worker) == ("erred", "w1")
    assert [first.started_at, second.started_at] == started
    assert [first.ended_at, second.ended_at] == started


@pytest.mark.parametrize(
    ("outcome", "word"),
    [
        (TimedOut(1_000_000), "timed out"),
        (Crashed("signal 11", alone=True), "crashed"),
        (Crashed("signal 11", alone=False), "crashed"),
    ],
)
def test_what_was_no_success_is_kept_as_an_attempt(store, outcome, word):
    job_id = put(store)
    end(store, take(store), outcome)

    [attempt] = store.attempts(job_id)
    assert attempt.outcome == word
    assert attempt.error


@pytest.mark.parametrize("outcome", [Released(), Snoozed(1), Lost(), Stopped()])
def test_what_came_back_unharmed_leaves_no_attempt_to_read(store, outcome):
    job_id = put(store)
    end(store, take(store), outcome)

    assert store.attempts(job_id) == []


def test_the_last_error_is_kept_until_there_is_another(store, clock):
    job_id = put(store)
    end(store, take(store), Erred("the first", "tb", delay=0))
    end(store, take(store), Released())
    assert store.get(job_id).error == "the first"

    end(store, take(store), Erred("the second", "tb", delay=0))
    assert store.get(job_id).error == "the second"


def test_a_note_is_kept_until_the_next_end(store):
    job_id = put(store)
    end(store, take(store), Released("the worker shut down"))
    assert store.get(job_id).note == "the worker shut down"

    end(store, take(store))
    assert store.get(job_id).note is None


@pytest.mark.parametrize("outcome", [Released(), Lost()])
def test_a_job_that_came_back_unharmed_keeps_its_place(store, clock, outcome):
    """Behind a long queue, a shutdown would otherwise cost its jobs a second wait."""
    first = put(store)
    job = take(store)
    second = put(store)
    clock.advance(timedelta(seconds=1))

    end(store, job, outcome)
    assert claimable(store) == [first, second]


def test_a_release_may_name_a_wait(store, clock):
    job_id = put(store)
    end(store, take(store), Released("no worker knows it", delay=5_000_000))

    assert claimable(store) == []
    clock.advance(timedelta(seconds=5))
    assert claimable(store) == [job_id]


def test_a_snoozed_job_is_scheduled_and_has_not_failed(store, clock):
    job_id = put(store)
    end(store, take(store), Snoozed(5_000_000))

    record = store.get(job_id)
    assert (record.view, record.failures, record.note) == ("scheduled", 0, "snoozed by its task")
    clock.advance(timedelta(seconds=5))
    assert claimable(store) == [job_id]


def test_three_deaths_are_poison(store, clock):
    job_id = put(store)
    for _ in range(3):
        clock.advance(timedelta(hours=1))
        jobs = store.claim("w1", 1) or store.claim("w1", 1, alone=True)
        end(store, jobs[0], Crashed("signal 11", alone=False))

    record = store.get(job_id)
    assert (record.state, record.reason) == (State.FAILED, Reason.POISON)
    assert len(store.attempts(job_id)) == 3


def test_a_suspect_that_ends_by_itself_is_cleared(store):
    job_id = put(store)
    end(store, take(store), Crashed("signal 11", alone=False))

    end(store, take(store, alone=True), Erred("no", "tb", delay=0))
    assert claimable(store) == [job_id]


def test_an_at_most_once_job_that_is_handed_back_has_failed(store):
    job_id = put(store, at_most_once=1)
    end(store, take(store), Released("the worker shut down"))

    record = store.get(job_id)
    assert (record.state, record.reason) == (State.FAILED, Reason.INTERRUPTED)
    assert store.attempts(job_id)[0].outcome == "released"


def test_a_wait_is_thrown_for_with_dice(store):
    """Jobs that failed together do not come back together."""
    for _ in range(50):
        put(store)
    waits = {end(store, job, ERRED).wait for job in store.claim("w1", 50)}

    assert len(waits) > 1
    assert all(750_000 <= wait <= 1_250_000 for wait in waits)


@pytest.mark.parametrize(("throw", "wait"), [(0.0, 750_000), (0.5, 1_000_000)])
def test_the_dice_may_be_given(throw, wait, url):
    with closing(open_store(url, dice=lambda: throw)) as store:
        store.enter(worker_record("w1", store.clock))
        put(store)

        assert end(store, take(store), ERRED).wait == wait


def test_a_row_may_bring_its_own_policy(store):
    put(store, retry='{"delay":1000,"factor":1,"max_delay":2000,"on":[],"never":[]}')

    assert end(store, take(store), ERRED).wait < 2000


def test_what_is_no_unicode_in_an_error_does_not_keep_a_job_from_ending(store):
    """A file name that is no UTF-8 comes as surrogates, which no database takes."""
    job_id = put(store)
    end(store, take(store), Erred("no file \udce9.txt", "tb \udce9"))

    assert store.get(job_id).error == "no file \\udce9.txt"
    assert store.attempts(job_id)[0].traceback == "tb \\udce9"


def test_ends_are_told_in_the_order_given(store):
    store.insert([new_job(store) for _ in range(4)])
    jobs = store.claim("w1", 4)
    ends = [
        Ended(jobs[2].id, 1, Succeeded()),
        Ended(jobs[0].id, 1, ERRED),
        Ended(jobs[3].id, 7, Succeeded()),
        Ended(jobs[1].id, 1, Succeeded("1")),
    ]

    settled = store.settle(ends)
    assert [(one.id, one.attempt) for one in settled] == [(one.id, one.attempt) for one in ends]
    assert [one.ending and one.ending.state for one in settled] == [
        State.SUCCEEDED,
        State.QUEUED,
        None,
        State.SUCCEEDED,
    ]


def test_no_ends_are_no_error(store):
    assert store.settle([]) == []


# ---- the fence (P4). To see them fail: take `attempt = ?` or `state = 'running'` out of the statements that end a job.

OUTCOMES = [
    Succeeded("1"),
    ERRED,
    TimedOut(1),
    Crashed("no", True),
    Lost(),
    Released(),
    Snoozed(1),
    Stopped(),
]


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
def test_a_worker_thought_dead_cannot_end_the_attempt_of_its_successor(store, twin, outcome):
    job_id = put(store)
    stale = take(store)
    store.rescue("w1")
    current = take(twin, "w2")
    before = store.get(job_id)

    assert end(store, stale, outcome) is None
    assert store.get(job_id) == before
    assert store.attempts(job_id) == []
    assert end(twin, current).state is State.SUCCEEDED


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: type(outcome).__name__)
@pytest.mark.parametrize(
    "first", [Succeeded("0"), Erred("no", "tb", again=False), Erred("no", "tb", delay=0)]
)
def test_an_attempt_ends_once(store, first, outcome):
    job_id = put(store)
    job = take(store)
    end(store, job, first)
    before = store.get(job_id)

    assert end(store, job, outcome) is None
    assert store.get(job_id) == before


def test_of_two_ends_of_one_attempt_in_one_call_one_counts(store):
    job_id = put(store)
    job = take(store)

    settled = store.settle([Ended(job.id, 1, Succeeded("1")), Ended(job.id, 1, Succeeded("2"))])
    assert [one.ending is None for one in settled] == [False, True]
    assert store.get(job_id).result == "1"


def test_a_stale_end_among_good_ones_keeps_none_of_them_back(store, twin):
    store.insert([new_job(store) for _ in range(3)])
    jobs = store.claim("w1", 3)
    end(twin, jobs[1])

    settled = store.settle([Ended(job.id, job.attempt, Succeeded()) for job in jobs])
    assert [one.ending is None for one in settled] == [False, True, False]


def test_an_end_of_a_job_that_is_not_there_changes_nothing(store):
    [settled] = store.settle([Ended("no-such-job", 1, Succeeded())])

    assert settled.ending is None


@pytest.mark.parametrize("outcome", [Succeeded(), ERRED], ids=["success", "error"])
def test_a_stale_end_does_not_let_the_next_job_go(store, outcome):
    first, second = new_chain(store, 2)
    store.insert([first, second])
    job = take(store)
    end(store, job, Released())

    assert end(store, job, outcome) is None
    assert store.get(second.id).view == "waiting"


def test_a_cancelled_job_cannot_be_ended_by_an_old_attempt(store):
    job_id = put(store)
    job = take(store)
    end(store, job, Erred("no", "tb", delay=0))
    store.cancel(JobFilter(ids=(job_id,)))

    assert end(store, job) is None
    assert store.get(job_id).state is State.CANCELLED


def test_what_a_task_added_is_there_with_its_success(store):
    first, second = new_chain(store, 2)
    put(store)

    ending = end(store, take(store), Succeeded("1", (first, second)))

    assert ending.state is State.SUCCEEDED
    assert claimable(store) == [first.id]
    assert store.get(second.id).view == "waiting"


def test_what_a_task_added_is_not_there_without_the_fence(store):
    """Its attempt was taken for dead, another has begun: that one adds its own."""
    added = new_job(store)
    put(store)
    job = take(store)
    store.rescue("w1")

    assert end(store, job, Succeeded(None, (added,))) is None
    assert [each.id for each in store.find()] == [job.id]
