"""Workers: how the store knows them, their leases, and what is done about the dead."""

from datetime import timedelta

from outlast.clock import to_instant
from outlast.job import Erred, Reason, State
from outlast.store import JobFilter
from tests.contract.making import LEASE, claimable, end, ids, new_job, put, take, worker_record


def known(store):
    return [worker.id for worker in store.workers()]


def test_a_worker_is_told_as_it_entered(store, clock):
    clock.advance(timedelta(seconds=1))
    record = worker_record("w3", clock, host="there", pid=77, queues=("mail", "Zoë's"), slots=3)
    store.enter(record)

    assert store.workers()[-1] == record


def test_a_worker_that_serves_all_queues_names_none(store, clock):
    assert store.workers()[0] == worker_record("w1", clock, queues=None)


def test_a_worker_that_enters_again_is_known_once(store, clock):
    store.enter(worker_record("w1", clock, slots=2))

    assert [worker.slots for worker in store.workers() if worker.id == "w1"] == [2]


def test_a_lease_is_prolonged_from_now(store, clock):
    clock.advance(timedelta(seconds=100))

    assert store.renew("w1", LEASE)
    [lease_until] = [worker.lease_until for worker in store.workers() if worker.id == "w1"]
    assert lease_until == to_instant(clock.now()) + LEASE


def test_a_worker_that_was_taken_for_dead_learns_it_when_it_renews(store):
    store.rescue("w1")

    assert not store.renew("w1", LEASE)
    assert known(store) == ["w2"]


def test_a_worker_that_leaves_is_forgotten(store):
    store.leave("w1")

    assert known(store) == ["w2"]


def test_a_worker_that_leaves_jobs_behind_stays_known_so_that_they_are_rescued(store):
    put(store)
    take(store)
    store.leave("w1")

    assert known(store) == ["w1", "w2"]


def test_the_jobs_of_a_dead_worker_can_start_again_at_once(store):
    job_id = put(store)
    job = take(store)

    [settled] = store.rescue("w1")
    assert (settled.id, settled.attempt, settled.ending.state) == (job_id, job.attempt, State.QUEUED)
    assert claimable(store, alone=False) == []  # w1 is known no more
    assert take(store, "w2").attempt == 2


def test_the_running_jobs_of_a_worker_are_told_by_their_fences(store):
    first, second = (put(store) for _ in range(2))
    [claimed, _] = store.claim("w1", 2)
    store.claim("w2", 1)
    assert store.running("w1") == [(first, 1), (second, 1)]

    end(store, claimed)

    assert store.running("w1") == [(second, 1)]


def test_a_rescue_takes_every_job_of_the_dead_and_none_of_the_living(store):
    store.insert([new_job(store) for _ in range(5)])
    dead, living = store.claim("w1", 3), store.claim("w2", 2)

    assert {one.id for one in store.rescue("w1")} == set(ids(dead))
    assert {store.get(job_id).state for job_id in ids(living)} == {State.RUNNING}


def test_a_rescue_costs_no_failure(store):
    job_id = put(store, max_attempts=1)
    take(store)
    store.rescue("w1")

    record = store.get(job_id)
    assert (record.state, record.failures, record.note) == (State.QUEUED, 0, "rescued from a dead worker")


def test_a_job_is_given_up_when_twenty_workers_died_under_it(store, clock):
    job_id = put(store)
    for _ in range(20):
        store.enter(worker_record("w1", clock))
        take(store)
        store.rescue("w1")

    record = store.get(job_id)
    assert (record.state, record.reason) == (State.FAILED, Reason.RESCUES)


def test_a_job_of_a_dead_worker_that_was_to_be_cancelled_is(store):
    job_id = put(store)
    take(store)
    store.cancel(JobFilter(ids=(job_id,)))
    store.rescue("w1")

    assert store.get(job_id).state is State.CANCELLED


def test_a_begun_at_most_once_job_of_a_dead_worker_is_not_run_again(store):
    job_id = put(store, at_most_once=1)
    take(store)
    store.rescue("w1")

    assert store.get(job_id).reason is Reason.INTERRUPTED


def test_a_worker_without_jobs_is_rescued_from_without_more_ado(store):
    assert store.rescue("w1") == []
    assert store.rescue("no-such-worker") == []
    assert known(store) == ["w2"]


def test_a_worker_hears_which_of_its_jobs_are_to_be_cancelled(store):
    store.insert([new_job(store) for _ in range(4)])
    mine, other = store.claim("w1", 3), store.claim("w2", 1)
    assert store.cancels("w1") == []

    store.cancel(JobFilter(ids=(mine[0].id, mine[2].id, other[0].id)))
    assert sorted(store.cancels("w1")) == [(mine[0].id, 1), (mine[2].id, 1)]
    assert store.cancels("w2") == [(other[0].id, 1)]


def test_a_worker_hears_no_more_of_what_has_ended(store):
    put(store)
    job = take(store)
    store.cancel(JobFilter(ids=(job.id,)))
    end(store, job, Erred("no", "tb"))

    assert store.cancels("w1") == []
