"""Claims: what is taken, in which order, and what is left alone."""

from datetime import timedelta

import pytest

from outlast.job import Crashed, State
from tests.contract.making import ERRED, claimable, end, ids, new_chain, new_job, put, take


def test_a_claimed_job_brings_what_a_worker_needs(store):
    job = new_job(store, task="app:send", luggage='{"a": 1}', retry='{"x": 1}', timeout=5, at_most_once=1)
    store.insert([job])

    claimed = take(store)
    assert (claimed.id, claimed.attempt, claimed.task, claimed.luggage) == (job.id, 1, "app:send", '{"a": 1}')
    assert (claimed.failures, claimed.retry, claimed.timeout) == (0, '{"x": 1}', 5)
    assert (claimed.at_most_once, claimed.suspect) == (1, 0)


def test_a_claimed_job_is_running_under_its_worker(store, clock):
    job_id = put(store)
    clock.advance(timedelta(seconds=2))
    take(store, "w2")

    record = store.get(job_id)
    assert (record.state, record.view, record.worker, record.attempt) == (State.RUNNING, "running", "w2", 1)
    assert record.started_at - record.created_at == timedelta(seconds=2)


def test_a_claimed_job_is_not_claimed_again(store, twin):
    put(store)
    take(store)

    assert store.claim("w1", 10) == []
    assert twin.claim("w2", 10) == []


def test_a_claim_takes_no_more_than_it_has_room_for(store):
    for _ in range(5):
        put(store)

    assert len(store.claim("w1", 3)) == 3
    assert len(store.claim("w1", 3)) == 2


@pytest.mark.parametrize("limit", [0, -1])
def test_a_claim_without_room_takes_nothing(store, limit):
    job_id = put(store)

    assert store.claim("w1", limit) == []
    assert claimable(store) == [job_id]


def test_jobs_are_taken_in_the_order_added(store):
    added = [put(store) for _ in range(5)]

    assert ids(store.claim("w1", 10)) == added


def test_a_higher_priority_goes_first(store):
    low, high, middle = put(store, priority=-1), put(store, priority=5), put(store)

    assert ids(store.claim("w1", 10)) == [high, middle, low]


def test_of_one_priority_the_one_due_earlier_goes_first(store, clock):
    later, sooner = put(store, delay=timedelta(seconds=2)), put(store, delay=timedelta(seconds=1))

    clock.advance(timedelta(seconds=5))
    assert ids(store.claim("w1", 10)) == [sooner, later]


def test_the_order_holds_across_queues(store):
    first = put(store, queue="b")
    second = put(store, queue="a")
    urgent = put(store, queue="c", priority=1)
    third = put(store, queue="b")

    assert ids(store.claim("w1", 3)) == [urgent, first, second]
    assert ids(store.claim("w1", 3)) == [third]


def test_a_worker_takes_from_the_queues_it_serves(store):
    mail, other, image = put(store, queue="mail"), put(store, queue="other"), put(store, queue="image")

    assert claimable(store, queues=("mail", "image")) == [mail, image]
    assert claimable(store, queues=()) == []
    assert claimable(store) == [mail, other, image]


def test_a_job_whose_task_is_unknown_is_left_to_others(store):
    unknown, known = put(store, task="app:new"), put(store, task="app:old")

    assert claimable(store, unknown={"app:new", "app:other"}) == [known]
    assert claimable(store) == [unknown, known]


def test_a_job_that_does_not_fit_is_left_to_others(store):
    unfit, other = put(store), put(store)

    assert claimable(store, unfit={unfit, "another"}) == [other]
    assert not store.suspects(unfit=(unfit, other))
    assert claimable(store) == [unfit, other]


def test_a_paused_queue_is_left_alone(store):
    paused, other = put(store, queue="mail"), put(store)
    store.pause("mail")

    assert claimable(store) == [other]
    assert claimable(store, queues=("mail",)) == []
    store.resume("mail")
    assert claimable(store) == [paused, other]


def test_a_delayed_job_is_taken_once_it_is_due(store, clock):
    job_id = put(store, delay=timedelta(seconds=10))

    clock.advance(timedelta(seconds=10, microseconds=-1))
    assert claimable(store) == []
    clock.advance(timedelta(microseconds=1))
    assert claimable(store) == [job_id]


def test_many_jobs_that_become_due_at_once_are_all_taken(store, clock):
    store.insert([new_job(store, delay=timedelta(seconds=1)) for _ in range(2500)])
    clock.advance(timedelta(seconds=1))

    taken: set[str] = set()
    while claimed := store.claim("w1", 400):
        taken |= set(ids(claimed))
    assert len(taken) == 2500


def test_an_expired_job_is_not_taken_though_nobody_has_failed_it_yet(store, clock):
    put(store, expires_at=store.clock.now() + 10)
    lasting = put(store, expires_at=store.clock.now() + 11)

    clock.advance(timedelta(microseconds=10))
    assert claimable(store) == [lasting]


def test_a_suspect_is_taken_only_by_who_runs_it_alone(store):
    put(store)
    suspect = take(store)
    end(store, suspect, Crashed("signal 11", alone=False))
    innocent = put(store)

    assert claimable(store) == [innocent]
    assert claimable(store, alone=True) == [suspect.id]
    assert take(store, alone=True).suspect == 1


def test_whether_there_are_suspects_is_what_a_claim_for_them_would_find(store):
    put(store, queue="mail", task="app:send")
    assert not store.suspects()
    end(store, take(store), Crashed("signal 11", alone=False))

    assert store.suspects()
    assert store.suspects(queues=("mail",))
    assert not store.suspects(queues=("other",))
    assert not store.suspects(unknown=("app:send",))
    store.pause("mail")
    assert not store.suspects()


def test_a_suspect_whose_retry_is_due_is_found(store, clock):
    put(store)
    end(store, take(store), Crashed("signal 11", alone=True))
    assert not store.suspects()

    clock.advance(timedelta(seconds=2))
    assert store.suspects()


def test_the_attempt_number_rises_with_each_claim(store, clock):
    put(store)
    for attempt in (1, 2, 3):
        job = take(store)
        assert (job.attempt, job.failures) == (attempt, attempt - 1)
        end(store, job, ERRED)
        clock.advance(timedelta(hours=1))


def test_a_worker_that_the_store_does_not_know_gets_nothing(store):
    """Whoever rescues looks through the known workers: nobody would look for what it took."""
    job_id = put(store)

    assert store.claim("stranger", 10) == []
    assert claimable(store) == [job_id]


def test_the_next_due_job_is_the_earliest_delayed_one(store, clock):
    assert store.next_due() is None
    put(store)
    assert store.next_due() is None
    put(store, delay=timedelta(seconds=9))
    put(store, delay=timedelta(seconds=4))

    assert store.next_due() == clock.now() + 4_000_000
    clock.advance(timedelta(seconds=5))
    store.claim("w1", 10)
    assert store.next_due() == clock.now() + 4_000_000


# ---- one job, by its id


def test_a_job_can_be_claimed_before_it_is_due(store):
    put(store)
    later = put(store, delay=timedelta(days=1))

    claimed = store.claim_one("w1", later)
    assert (claimed.id, claimed.attempt) == (later, 1)
    assert end(store, claimed).state is State.SUCCEEDED
    assert store.get(later).state is State.SUCCEEDED


def test_what_it_waited_behind_is_let_go_as_ever(store):
    first, second = new_chain(store, 2)
    store.insert([first, second])

    assert store.claim_one("w1", second.id) is None
    end(store, store.claim_one("w1", first.id))
    assert store.claim_one("w1", second.id).id == second.id


@pytest.mark.parametrize("fields", [{"waiting": 1}, {"held_by": "server"}, {"expires_at": 1}], ids=str)
def test_a_job_that_waits_for_more_than_time_is_not_claimed_by_its_id(fields, store):
    job_id = put(store, **fields)

    assert store.claim_one("w1", job_id) is None
    assert store.get(job_id).attempt == 0


def test_neither_is_one_of_a_paused_queue(store):
    job_id = put(store, queue="closed")
    store.pause("closed")
    assert store.claim_one("w1", job_id) is None

    store.resume("closed")
    assert store.claim_one("w1", job_id).id == job_id


def test_neither_is_one_that_is_running_or_has_ended(store):
    job_id = put(store)
    claimed = take(store)
    assert store.claim_one("w2", job_id) is None

    end(store, claimed)
    assert store.claim_one("w2", job_id) is None


def test_a_worker_that_the_store_does_not_know_claims_none_by_its_id(store):
    job_id = put(store)

    assert store.claim_one("stranger", job_id) is None
