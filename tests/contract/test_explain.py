"""Why a job is not running: what the store reads of it and its circumstances, and the reasons that follow."""

from dataclasses import replace
from datetime import timedelta

import pytest

from outlast.clock import to_instant
from outlast.errors import JobNotFound
from outlast.explain import Why, explain
from outlast.handed import ENTRUSTED, Handed
from outlast.job import Crashed, Erred, Released, Snoozed, new_id
from outlast.store import MOST_AHEAD, JobFilter
from tests.contract.making import end, new_chain, new_job, put, take, worker_record

SECOND = timedelta(seconds=1)
RQ = Handed(queue=None, engine="rq", in_flight=2, lease=timedelta(minutes=1))


@pytest.fixture
def store(connect, clock):
    """An empty store with one worker that serves every queue and has two slots."""
    store = connect()
    store.enter(worker_record("w1", clock, slots=2))
    return store


def reasons(store, job_id):
    return explain(store.circumstances(job_id))


def whys(store, job_id):
    return [reason.why for reason in reasons(store, job_id)]


def the_reason(store, job_id):
    [reason] = reasons(store, job_id)
    return reason


def fill(store, worker="w1"):
    """Take every slot."""
    store.insert([new_job(store, priority=9) for _ in range(2)])
    assert len(store.claim(worker, 2)) == 2


# ---- the job and its queue


def test_a_job_that_is_not_there_is_named(store):
    missing = new_id()

    with pytest.raises(JobNotFound, match=missing):
        store.circumstances(missing)


def test_a_job_that_the_next_claim_takes_has_no_reason(store):
    assert whys(store, put(store)) == []


def test_a_job_that_runs_or_has_ended_says_that_and_no_more(store):
    job_id = put(store, queue="mail", delay=-SECOND)
    job = take(store)
    store.pause("mail")
    assert (the_reason(store, job_id).why, the_reason(store, job_id).text) == (
        Why.RUNNING,
        "Attempt 1 is running.",
    )

    store.cancel(JobFilter(ids=(job_id,)))
    assert "was asked to stop" in the_reason(store, job_id).text

    end(store, job, Erred("no", "tb", again=False))
    reason = the_reason(store, job_id)
    assert (reason.why, reason.cure) == (Why.ENDED, f"outlast jobs retry {job_id}")
    assert "cancelled" in reason.text


def test_every_reason_is_told_at_once(store):
    fill(store)
    first, job = new_chain(store, 2, held_by="server", queue="mail", delay=5 * SECOND)
    store.insert([first, job])
    store.pause("mail")

    assert whys(store, job.id) == [Why.HELD, Why.WAITING, Why.NOT_DUE, Why.PAUSED, Why.NO_SLOT]


def test_a_delayed_job_says_when_it_is_due(store, clock):
    job_id = put(store, delay=SECOND)
    reason = the_reason(store, job_id)
    assert (reason.why, reason.until, reason.note) == (Why.NOT_DUE, to_instant(clock.now()) + SECOND, None)
    assert reason.text.endswith("it was delayed.")

    clock.advance(SECOND)
    assert whys(store, job_id) == []


@pytest.mark.parametrize(
    ("outcome", "text", "note"),
    [
        (Erred("no", "tb"), "it has 1 of 5 failures, and is retried then.", None),
        (Snoozed(1_000_000), "it was put back.", "snoozed by its task"),
        (Released("does not fit", 1_000_000, begun=False), "it was put back.", "does not fit"),
    ],
)
def test_a_job_that_waits_for_its_time_again_says_why(store, outcome, text, note):
    job_id = put(store)
    end(store, take(store), outcome)

    reason = the_reason(store, job_id)
    assert (reason.why, reason.note) == (Why.NOT_DUE, note)
    assert reason.text.endswith(text)


@pytest.mark.parametrize("fields", [{}, {"held_by": "server"}, {"waiting": 1}])
def test_a_clock_that_was_set_back_makes_no_reason(store, clock, fields):
    """What was ready stays ready, and what is held or waits was due when it was added."""
    job_id = put(store, **fields)
    clock.advance(-SECOND)

    assert Why.NOT_DUE not in whys(store, job_id)


def test_a_waiting_job_names_the_nearest_before_it_that_has_not_ended(store):
    first, second, last = new_chain(store, 3)
    store.insert([first, second, last])
    assert the_reason(store, last.id).cure == f"outlast jobs explain {second.id}"

    store.cancel(JobFilter(ids=(second.id,)))
    reason = the_reason(store, last.id)
    assert reason.cure == f"outlast jobs explain {first.id}"
    assert f"job {first.id} of the same request, which is queued" in reason.text

    end(store, take(store))
    assert whys(store, last.id) == []


def test_a_paused_queue_says_how_to_resume_it(store):
    job_id = put(store, queue="mail; all")
    store.pause("mail; all")

    assert the_reason(store, job_id).cure == "outlast queues resume 'mail; all'"


def test_a_job_whose_time_to_be_useful_is_over_says_that_it_never_starts(store, clock):
    job_id = put(store, expires_at=clock.now() + 1)
    clock.advance(SECOND)
    assert whys(store, job_id) == [Why.EXPIRED]

    store.expire()
    assert (the_reason(store, job_id).why, "expired" in the_reason(store, job_id).text) == (Why.ENDED, True)


# ---- the workers


def test_a_queue_that_nobody_serves(store, clock):
    store.leave("w1")
    job_id = put(store, queue="mail")
    assert the_reason(store, job_id).text.startswith("No worker is alive")

    store.enter(worker_record("w2", clock, queues=("web",)))
    assert the_reason(store, job_id).text.endswith(
        "serves its queue, mail; 1 worker lives, for other queues."
    )

    store.enter(worker_record("w3", clock, queues=("mail", "web")))
    assert whys(store, job_id) == []


def test_workers_of_an_engine_without_a_relay(store, clock):
    """They serve no queue by themselves: what is missing is who publishes for them."""
    store.leave("w1")
    job_id = put(store, queue="mail")
    for number, engine in enumerate(("rq", "celery", "rq")):
        store.enter(worker_record(f"e{number}", clock, queues=(), engine=engine))

    reason = the_reason(store, job_id)

    assert reason.text.startswith("Workers of celery and rq live, but no relay")
    assert (reason.why, reason.cure) == (Why.NO_WORKER, "outlast relay main:app")
    store.enter(worker_record("w2", clock, queues=("web",)))
    assert the_reason(store, job_id).text.endswith("1 worker lives, for other queues.")


def test_a_worker_that_is_leaving_serves_nobody(store):
    job_id = put(store)
    store.report("w1", room=2, is_leaving=True)

    reason = the_reason(store, job_id)
    assert reason.why is Why.NO_WORKER
    assert "shutting down" in reason.text


def test_a_task_that_no_code_has(store, clock):
    job_id = put(store, task="app:new")
    store.report("w1", room=2, unknown={"app:new", "app:other"})
    assert whys(store, job_id) == [Why.UNKNOWN_TASK]

    store.enter(worker_record("w2", clock, slots=1))
    assert whys(store, job_id) == []


def test_a_job_that_no_code_fits(store, clock):
    """It was put back, is due again, and is left to others by the worker that could not run it."""
    job_id, other = put(store), put(store)
    store.report("w1", room=2, unknown={job_id})
    assert whys(store, job_id) == [Why.MISFIT]
    assert whys(store, other) == []

    store.enter(worker_record("w2", clock, slots=1))
    assert whys(store, job_id) == []


def test_a_worker_that_enters_again_is_asked_anew(store, clock):
    store.report("w1", room=2, unknown={"app:task"}, is_leaving=True)
    store.enter(worker_record("w1", clock))

    assert whys(store, put(store)) == []


def test_a_worker_without_a_ready_child_takes_nothing(store):
    job_id = put(store)
    store.report("w1", room=0)

    assert whys(store, job_id) == [Why.NOT_READY]


def test_what_a_worker_says_of_itself_is_kept_by_a_renewal(store):
    store.report("w1", room=1, unknown=("b", "a"), is_leaving=True)
    store.renew("w1", SECOND)

    [worker] = store.workers()
    assert (worker.room, worker.unknown, worker.is_leaving) == (1, ("a", "b"), True)


def test_the_jobs_before_it_in_line_are_counted(store):
    fill(store)
    store.insert(
        [
            new_job(store, priority=1, queue="mail"),
            new_job(store),
            new_job(store, delay=SECOND),
            new_job(store, held_by="server"),
            new_job(store, priority=1, queue="paused"),
            new_job(store, priority=1, expires_at=store.clock.now()),
            new_job(store, priority=1, task="app:unknown"),
        ]
    )
    store.pause("paused")
    store.report("w1", room=2, unknown={"app:unknown"})
    job_id = put(store)
    put(store)
    put(store, priority=-1)

    assert the_reason(store, job_id).text == (
        "All 2 slots of 1 worker that could run it are taken. 2 jobs are before it in line."
    )


def test_a_job_that_its_worker_leaves_to_others_is_not_before_it(store):
    misfit = put(store, priority=1)
    store.report("w1", room=1, unknown={misfit})

    assert whys(store, put(store)) == []


def test_those_of_queues_that_the_worker_does_not_serve_are_not_before_it(store, clock):
    store.leave("w1")
    store.enter(worker_record("w2", clock, queues=("web",), slots=1))
    put(store, queue="mail", priority=5)
    job_id = put(store, queue="web")

    assert whys(store, job_id) == []
    assert whys(store, put(store, queue="web")) == [Why.NO_SLOT]


def test_what_has_become_due_is_before_it_though_no_claim_has_looked(store, clock):
    late = [put(store, delay=SECOND) for _ in range(2)]
    clock.advance(SECOND)
    job_id = put(store)

    assert the_reason(store, job_id).text == (
        "The free slots, 2 of 1 worker, go to jobs before it. 2 jobs are before it in line."
    )
    assert [job.id for job in store.claim("w1", 2)] == late


def test_a_slot_that_is_free_anywhere_is_no_reason(store, clock):
    fill(store)
    job_id = put(store)
    assert the_reason(store, job_id).text.endswith("It is next in line.")

    store.enter(worker_record("w2", clock, slots=1))
    assert whys(store, job_id) == []


def test_a_long_line_is_not_counted_to_its_end(store):
    store.insert([new_job(store, priority=1) for _ in range(MOST_AHEAD + 5)])

    assert the_reason(store, put(store)).text.endswith("10,000 jobs or more are before it in line.")


def test_a_suspect_runs_alone(store):
    suspects = [put(store) for _ in range(2)]
    for job in store.claim("w1", 2):
        end(store, job, Crashed("signal 11", alone=False))
    put(store, priority=9)

    assert [the_reason(store, job_id).why for job_id in suspects] == [Why.ALONE] * 2
    assert the_reason(store, suspects[0]).text.endswith("It is next in line.")
    assert the_reason(store, suspects[1]).text.endswith("1 job is before it in line.")


# ---- where its queue is handed over


@pytest.fixture
def relay(store, clock):
    """In place of the worker, one that hands every queue over."""
    store.enter(worker_record("w1", clock, handed=(RQ,)))
    return RQ


def test_a_published_job_says_where_its_message_is_and_until_when(store, clock, relay):
    job_id = put(store)
    assert whys(store, job_id) == []
    store.offer([relay])

    reason = the_reason(store, job_id)
    assert (reason.why, reason.until) == (Why.PUBLISHED, to_instant(clock.now()) + relay.lease)
    assert reason.text == (
        f"Its message is with the broker of rq, as {job_id}-1, and no worker of rq has taken it yet. If none does, it "
        "is published again."
    )


def test_a_task_of_the_engines_own_is_not_said_to_be_published_again(store, relay):
    job_id = put(store)
    store.offer([relay])
    store.entrust(job_id, 1, timedelta(days=1), note=ENTRUSTED)

    reason = the_reason(store, job_id)
    assert reason.why is Why.PUBLISHED
    assert reason.text == (
        f"It is a task of rq's own, handed over as {job_id}-1, and its end is to come. If none is told, it fails."
    )


def test_as_many_messages_as_may_be_are_under_way(store, clock, relay):
    """As the relay has it that may have most."""
    store.enter(worker_record("w0", clock, handed=(replace(RQ, in_flight=1),)))
    first, second, third = [put(store) for _ in range(3)]
    assert whys(store, second) == []
    assert the_reason(store, third).text == (
        "2 messages of its queue may be under way to rq at a time, and the room that is left, 2, goes to jobs before "
        "it. 2 jobs are before it in line."
    )

    store.offer([relay])
    assert whys(store, first) == [Why.PUBLISHED]
    assert the_reason(store, third).text == (
        "2 messages of its queue may be under way to rq at a time, and as many are. It is next in line."
    )


def test_a_suspect_is_published_after_all_others(store, clock):
    suspect = put(store)
    end(store, take(store), Crashed("it died", alone=False))
    store.insert([new_job(store) for _ in range(2)])
    assert whys(store, suspect) == [Why.ALONE]

    store.enter(worker_record("w1", clock, handed=(RQ,)))
    assert the_reason(store, suspect).text.endswith("2 jobs are before it in line.")


def test_a_queue_on_its_way_to_an_engine_is_still_served_by_the_worker_that_is_left(store, clock):
    """The worker of the old code claims what the relay of the new one has no room for."""
    store.insert([new_job(store) for _ in range(2)])
    store.offer([RQ])
    store.enter(worker_record("w2", clock, handed=(RQ,)))

    assert whys(store, put(store)) == []


def test_what_its_worker_hands_over_is_not_before_it(store, clock):
    mail = replace(RQ, queue="mail")
    store.enter(worker_record("w1", clock, slots=1, handed=(mail,)))
    put(store, queue="mail")

    assert whys(store, put(store)) == []


def test_what_is_published_is_not_before_it(store, clock):
    store.enter(worker_record("w1", clock, slots=1))
    put(store)
    store.offer([RQ])

    assert whys(store, put(store)) == []


# ---- how it is read


def test_all_is_read_at_one_moment_in_a_transaction_too(store):
    with store.transaction():
        job_id = put(store)
        store.pause("default")
        assert whys(store, job_id) == [Why.PAUSED]


def test_a_writer_is_not_waited_for(store, twin):
    job_id = put(store)
    with store.transaction():
        store.pause("default")
        assert whys(twin, job_id) == []
    assert whys(twin, job_id) == [Why.PAUSED]
