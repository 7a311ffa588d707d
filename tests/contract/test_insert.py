"""The receipt: what is written, how often, and whether it can start at once."""

from datetime import timedelta

import pytest

from outlast.clock import to_instant
from outlast.errors import StoreError
from outlast.job import State
from tests.contract.making import claimable, end, ids, new_chain, new_job, put, take


def test_a_job_is_told_as_it_was_written(store):
    job = new_job(
        store,
        task="app:send",
        queue="mail",
        priority=3,
        luggage='{"args": ["Zoë 🐘"]}',
        delay=timedelta(minutes=1),
        expires_at=store.clock.now() + 90_000_000,
        timeout=1_500_000,
        max_attempts=7,
    )
    store.insert([job])

    record = store.get(job.id)
    assert (record.task, record.queue, record.priority) == ("app:send", "mail", 3)
    assert record.luggage == '{"args": ["Zoë 🐘"]}'
    assert record.created_at == to_instant(job.created_at)
    assert record.run_at - record.created_at == timedelta(minutes=1)
    assert record.expires_at - record.created_at == timedelta(seconds=90)
    assert record.timeout == timedelta(seconds=1.5)
    assert record.max_attempts == 7


def test_a_new_job_has_no_past(store):
    record = store.get(put(store))

    assert (record.state, record.attempt, record.failures) == (State.QUEUED, 0, 0)
    assert record.worker is record.started_at is record.finished_at is record.cancel_requested_at is None
    assert record.result is record.reason is record.error is record.note is None


def test_a_job_sent_again_is_there_once(store):
    job = new_job(store)

    store.insert([job])
    store.insert([job])
    assert ids(store.find()) == [job.id]


def test_a_job_sent_again_is_not_set_back(store):
    job = new_job(store)
    store.insert([job])
    end(store, take(store))

    store.insert([job])
    assert store.get(job.id).state is State.SUCCEEDED


def test_a_job_sent_again_beside_a_new_one_does_not_keep_that_out(store):
    old, new = new_job(store), new_job(store)
    store.insert([old])

    store.insert([old, new])
    assert {old.id, new.id} == set(ids(store.find()))


@pytest.mark.parametrize("count", [1, 24, 25, 26, 50, 77])
def test_any_number_of_jobs_is_written_in_its_order(store, count):
    jobs = [new_job(store, luggage=f"{number}") for number in range(count)]
    store.insert(jobs)
    store.insert(jobs)

    assert [(job.id, job.luggage) for job in store.claim("w1", 1000)] == [
        (job.id, job.luggage) for job in jobs
    ]


@pytest.mark.parametrize("bad", [0, 5, 40, 59])
def test_one_bad_job_among_many_keeps_all_out(store, bad):
    jobs = [new_job(store, luggage=None if number == bad else "{}") for number in range(60)]

    with pytest.raises(StoreError):
        store.insert(jobs)
    assert store.find() == []


def test_jobs_are_written_all_or_none(store):
    good, bad = new_job(store), new_job(store, luggage=None)

    with pytest.raises(StoreError):
        store.insert([good, bad])
    assert store.find() == []


def test_no_jobs_are_no_error(store):
    store.insert([])

    assert store.find() == []


def test_an_undelayed_job_can_start_at_once(store):
    job_id = put(store)

    assert store.get(job_id).view == "queued"
    assert claimable(store) == [job_id]


def test_a_clock_that_jumps_back_delays_only_what_was_delayed(store, clock):
    at_once, later = put(store), put(store, delay=timedelta(seconds=1))

    clock.advance(timedelta(hours=-1))
    assert claimable(store) == [at_once]
    clock.advance(timedelta(hours=1, seconds=1))
    assert claimable(store) == [at_once, later]


@pytest.mark.parametrize("lets_go", ["the one before it", "its server"])
def test_a_clock_that_jumps_back_does_not_keep_a_job_that_is_let_go(store, clock, lets_go):
    first, second = new_chain(store, 2)
    held = new_job(store, held_by="server")
    store.insert([first, second, held])
    running = take(store)
    clock.advance(timedelta(hours=-1))

    if lets_go == "its server":
        store.unhold("server")
        assert claimable(store) == [held.id]
    else:
        end(store, running)
        assert claimable(store) == [second.id]
