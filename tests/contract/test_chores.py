"""What is done now and then: expiring what is too late, pruning what ended long ago."""

from datetime import timedelta

from outlast.job import Erred, Reason, State
from outlast.store import JobFilter
from tests.contract.making import claimable, end, ids, new_job, put, take


def test_a_job_whose_time_is_over_fails_for_that_reason(store, clock):
    job_id = put(store, expires_at=clock.now() + 1_000_000)
    clock.advance(timedelta(seconds=1))

    [settled] = store.expire()
    record = store.get(job_id)
    assert (settled.id, settled.attempt, settled.ending.reason) == (job_id, 0, Reason.EXPIRED)
    assert (record.state, record.reason, record.error) == (State.FAILED, Reason.EXPIRED, settled.ending.error)
    assert record.finished_at is not None


def test_a_job_whose_time_is_not_over_is_left_alone(store, clock):
    job_id = put(store, expires_at=clock.now() + 1_000_000)
    put(store)
    clock.advance(timedelta(seconds=1, microseconds=-1))

    assert store.expire() == []
    assert store.get(job_id).state is State.QUEUED


def test_a_running_job_does_not_expire(store, clock):
    put(store, expires_at=clock.now() + 1_000_000)
    job = take(store)
    clock.advance(timedelta(seconds=2))

    assert store.expire() == []
    assert end(store, job).state is State.SUCCEEDED


def test_a_retry_that_comes_too_late_expires(store, clock):
    job_id = put(store, expires_at=clock.now() + 1_000_000)
    end(store, take(store), Erred("no", "tb", delay=5_000_000))
    clock.advance(timedelta(seconds=5))

    assert claimable(store) == []
    [settled] = store.expire()
    assert (settled.attempt, settled.ending.failures) == (1, 1)
    assert store.get(job_id).reason is Reason.EXPIRED


def test_the_next_to_expire_is_known_in_advance(store, clock):
    assert store.next_expiry() is None
    soon, later = clock.now() + 1_000_000, clock.now() + 5_000_000
    put(store, expires_at=later)
    put(store, expires_at=soon)
    put(store)

    assert store.next_expiry() == soon
    clock.advance(timedelta(seconds=1))
    store.expire()
    assert store.next_expiry() == later


def test_a_running_job_is_not_the_next_to_expire(store, clock):
    put(store, expires_at=clock.now() + 1_000_000)
    take(store)

    assert store.next_expiry() is None


def test_more_jobs_than_fit_one_commit_expire_in_one_call(store, clock):
    store.insert([new_job(store, expires_at=clock.now() + 1) for _ in range(2100)])
    clock.advance(timedelta(seconds=1))

    assert len({one.id for one in store.expire()}) == 2100
    assert store.counts()["failed"] == 2100


def test_a_job_that_ended_long_ago_is_pruned(store, clock):
    old = put(store)
    end(store, take(store))
    clock.advance(timedelta(hours=2))
    new = put(store)
    end(store, take(store))

    assert store.prune(timedelta(hours=1)) == 1
    assert ids(store.find()) == [new]
    assert old != new


def test_pruning_takes_every_ended_state_and_no_other(store, clock):
    kept = [put(store, delay=timedelta(days=1000)), put(store, held_by="server"), put(store, waiting=1)]
    store.insert([new_job(store) for _ in range(3)])
    succeeded, failed, running = store.claim("w1", 3)
    end(store, succeeded)
    end(store, failed, Erred("no", "tb", again=False))
    store.cancel(JobFilter(ids=(put(store),)))
    clock.advance(timedelta(days=365))

    assert store.prune(timedelta(days=1)) == 3
    assert set(ids(store.find())) == {*kept, running.id}


def test_pruning_may_be_of_one_state(store, clock):
    store.insert([new_job(store) for _ in range(4)])
    succeeded, *failed = store.claim("w1", 4)
    for job in failed:
        end(store, job, Erred("no", "tb", again=False))
    end(store, succeeded)
    clock.advance(timedelta(days=1))

    assert store.prune(timedelta(hours=1), state=State.SUCCEEDED, limit=1) == 1
    assert set(ids(store.find())) == {job.id for job in failed}


def test_the_attempts_of_a_pruned_job_go_with_it(store, clock):
    job_id = put(store)
    end(store, take(store), Erred("no", "tb", again=False))
    clock.advance(timedelta(days=1))
    store.prune(timedelta(hours=1))

    assert store.attempts(job_id) == []


def test_pruning_takes_the_oldest_and_no_more_than_its_limit(store, clock):
    old = [put(store) for _ in range(5)]
    for job in store.claim("w1", 5):
        clock.advance(timedelta(seconds=1))
        end(store, job)
    clock.advance(timedelta(days=1))

    assert store.prune(timedelta(hours=1), limit=3) == 3
    assert set(ids(store.find())) == set(old[3:])
    assert store.prune(timedelta(hours=1), limit=3) == 2
    assert store.prune(timedelta(hours=1), limit=3) == 0
