"""TaskQueue without an app: its settings, enqueueing, handles, and the order of one request's jobs."""

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from outlast.clock import ManualClock
from outlast.errors import JobFailed, JobNotFound, OptionRefused
from outlast.explain import Why
from outlast.job import Claimed, Ended, Erred, State, Succeeded
from outlast.lifecycle import Reason
from outlast.queue import TaskQueue
from outlast.store import Store, WorkerRecord
from tests.contract.making import ERRED, worker_record

HOUR = timedelta(hours=1)


@pytest.fixture(params=["file", "memory"])
def queue(request, tmp_path):
    queue = TaskQueue(
        store=f"sqlite:///{tmp_path / 'outlast.db'}" if request.param == "file" else "sqlite://"
    )
    yield queue
    queue.close()


def greet(name: str) -> str:
    return f"hello {name}"


def claim(queue: TaskQueue) -> list[Claimed]:
    now = datetime.now(UTC)
    worker = WorkerRecord(
        id="w", host="h", premises="", pid=1, queues=None, slots=9, started_at=now, lease_until=now + HOUR
    )
    queue.ask(lambda store: store.enter(worker))
    return queue.ask(lambda store: store.claim("w", 10))


def settle(queue: TaskQueue, job, outcome) -> None:
    queue.ask(lambda store: store.settle([Ended(job.id, job.attempt, outcome)]))


def luggage(queue: TaskQueue, job) -> str:
    return job.record().luggage


# ---- settings


def test_nothing_is_opened_when_a_queue_is_made(tmp_path):
    TaskQueue(store=f"sqlite:///{tmp_path / 'outlast.db'}")

    assert list(tmp_path.iterdir()) == []


def test_the_environment_has_the_last_word(monkeypatch):
    monkeypatch.setenv("OUTLAST_STORE", "sqlite:///other.db")
    monkeypatch.setenv("OUTLAST_WORKER", "external")

    queue = TaskQueue(store="sqlite:///mine.db", worker="process")

    assert (queue.url, queue.worker) == (f"sqlite:///{Path('other.db').absolute()}", "external")


def test_a_worker_that_does_not_exist_is_refused(monkeypatch):
    with pytest.raises(OptionRefused, match=r"'proces'.*did you mean 'process'\?"):
        TaskQueue(worker="proces")
    monkeypatch.setenv("OUTLAST_WORKER", "extern")
    with pytest.raises(OptionRefused, match=r"OUTLAST_WORKER.*did you mean 'external'\?"):
        TaskQueue()


@pytest.mark.parametrize(
    "settings",
    [
        {"payload_limit": 0},
        {"children": 0},
        {"slots": True},
        {"grace": 8},
        {"retention": timedelta(seconds=-1)},
        {"commit_timeout": None},
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(settings):
    with pytest.raises(OptionRefused, match=next(iter(settings))):
        TaskQueue(**settings)


def test_the_queues_of_a_process_are_known_for_as_long_as_somebody_holds_them():
    one, two = TaskQueue(), TaskQueue()
    assert list(TaskQueue.made)[-2:] == [one, two]

    del two

    assert list(TaskQueue.made)[-1] is one


# ---- enqueueing and handles


def test_an_enqueued_job_is_in_the_store(queue):
    job = queue.enqueue(greet, "you")

    assert job.state is State.QUEUED
    assert (job.attempt, job.result, job.error) == (0, None, None)
    assert job.record().task == f"{__name__}:greet"
    assert queue.job(job.id) == job
    assert job.id in repr(job)


async def test_aenqueue_does_the_same_on_a_loop(queue):
    job = await queue.aenqueue(greet, name="you")

    assert (await job.arecord()).state is State.QUEUED


def test_a_handle_is_live(queue):
    job = queue.enqueue(greet, "you")

    [claimed] = claim(queue)
    assert (job.state, job.attempt) == (State.RUNNING, 1)

    settle(queue, claimed, Succeeded(json.dumps("hello you")))
    assert (job.state, job.result) == (State.SUCCEEDED, "hello you")


def test_attempts_that_failed_are_told_with_their_tracebacks(queue):
    job = queue.enqueue(greet, "you")
    settle(queue, claim(queue)[0], Erred("ValueError: no", "Traceback: no", again=False))

    assert (job.state, job.error, job.record().reason) == (State.FAILED, "ValueError: no", Reason.ERROR)
    assert [attempt.traceback for attempt in job.attempts()] == ["Traceback: no"]


async def test_a_job_says_why_it_does_not_run(queue):
    job = queue.enqueue(queue.options(greet, delay=HOUR), "you")

    due, worker = job.explain()

    assert (due.why, due.until, due.cure) == (Why.NOT_DUE, job.record().run_at, None)
    assert (worker.why, worker.cure) == (Why.NO_WORKER, "outlast worker main:app")
    assert await job.aexplain() == [due, worker]


def test_a_job_that_is_not_there_is_not_found(queue):
    queue.enqueue(greet, "you")
    stranger = queue.job("01890000-0000-7000-8000-000000000000")

    for ask in (
        stranger.record,
        stranger.explain,
        lambda: stranger.state,
        lambda: stranger.attempt,
        stranger.cancel,
        stranger.retry,
    ):
        with pytest.raises(JobNotFound):
            ask()


def test_a_queued_job_is_cancelled_at_once_and_can_be_retried_by_hand(queue):
    job = queue.enqueue(greet, "you")

    assert job.cancel()
    assert job.state is State.CANCELLED
    assert not job.cancel()
    assert job.retry()
    assert job.state is State.QUEUED
    assert not job.retry()


async def test_cancel_and_retry_on_a_loop(queue):
    job = await queue.aenqueue(greet, "you")

    assert await job.acancel()
    assert await job.aretry()
    assert not await job.aretry()


async def test_wait_returns_what_the_task_returned(queue):
    job = await queue.aenqueue(greet, "you")
    waiting = asyncio.create_task(job.wait(timedelta(seconds=10)))

    settle(queue, claim(queue)[0], Succeeded(json.dumps("hello you")))

    assert await waiting == "hello you"


async def test_wait_raises_for_a_job_that_failed_or_was_cancelled(queue):
    failed, cancelled = await queue.aenqueue_many(greet, [("you",), ("me",)])
    settle(queue, claim(queue)[0], Erred("ValueError: no", "", again=False))
    settle(
        queue,
        await queue.aask(lambda store: taken(store, cancelled.id)),
        Erred("ValueError: no", "", again=True),
    )
    await cancelled.acancel()

    with pytest.raises(JobFailed, match=rf"{failed.id} \({__name__}:greet\) failed.*ValueError: no"):
        await failed.wait()
    with pytest.raises(JobFailed, match="cancelled"):
        await cancelled.wait()


def taken(store: Store, job_id: str) -> Claimed:
    record = store.get(job_id)
    return Claimed(job_id, record.attempt, record.task, record.luggage, 0, None, None, 0, 0, None)


async def test_wait_gives_up_in_time(queue):
    job = await queue.aenqueue(greet, "you")

    with pytest.raises(TimeoutError, match=rf"{job.id} has not ended within 0\.01 s"):
        await job.wait(0.01)


# ---- many at once


async def test_many_calls_are_committed_at_once(queue):
    calls = [("a",), {"name": "b"}, ["c"]]
    jobs = queue.enqueue_many(greet, calls) + await queue.aenqueue_many(greet, calls)

    assert len({job.id for job in jobs}) == 6
    assert all(job.state is State.QUEUED for job in jobs)
    assert queue.enqueue_many(greet, []) == queue.enqueue_many(queue.options(greet, priority=1), []) == []


async def test_many_calls_are_committed_all_or_none(queue):
    queue.enqueue(greet, "first")

    with pytest.raises(TypeError):
        queue.enqueue_many(greet, [("a",), ("b", "too many")])
    with pytest.raises(TypeError, match="give a tuple"):
        await queue.aenqueue_many(greet, ["abc"])

    assert len(queue.ask(lambda store: store.find())) == 1


# ---- the order of one request's jobs


def links(queue, *calls):
    jobs = [queue.prepare(call, ("you",), {}) for call in calls]
    rows = queue.bind(jobs)
    numbers = {job.id: number for number, job in enumerate(jobs)}
    return [(numbers.get(row.next_id), row.waiting) for row in rows]


def test_each_job_of_a_request_waits_for_the_one_before(queue):
    assert links(queue, greet) == [(None, 0)]
    assert links(queue, greet, greet, greet) == [(1, 0), (2, 1), (None, 1)]


def test_a_delayed_job_neither_waits_nor_is_waited_for(queue):
    late = queue.options(greet, delay=timedelta(seconds=1))

    assert links(queue, greet, late, greet) == [(2, 0), (None, 0), (None, 1)]
    assert links(queue, late, greet, greet) == [(None, 0), (2, 0), (None, 1)]
    assert links(queue, late, late) == [(None, 0), (None, 0)]


def test_the_order_can_be_lifted(tmp_path):
    queue = TaskQueue(store=f"sqlite:///{tmp_path / 'outlast.db'}", ordered=False)

    assert links(queue, greet, greet) == [(None, 0), (None, 0)]


def test_held_jobs_carry_the_server_that_holds_them(queue):
    late = queue.options(greet, delay=timedelta(seconds=1))
    for calls in ([greet], [greet, late, greet]):
        jobs = [queue.prepare(call, ("you",), {}) for call in calls]
        assert {row.held_by for row in queue.bind(jobs, "server")} == {"server"}


# ---- for tests


def test_a_queue_can_be_switched_to_another_store_for_a_while(queue, tmp_path):
    job = queue.enqueue(greet, "you")

    with queue.switched(store=f"sqlite:///{tmp_path / 'other.db'}", worker="inline"):
        assert queue.worker == "inline"
        other = queue.enqueue(greet, "me")
        with pytest.raises(JobNotFound):
            job.record()

    assert job.state is State.QUEUED
    with pytest.raises(JobNotFound):
        other.record()


def test_a_switched_queue_has_the_clock_and_the_dice_that_were_given(queue):
    clock = ManualClock()
    with queue.switched(store="sqlite://", worker="external", clock=clock, dice=lambda: 0.0):
        job = queue.enqueue(greet, "you")
        settled = queue.tell(erred)

    assert job.id == settled.id
    assert settled.ending.wait == 750_000


def erred(store):
    """The first retry of the default policy comes after a second, of which the dice take a quarter at most."""
    store.enter(worker_record("w1", store.clock))
    [job] = store.claim("w1", 1)
    [settled] = store.settle([Ended(job.id, job.attempt, ERRED)])
    return settled


def test_queues_that_are_made_can_be_watched():
    seen = []
    with TaskQueue.made.watched(seen.append):
        made = TaskQueue()
    TaskQueue()

    assert seen == [made]


def test_a_queue_is_open_while_it_has_its_store_open(queue):
    assert not queue.is_open
    queue.enqueue(greet, "you")
    assert queue.is_open
    queue.close()
    assert not queue.is_open


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"capture": "logs"}, "capture='logs'; did you mean 'log'"),
        ({"worker": "procces"}, "did you mean 'process'"),
    ],
)
def test_a_word_that_is_none_of_the_known_is_refused_with_the_nearest(options, complaint):
    with pytest.raises(OptionRefused, match=re.escape(complaint)):
        TaskQueue(store="sqlite://", **options)
