"""Held jobs: they start once their server's request has unwound, or their server is gone."""

from datetime import timedelta

from outlast.job import State
from outlast.store import JobFilter
from tests.contract.making import claimable, ids, new_chain, put


def test_a_held_job_does_not_start(store):
    job_id = put(store, held_by="server")

    assert claimable(store) == []
    assert store.get(job_id).view == "held"


def test_a_job_that_its_server_lets_go_starts(store):
    job_id = put(store, held_by="server")

    assert store.unhold("server") == 1
    assert claimable(store) == [job_id]


def test_a_server_lets_go_what_belongs_to_one_request(store):
    mine, other = put(store, held_by="server"), put(store, held_by="server")

    assert store.unhold("server", [mine]) == 1
    assert claimable(store) == [mine]
    assert store.get(other).view == "held"


def test_no_ids_let_nothing_go(store):
    put(store, held_by="server")

    assert store.unhold("server", []) == 0
    assert claimable(store) == []


def test_a_server_does_not_let_go_what_another_holds(store):
    job_id = put(store, held_by="other")

    assert store.unhold("server") == 0
    assert store.unhold("server", [job_id]) == 0
    assert claimable(store) == []


def test_what_is_let_go_a_second_time_is_counted_once(store):
    put(store, held_by="server")

    assert [store.unhold("server"), store.unhold("server")] == [1, 0]


def test_the_holders_are_the_servers_that_hold_something_now_and_since_when(store, clock):
    start = clock.now()
    for server in ("s1", "s2", "s2"):
        put(store, held_by=server)
        clock.advance(timedelta(seconds=1))
    assert sorted(store.holders()) == [("s1", start), ("s2", start + 2_000_000)]

    store.unhold("s2")
    assert store.holders() == [("s1", start)]


def test_a_held_job_that_is_let_go_still_waits_for_the_one_before_it(store):
    first, second = new_chain(store, 2, held_by="server")
    store.insert([first, second])
    store.unhold("server")

    assert claimable(store) == [first.id]
    assert store.get(second.id).view == "waiting"


def test_a_held_job_that_is_let_go_still_has_its_time_ahead(store, clock):
    job_id = put(store, held_by="server", delay=timedelta(seconds=5))
    store.unhold("server")

    assert (claimable(store), store.get(job_id).view) == ([], "scheduled")
    clock.advance(timedelta(seconds=5))
    assert claimable(store) == [job_id]


def test_a_held_job_whose_time_has_come_meanwhile_starts_when_let_go(store, clock):
    job_id = put(store, held_by="server", delay=timedelta(seconds=5))
    clock.advance(timedelta(seconds=6))
    assert claimable(store) == []

    store.unhold("server")
    assert claimable(store) == [job_id]


def test_a_held_job_can_be_cancelled_and_is_then_held_no_more(store):
    job_id = put(store, held_by="server")
    store.cancel(JobFilter(ids=(job_id,)))

    assert store.get(job_id).state is State.CANCELLED
    assert store.holders() == []
    store.retry(JobFilter(ids=(job_id,)))
    assert claimable(store) == [job_id]


def test_a_held_job_can_expire(store, clock):
    job_id = put(store, held_by="server", expires_at=clock.now() + 1)
    clock.advance(timedelta(seconds=1))

    assert ids(store.expire()) == [job_id]
    assert store.holders() == []
