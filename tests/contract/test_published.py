"""What an engine's workers run: offered to be published, taken by the first message, offered again if none comes."""

from datetime import timedelta

import pytest

from outlast.clock import to_instant
from outlast.handed import Handed
from outlast.job import Crashed, Erred, Offered, State
from outlast.store import JobFilter
from tests.contract.making import claimable, end, new_chain, new_job, put, take, worker_record

LEASE = timedelta(minutes=1)
MAIL = Handed(queue="mail", engine="celery", in_flight=3, lease=LEASE)
ALL = Handed(queue=None, engine="rq", in_flight=3, lease=LEASE)


def offered(store, *handed, **options):
    return [job.id for job in store.offer(handed or (ALL,), **options)]


def claim(store, job_id, attempt=1, worker="w1"):
    return store.claim_published(worker, job_id, attempt, engine="rq")


def test_a_job_is_offered_with_its_fence_and_where_it_goes(store):
    job_id = put(store, queue="mail", priority=7)

    assert store.offer([MAIL]) == [Offered(job_id, 1, "app:task", "mail", 7)]


def test_what_is_published_stays_queued_and_says_where_it_is(store, clock):
    job_id = put(store, queue="mail")
    store.offer([MAIL])
    record = store.get(job_id)

    assert (record.state, record.view, record.engine) == (State.QUEUED, "published", "celery")
    assert (record.attempt, record.engine_id) == (0, f"{job_id}-1")
    assert record.published_at == to_instant(clock.now())
    assert record.published_until == to_instant(clock.now()) + LEASE


def test_what_is_under_way_is_counted_apart(store):
    put(store)
    offered(store)
    put(store)

    assert {view: count for view, count in store.counts().items() if count} == {"published": 1, "ready": 1}


def test_what_is_under_way_is_neither_offered_again_nor_claimed(store, clock):
    put(store)
    put(store)
    assert len(offered(store)) == 2

    clock.advance(LEASE - timedelta(microseconds=1))
    assert offered(store) == []
    assert claimable(store) == []


def test_what_was_lost_is_offered_again_with_the_same_attempt(store, clock):
    job_id = put(store)
    offered(store)
    clock.advance(LEASE)

    assert [(job.id, job.attempt) for job in store.offer([ALL])] == [(job_id, 1)]


def test_a_message_that_waits_long_is_published_ever_less_often(store, clock):
    put(store)
    offered(store)
    times = []
    for minute in range(1, 17):
        clock.advance(LEASE)
        if offered(store):
            times.append(minute)

    assert times == [1, 2, 4, 8, 16]


def test_no_more_are_under_way_than_may_be(store):
    ids = [put(store, queue="mail") for _ in range(5)]
    assert offered(store, MAIL) == ids[:3]
    assert offered(store, MAIL) == []

    claim(store, ids[1])
    assert offered(store, MAIL) == ids[3:4]


def test_each_queue_has_room_of_its_own(store):
    mail, rest = ([put(store, queue=queue) for _ in range(4)] for queue in ("mail", "rest"))

    assert sorted(offered(store)) == sorted(mail[:3] + rest[:3])


def test_the_queues_in_hand_are_offered_and_no_others(store):
    mail, _rest = put(store, queue="mail"), put(store, queue="rest")

    assert offered(store, MAIL) == [mail]


def test_a_queue_can_be_left_for_now(store):
    mail, rest = put(store, queue="mail"), put(store, queue="rest")

    assert offered(store, leave=["mail"]) == [rest]
    assert offered(store) == [mail]


def test_those_of_a_queue_are_offered_in_the_order_of_a_claim(store, clock):
    late, urgent = put(store), put(store, priority=1)
    clock.advance(timedelta(seconds=-10))
    early = put(store)
    clock.advance(timedelta(seconds=20))

    assert offered(store) == [urgent, early, late]


def test_what_is_not_due_waits_or_is_held_is_not_offered(store, clock):
    first, second = new_chain(store, 2)
    delayed = new_job(store, delay=timedelta(hours=1))
    held = new_job(store, held_by="server")
    store.insert([first, second, delayed, held])
    assert offered(store) == [first.id]

    end(store, claim(store, first.id))
    assert offered(store) == [second.id]
    clock.advance(timedelta(hours=1))
    assert delayed.id in offered(store)


def test_a_paused_queue_is_not_offered(store):
    put(store)
    store.pause("default")
    assert offered(store) == []

    store.resume("default")
    assert len(offered(store)) == 1


def test_one_copy_of_a_message_gets_the_job_and_all_others_are_dropped(store, twin):
    job_id = put(store)
    offered(store)

    job = claim(store, job_id)
    assert (job.id, job.attempt) == (job_id, 1)
    assert claim(twin, job_id, worker="w2") is None
    record = store.get(job_id)
    assert (record.state, record.worker, record.view) == (State.RUNNING, "w1", "running")
    assert (record.engine, record.engine_id, record.published_until) == ("rq", f"{job_id}-1", None)


def test_an_old_copy_does_not_get_the_next_attempt(store, clock):
    job_id = put(store)
    offered(store)
    end(store, claim(store, job_id), Erred("no", "tb", delay=0))
    assert claim(store, job_id, attempt=1) is None
    assert claim(store, job_id, attempt=3) is None

    assert [job.attempt for job in store.offer([ALL])] == [2]
    assert claim(store, job_id, attempt=1) is None
    assert claim(store, job_id, attempt=2).attempt == 2


def test_an_old_copy_that_is_dropped_leaves_the_new_message_under_way(store):
    job_id = put(store)
    offered(store)
    end(store, claim(store, job_id), Erred("no", "tb", delay=0))
    offered(store)
    claim(store, job_id, attempt=1)

    assert store.get(job_id).view == "published"


@pytest.mark.parametrize("how", ["cancelled", "expired", "paused", "strange worker"])
def test_a_message_whose_job_must_not_start_is_dropped(store, clock, how):
    expires = clock.now() + 1_000_000 if how == "expired" else None
    job_id = put(store, expires_at=expires)
    offered(store)
    if how == "cancelled":
        store.cancel(JobFilter(ids=(job_id,)))
    elif how == "paused":
        store.pause("default")
    else:
        clock.advance(timedelta(seconds=1))

    assert claim(store, job_id, worker="nobody" if how == "strange worker" else "w1") is None
    assert store.get(job_id).attempt == 0
    assert store.get(job_id).published_until is None


def test_what_a_paused_queue_sent_away_is_offered_again_once_it_goes_on(store):
    job_id = put(store)
    offered(store)
    store.pause("default")
    claim(store, job_id)
    store.resume("default")

    assert offered(store) == [job_id]


def test_what_could_not_be_published_is_offered_again_at_once_and_costs_nothing(store):
    job_id = put(store)
    offered(store)
    store.unpublish([(job_id, 1)])

    record = store.get(job_id)
    assert (record.view, record.attempt, record.failures, record.note) == ("queued", 0, 0, None)
    assert offered(store) == [job_id]


def test_a_broker_that_may_have_forgotten_everything_gets_all_of_its_queue_again(store):
    mail, rest = [put(store, queue="mail") for _ in range(3)], put(store, queue="rest")
    offered(store)
    claim(store, mail[0])

    assert store.distrust("mail") == 2
    assert offered(store) == mail[1:]
    assert store.get(rest).view == "published"


def test_what_is_taken_back_too_late_changes_nothing(store):
    job_id = put(store)
    offered(store)
    end(store, claim(store, job_id), Erred("no", "tb", delay=0))
    offered(store)
    store.unpublish([(job_id, 1)])

    assert store.get(job_id).view == "published"


def test_a_worker_of_our_own_leaves_alone_what_is_handed_over(store):
    put(store, queue="mail")
    rest = put(store, queue="rest")

    assert claimable(store, handed=["mail"]) == [rest]
    assert claimable(store, handed=[None]) == []
    assert not store.suspects(handed=[None])


def test_a_queue_that_comes_back_is_served_once_its_messages_count_as_lost(store, clock):
    job_id = put(store)
    offered(store)
    clock.advance(LEASE)

    assert take(store).id == job_id
    record = store.get(job_id)
    assert (record.engine, record.engine_id, record.published_at) == (None, None, None)
    assert claim(store, job_id) is None


def test_suspects_are_offered_too(store):
    job_id = put(store)
    job = take(store)
    end(store, job, Crashed("it died", alone=False))

    assert offered(store) == [job_id]
    assert claim(store, job_id, attempt=2).suspect


def test_the_jobs_of_a_dead_engine_worker_are_offered_again(store):
    job_id = put(store)
    offered(store)
    claim(store, job_id)
    store.rescue("w1")

    assert [(job.id, job.attempt) for job in store.offer([ALL])] == [(job_id, 2)]


def test_two_relays_share_the_jobs(store, twin):
    ids = [put(store) for _ in range(3)]
    two = Handed(queue=None, engine="rq", in_flight=2, lease=LEASE)

    assert store.offer([two])
    assert twin.offer([two]) == []
    assert twin.offer([ALL]) == [Offered(ids[2], 1, "app:task", "default", 0)]


def test_a_worker_says_what_it_hands_over(store, clock):
    record = worker_record("w3", clock, handed=(MAIL, ALL))
    store.enter(record)

    assert store.workers()[-1] == record
    assert not record.serves("mail")
    assert (record.hands_over("mail"), record.hands_over("anything")) == (MAIL, ALL)


def test_a_process_of_an_engine_is_a_worker_that_serves_no_queue(store, clock):
    record = worker_record("w3", clock, queues=(), engine="celery")
    store.enter(record)

    assert store.workers()[-1] == record
    assert not record.serves("default")
