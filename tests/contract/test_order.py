"""The order of the jobs of one request (P7): who lets the next one go, and who does not."""

from datetime import timedelta

import pytest

from outlast.job import Crashed, Erred, Lost, Released, Snoozed, State, Stopped, Succeeded, TimedOut
from outlast.store import JobFilter
from tests.contract.making import ERRED, claimable, end, ids, new_chain, new_job, take


def put_chain(store, length=3, **fields):
    jobs = new_chain(store, length, **fields)
    store.insert(jobs)
    return ids(jobs)


def cancel(store, job_id):
    store.cancel(JobFilter(ids=(job_id,)))


def test_only_the_first_job_of_a_request_can_start(store):
    first, second, third = put_chain(store)

    assert claimable(store) == [first]
    assert [store.get(job_id).view for job_id in (first, second, third)] == ["queued", "waiting", "waiting"]


@pytest.mark.parametrize(
    "outcome",
    [
        Succeeded(),
        ERRED,
        Erred("for good", "tb", again=False),
        TimedOut(1),
        Crashed("signal 11", True),
        Crashed("signal 11", False),
        Lost(),
        Snoozed(1_000_000),
    ],
    ids=str,
)
def test_the_end_of_the_first_attempt_lets_the_next_job_go(store, outcome):
    _, second, third = put_chain(store)
    end(store, take(store), outcome)

    assert second in claimable(store)
    assert store.get(third).view == "waiting"


@pytest.mark.parametrize(
    "outcome", [Released(), Released(delay=5), Released(begun=False), Stopped()], ids=str
)
def test_a_release_does_not_let_the_next_job_go(store, outcome):
    _, second, _ = put_chain(store)
    end(store, take(store), outcome)

    assert store.get(second).view == "waiting"


def test_an_end_told_by_another_connection_lets_the_next_job_go(store, twin):
    _, second, _ = put_chain(store)
    end(twin, take(store))

    assert claimable(store) == [second]


def test_all_jobs_of_a_request_run_in_their_order(store):
    chain = put_chain(store, 5)

    ran = []
    while jobs := store.claim("w1", 10):
        ran += ids(jobs)
        end(store, jobs[0])
    assert ran == chain


def test_retries_run_alongside_what_comes_behind(store, clock):
    first, second, _ = put_chain(store)
    end(store, take(store), Erred("no", "tb", delay=1_000_000))
    clock.advance(timedelta(seconds=1))

    assert set(claimable(store)) == {first, second}


def test_the_next_job_is_let_go_once(store, clock):
    """The second attempt of the first job must not start a later job that itself waits."""
    first, second, third = put_chain(store)
    end(store, take(store), Erred("no", "tb", delay=0))
    jobs = {job.id: job for job in store.claim("w1", 2)}
    end(store, jobs[first])

    assert store.get(third).view == "waiting"
    end(store, jobs[second])
    assert claimable(store) == [third]


def test_a_cancelled_job_lets_the_next_one_go(store):
    first, second, third = put_chain(store)
    cancel(store, first)

    assert claimable(store) == [second]
    assert store.get(third).view == "waiting"


def test_a_cancelled_running_job_lets_the_next_one_go_once_it_has_stopped(store):
    first, second, _ = put_chain(store)
    job = take(store)
    cancel(store, first)
    assert store.get(second).view == "waiting"

    end(store, job, Stopped())
    assert claimable(store) == [second]


def test_an_expired_job_lets_the_next_one_go(store, clock):
    first, second, _ = new_chain(store, 3)
    store.insert([first._replace(expires_at=clock.now() + 1), second])
    clock.advance(timedelta(seconds=1))
    store.expire()

    assert claimable(store) == [second.id]


def end_while_waiting(store, clock, how, job):
    if how == "cancelled":
        cancel(store, job.id)
    else:
        clock.advance(timedelta(seconds=1))
        assert [one.id for one in store.expire()] == [job.id]


@pytest.mark.parametrize("how", ["cancelled", "expired"])
def test_a_job_that_ends_while_it_waits_does_not_let_the_rest_overtake_the_first(store, clock, how):
    first, second, third = new_chain(store, 3)
    store.insert([first, second._replace(expires_at=clock.now() + 1), third])
    end_while_waiting(store, clock, how, second)
    assert claimable(store) == [first.id]

    end(store, take(store))
    assert claimable(store) == [third.id]


def test_several_that_end_while_they_wait_are_passed_over(store):
    first, *middle, last = put_chain(store, 6)
    store.cancel(JobFilter(ids=tuple(middle)))
    end(store, take(store))

    assert claimable(store) == [last]
    assert store.get(first).state is State.SUCCEEDED


def test_a_job_cancelled_together_with_the_one_before_it_lets_the_rest_go(store):
    first, second, third = put_chain(store)
    store.cancel(JobFilter(ids=(second, first)))

    assert claimable(store) == [third]


@pytest.mark.parametrize("first_expires", [1, 2])
def test_a_job_expired_together_with_the_one_before_it_lets_the_rest_go(store, clock, first_expires):
    first, second, third = new_chain(store, 3)
    now = clock.now()
    store.insert(
        [
            first._replace(expires_at=now + first_expires),
            second._replace(expires_at=now + 3 - first_expires),
            third,
        ]
    )
    clock.advance(timedelta(seconds=1))
    store.expire()

    assert claimable(store) == [third.id]


def test_a_job_pruned_while_it_waited_is_kept_until_it_has_let_the_rest_go(store, clock):
    first, second, third = put_chain(store)
    cancel(store, second)
    clock.advance(timedelta(days=30))

    store.prune(timedelta(days=1))
    end(store, take(store))
    assert claimable(store) == [third]
    assert store.prune(timedelta(days=1)).jobs == 1
    assert {first, third} == set(ids(store.find()))


def test_a_retry_by_hand_changes_nothing_in_the_order(store):
    first, second, third = put_chain(store)
    cancel(store, second)
    store.retry(JobFilter(ids=(second,)))
    assert claimable(store) == [first]

    end(store, take(store))
    assert claimable(store) == [second]
    end(store, take(store))
    assert claimable(store) == [third]


def test_a_held_job_that_is_let_go_stays_held(store):
    first, second = new_chain(store, 2)
    store.insert([first, second._replace(held_by="server")])
    end(store, take(store))

    assert (claimable(store), store.get(second.id).view) == ([], "held")
    store.unhold("server")
    assert claimable(store) == [second.id]


def test_a_delayed_job_that_is_let_go_still_has_its_time_ahead(store, clock):
    first, second = new_chain(store, 2)
    store.insert([first, new_job(store, id=second.id, waiting=1, delay=timedelta(seconds=5))])
    end(store, take(store))

    assert (claimable(store), store.get(second.id).view) == ([], "scheduled")
    clock.advance(timedelta(seconds=5))
    assert claimable(store) == [second.id]


def test_a_job_without_any_behind_it_ends_all_the_same(store):
    [only] = new_chain(store, 1)
    store.insert([only._replace(next_id="no-such-job")])

    assert end(store, take(store)).state is State.SUCCEEDED
