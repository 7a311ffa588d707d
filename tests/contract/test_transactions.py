"""Commits: all or none, nested ones joining the outermost; what one connection commits the other sees."""

import pytest

from outlast.errors import NotConfirmed, StoreError
from outlast.job import Ended, State, Succeeded
from tests.contract.making import claimable, end, ids, new_job, put, take, undone


def test_what_is_committed_is_seen_by_others(store, twin):
    job_id = put(store)

    assert twin.get(job_id) == store.get(job_id)


def test_what_is_not_committed_is_not_seen_by_others(store, twin):
    with store.transaction():
        put(store)
        assert twin.find() == []
    assert len(twin.find()) == 1


def test_a_transaction_that_fails_leaves_nothing(store):
    job_id = put(store)
    with undone(store):
        end(store, take(store))
        put(store)

    assert ids(store.find()) == [job_id]
    assert claimable(store) == [job_id]


def test_calls_in_a_transaction_see_each_other(store):
    with store.transaction(flush=True):
        job_id = put(store)
        job = take(store)
        end(store, job)

    assert store.get(job_id).state is State.SUCCEEDED


def test_a_transaction_within_another_is_part_of_it(store, twin):
    with undone(store):
        with store.transaction(flush=True):
            put(store)
        assert twin.find() == []

    assert store.find() == []


def test_a_transaction_whose_part_failed_is_not_committed(store):
    """Half of what failed may have been written: swallowing its error must not commit that half."""

    def swallow():
        with store.transaction():
            put(store)
            with pytest.raises(StoreError):
                store.insert([new_job(store), new_job(store, luggage=None)])

    with pytest.raises(NotConfirmed):
        swallow()
    assert store.find() == []


def test_a_transaction_whose_part_failed_takes_no_more(store):
    def go_on():
        with store.transaction():
            with undone(store):
                put(store)
            with pytest.raises(NotConfirmed):
                put(store)

    with pytest.raises(NotConfirmed):
        go_on()
    assert store.find() == []


def test_a_store_is_usable_after_a_failed_transaction(store):
    with undone(store):
        put(store)

    job_id = put(store)
    assert ids(store.find()) == [job_id]


def test_a_claim_that_was_rolled_back_can_be_made_again(store):
    put(store)
    with undone(store):
        take(store)

    job = take(store)
    assert job.attempt == 1
    assert end(store, job).state is State.SUCCEEDED


def test_an_end_that_was_rolled_back_can_be_told_again(store):
    job_id = put(store)
    job = take(store)
    with undone(store):
        end(store, job, Succeeded("1"))
    assert store.get(job_id).state is State.RUNNING

    assert store.settle([Ended(job.id, job.attempt, Succeeded("2"))])[0].ending.result == "2"
    assert store.get(job_id).result == "2"


def test_flushing_changes_nothing_that_can_be_seen(store):
    job_id = put(store)
    take(store)
    before = store.get(job_id)

    store.flush()
    with store.transaction():
        store.flush()
    assert store.get(job_id) == before


def test_a_store_that_was_closed_says_so(store):
    store.close()

    with pytest.raises(StoreError, match="closed"):
        store.find()
    with pytest.raises(StoreError, match="closed"):
        put(store)


def test_a_store_may_be_closed_twice(store):
    store.close()
    store.close()
