"""What people are told: one job, lists, counts, queues."""

from datetime import timedelta

import pytest

from outlast.errors import JobNotFound
from outlast.job import Crashed, Erred, State, new_id
from outlast.store import JobFilter
from tests.contract.making import end, ids, new_chain, new_job, put, take


def test_a_job_that_is_not_there_is_named(store):
    missing = new_id()

    with pytest.raises(JobNotFound, match=missing):
        store.get(missing)


def test_jobs_are_listed_newest_first(store):
    added = [put(store) for _ in range(3)]

    assert ids(store.find()) == added[::-1]


def test_a_list_is_as_long_as_asked_for(store):
    added = [put(store) for _ in range(5)]

    assert ids(store.find(limit=2)) == added[:2:-1]


def test_a_list_goes_on_where_the_page_before_ended(store):
    added = [put(store) for _ in range(5)]
    page = store.find(limit=2)

    assert ids(store.find(limit=2, before=page[-1].id)) == [added[2], added[1]]
    assert ids(store.find(limit=2, before=added[0])) == []


def test_a_list_goes_on_though_the_job_where_the_page_before_ended_is_gone(store, clock):
    oldest, old = put(store), put(store)
    pruned = put(store, priority=1)
    end(store, store.claim("w1", 1)[0])
    put(store)
    clock.advance(timedelta(days=1))
    assert store.prune(timedelta(hours=1)).jobs == 1

    assert ids(store.find(before=pruned)) == [old, oldest]
    assert ids(store.find(before=oldest)) == []


@pytest.fixture
def one_of_each(store):
    """A job in each state, by its name."""
    store.insert([new_job(store, task=f"app:{state}") for state in ("succeeded", "failed", "running")])
    succeeded, failed, running = store.claim("w1", 3)
    end(store, succeeded)
    end(store, failed, Erred("no", "tb", again=False))
    cancelled = put(store)
    store.cancel(JobFilter(ids=(cancelled,)))
    return {
        "succeeded": succeeded.id,
        "failed": failed.id,
        "running": running.id,
        "cancelled": cancelled,
        "queued": put(store),
    }


@pytest.mark.parametrize("state", State)
def test_a_list_may_be_of_one_state(store, one_of_each, state):
    assert ids(store.find(JobFilter(state=state))) == [one_of_each[state]]


@pytest.mark.parametrize("unready", [{"delay": timedelta(hours=1)}, {"waiting": 1}, {"held_by": "server"}])
def test_every_kind_of_queued_job_is_listed_as_queued(store, unready):
    ready = put(store)
    put(store)
    suspect = store.claim("w1", 2)[1]
    end(store, suspect, Crashed("signal 11", alone=False))
    other = put(store, **unready)

    assert ids(store.find(JobFilter(state=State.QUEUED))) == [other, suspect.id]
    assert store.get(ready).state is State.RUNNING


def test_every_condition_of_a_filter_must_match(store):
    mine = put(store, queue="mail", task="app:send")
    put(store, queue="mail", task="app:other")
    put(store, queue="other", task="app:send")

    assert ids(store.find(JobFilter(queue="mail", task="app:send"))) == [mine]
    assert ids(store.find(JobFilter(queue="mail", ids=(mine, new_id())))) == [mine]
    assert store.find(JobFilter(queue="other", ids=(mine,))) == []
    assert store.find(JobFilter(ids=())) == []
    assert store.find(JobFilter(queue="mail", state=State.RUNNING)) == []


def test_a_filter_is_no_sql(store):
    put(store)

    assert store.find(JobFilter(task="' OR 1=1 --", queue='"', ids=("'",))) == []


def test_counts_of_an_empty_store_are_zeros(store):
    assert store.counts() == dict.fromkeys(
        [
            "scheduled",
            "retrying",
            "waiting",
            "held",
            "published",
            "ready",
            "running",
            "succeeded",
            "failed",
            "cancelled",
        ],
        0,
    )


def test_every_job_is_counted_in_one_view(store, clock, one_of_each):
    store.insert(new_chain(store, 3))
    put(store, delay=timedelta(hours=1))
    put(store, held_by="server")
    put(store, held_by="server", waiting=1)
    put(store)
    erring, suspect, *rest = store.claim("w1", 3)
    end(store, erring, Erred("no", "tb"))
    end(store, suspect, Crashed("signal 11", alone=False))

    assert store.counts() == {
        "scheduled": 1,
        "retrying": 1,
        "waiting": 1,
        "held": 2,
        "published": 0,
        "ready": 2,
        "running": 1 + len(rest),
        "succeeded": 1,
        "failed": 1,
        "cancelled": 1,
    }
    assert sum(store.counts().values()) == len(store.find(limit=100))


def test_what_is_due_counts_as_ready_though_no_worker_has_looked_yet(store, clock):
    job_id = put(store, delay=timedelta(seconds=1))
    clock.advance(timedelta(seconds=1))

    assert (store.counts()["ready"], store.counts()["scheduled"]) == (1, 0)
    assert store.get(job_id).view == "queued"


def test_queues_tell_what_lies_in_them(store):
    for _ in range(2):
        put(store, queue="mail")
    put(store, queue="mail", delay=timedelta(hours=1))
    put(store, queue="image", waiting=1)
    put(store, queue="web")
    put(store, queue="web")
    for job in store.claim("w1", 2, queues=("web",))[:1]:
        end(store, job, Erred("no", "tb", again=False))
    [mail] = store.claim("w1", 1, queues=("mail",))
    end(store, mail)

    told = {queue.name: (queue.queued, queue.running, queue.failed) for queue in store.queues()}
    assert told == {"image": (1, 0, 0), "mail": (2, 0, 0), "web": (0, 1, 1)}
    assert [queue.name for queue in store.queues()] == ["image", "mail", "web"]


def test_a_queue_whose_jobs_have_all_succeeded_is_not_told_of(store):
    put(store)
    end(store, take(store))

    assert store.queues() == []


def test_ids_are_found_by_a_beginning_or_an_end(store):
    one, other = put(store), put(store)

    assert store.ids_like(one[-12:]) == [one]
    assert store.ids_like(other[:28]) == [other]
    assert set(store.ids_like(one[:9])) == {one, other}
    assert len(store.ids_like(one[:9], limit=1)) == 1
    assert store.ids_like(one[9:20]) == []
    assert store.ids_like("%") == []


def test_the_oldest_ready_job_is_the_one_that_has_been_due_for_longest(store, clock):
    assert store.oldest_ready() is None
    put(store, waiting=1)
    put(store, held_by="server")
    late = put(store, delay=timedelta(minutes=5))
    clock.advance(timedelta(minutes=6))
    soon = put(store)

    assert store.oldest_ready().id == late
    assert ids(store.claim("w1", 10)) == [late, soon]
    assert store.oldest_ready() is None


def test_live_jobs_are_those_that_are_queued_or_running(store, one_of_each):
    others = [
        put(store, task="app:other", luggage='{"a":1}', delay=timedelta(hours=1)),
        put(store, task="app:other", luggage='{"a":1}', waiting=1),
        put(store, task="app:other", luggage='{"a":1}', held_by="server"),
    ]

    assert sorted(store.live()) == sorted(
        [
            (one_of_each[State.QUEUED], "app:task", "{}", False),
            (one_of_each[State.RUNNING], "app:running", "{}", True),
            *((job, "app:other", '{"a":1}', False) for job in others),
        ]
    )


def test_live_jobs_come_in_pieces_and_what_has_ended_meanwhile_is_left_out(store):
    jobs = [put(store) for _ in range(1_100)]
    live = store.live()
    first = next(live)
    store.cancel(JobFilter(ids=tuple(jobs[-10:])))

    assert sorted(each.id for each in (first, *live)) == sorted(jobs[:-10])
