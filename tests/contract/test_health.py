"""How deep the queues are, and whether the jobs of a store are being taken care of."""

from datetime import timedelta

from outlast.clock import to_instant
from outlast.handed import Handed
from outlast.health import STALE, health_of
from outlast.job import Erred
from tests.contract.making import LEASE, end, put, take

MINUTE = timedelta(minutes=1)


def depths(store):
    return {(depth.queue, depth.view): depth.jobs for depth in store.depths()}


def test_each_view_of_each_queue_is_counted(store):
    put(store)
    end(store, take(store))
    put(store)
    end(store, take(store), Erred("no", "…"))
    for fields in ({"delay": MINUTE}, {"waiting": 1}, {"held_by": "s"}, {"priority": 1}, {"queue": "mail"}):
        put(store, **fields)
    store.claim("w1", 1)
    put(store)

    assert depths(store) == {
        ("default", "held"): 1,
        ("default", "ready"): 1,
        ("default", "retrying"): 1,
        ("default", "running"): 1,
        ("default", "scheduled"): 1,
        ("default", "waiting"): 1,
        ("mail", "ready"): 1,
    }


def test_what_is_published_is_counted_apart_and_is_not_the_oldest_that_is_ready(store, clock):
    put(store)
    store.offer([Handed(queue=None, engine="celery", in_flight=1, lease=2 * MINUTE)])
    clock.advance(MINUTE)
    put(store)

    assert depths(store) == {("default", "published"): 1, ("default", "ready"): 1}
    assert [depth.oldest for depth in store.depths()] == [None, to_instant(clock.now())]


def test_what_is_due_is_ready_and_the_oldest_of_it_is_told(store, clock):
    put(store, delay=MINUTE)
    due = to_instant(clock.now()) + MINUTE
    clock.advance(2 * MINUTE)
    put(store)
    store.pause("mail")

    [ready, paused] = store.depths()

    assert (ready.view, ready.jobs, ready.oldest, ready.is_paused) == ("ready", 2, due, False)
    assert (paused.queue, paused.view, paused.jobs, paused.oldest, paused.is_paused) == (
        *("mail", "ready", 0, None, True),
    )


def test_a_worker_that_claims_is_well(store, clock, monkeypatch):
    monkeypatch.setattr("outlast.health.living", lambda store: store.workers())
    store.renew("w1", LEASE, claimed_at=clock.now())
    clock.advance(timedelta(seconds=5))

    told = health_of(store)

    assert (told.problems, told.claimed, told.oldest) == ((), timedelta(seconds=5), None)
    store.renew("w1", LEASE)
    assert health_of(store).claimed == timedelta(seconds=5)


def test_what_is_wrong_is_said(store, clock, monkeypatch):
    monkeypatch.setattr("outlast.health.living", lambda store: store.workers())
    assert health_of(store).problems == ("No worker has asked for jobs yet.",)
    store.renew("w1", LEASE, claimed_at=clock.now())
    put(store)
    clock.advance(STALE + MINUTE)

    assert health_of(store).problems == ("No claim was answered for 120 s.",)
    assert health_of(store, claimed_at=clock.now()).problems == ()
    assert health_of(store, claimed_at=clock.now(), late=MINUTE).problems == (
        "A job has been ready for 120 s.",
    )
    assert health_of(store, claimed_at=clock.now(), late=5 * MINUTE).problems == ()
    store.pause("default")
    assert health_of(store, claimed_at=clock.now(), late=MINUTE).problems == ()
    for worker in ("w1", "w2"):
        store.leave(worker)
    assert health_of(store).problems == ("No worker is alive.",)
