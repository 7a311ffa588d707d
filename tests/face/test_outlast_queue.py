"""The fixture `outlast_queue`: nothing runs until the test says so, and then as it would in production."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from outlast import (
    BackgroundTasks,
    Fail,
    JobNotFound,
    LuggageRefused,
    Retry,
    RetryPolicy,
    Snooze,
    TaskQueue,
    TaskRefused,
)
from outlast.testing import OutlastQueue
from outlast.testing.queue import in_hand

app = FastAPI()
queue = TaskQueue(app)
log: list[object] = []
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture(autouse=True)
def _clean():
    log.clear()


def note(word: object):
    log.append(word)
    return word


async def anote(word: object):
    log.append(word)
    return word


def break_down(word: object):
    log.append(word)
    raise LookupError(word)


@queue.task(max_attempts=4)
def shaky(fails: int):
    log.append("tried")
    if len(log) <= fails:
        raise ConnectionError(len(log))


@queue.task(max_attempts=2)
def again(delay: timedelta | None = None):
    log.append("tried")
    raise Retry(delay=delay)


@queue.task
def wait_for_it():
    log.append("tried")
    if len(log) < 3:
        raise Snooze(DAY)


@queue.task(queue="mail", priority=2, timeout=timedelta(seconds=30))
def send(to: str, body: str = "", *, copies: int = 1):
    log.append((to, body, copies))


@queue.task
def enqueues(word: str):
    log.append(word)
    queue.enqueue(note, f"{word}, then")


@queue.task
def for_ever():
    for_ever.enqueue()


@queue.task(timeout=timedelta(milliseconds=10), max_attempts=1)
async def slow():
    await asyncio.sleep(60)


def gives_up():
    raise Fail("never again")


def returns_coroutine():
    return anote("never")


def keep(words: list[str]):
    log.append(words)


def anything(*words: str, **more: int):
    log.append((words, more))


@app.post("/three")
async def three(tasks: BackgroundTasks):
    for word in (1, 2, 3):
        tasks.add_task(note, word)


def session() -> Iterator[str]:
    yield "session"
    log.append("session closed")


@app.post("/held")
async def held(tasks: BackgroundTasks, _: Annotated[str, Depends(session)]):
    tasks.add_task(note, "after the session")


@app.post("/fails")
async def fails(tasks: BackgroundTasks):
    tasks.add_task(note, "never")
    raise LookupError


# ---- drain


def test_nothing_runs_before_the_test_says_so(outlast_queue):
    job = queue.enqueue(note, "run")
    assert (log, job.state) == ([], "queued")

    [record] = outlast_queue.drain()

    assert (log, job.state, job.result) == (["run"], "succeeded", "run")
    assert (record.id, record.state, record.attempt) == (job.id, "succeeded", 1)


def test_the_jobs_of_a_request_run_in_their_order(outlast_queue):
    TestClient(app).post("/three")

    assert [record.state for record in outlast_queue.drain()] == ["succeeded"] * 3
    assert log == [1, 2, 3]


def test_what_jobs_enqueue_is_run_too(outlast_queue):
    queue.enqueue(enqueues, "first")

    outlast_queue.drain()

    assert log == ["first", "first, then"]


def test_what_a_failed_request_added_is_not_there(outlast_queue):
    with pytest.raises(LookupError):
        TestClient(app).post("/fails")

    assert outlast_queue.drain() == outlast_queue.enqueued() == []


def test_a_held_job_runs_once_its_request_has_unwound(outlast_queue):
    TestClient(app).post("/held")

    outlast_queue.drain()

    assert log == ["session closed", "after the session"]


def test_higher_priorities_go_first(outlast_queue):
    queue.enqueue(note, "low")
    queue.enqueue(queue.options(note, priority=1), "high")

    outlast_queue.drain()

    assert log == ["high", "low"]


def test_the_error_of_a_task_is_raised_once_the_rest_has_run(outlast_queue):
    failing = queue.enqueue(break_down, "down")
    queue.enqueue(note, "behind")

    with pytest.raises(LookupError, match="down"):
        outlast_queue.drain()

    assert log == ["down", "behind"]
    assert failing.record().view == "retrying"


def test_the_errors_of_other_jobs_are_noted_on_the_first(outlast_queue):
    queue.enqueue(break_down, 1)
    queue.enqueue(break_down, 2)

    with pytest.raises(LookupError, match="1") as caught:
        outlast_queue.drain()

    assert caught.value.__notes__ == ["also, in another job: LookupError: 2"]


def test_errors_can_be_left_to_the_records(outlast_queue):
    queue.enqueue(break_down, "down")

    [record] = outlast_queue.drain(raise_errors=False)

    assert (record.view, record.error) == ("retrying", "LookupError: down")


def test_an_error_outside_the_task_s_code_is_raised_too(outlast_queue):
    queue.enqueue(returns_coroutine)

    with pytest.raises(TypeError, match="returned a coroutine"):
        outlast_queue.drain()


def test_a_job_that_no_code_can_run_is_an_error(outlast_queue):
    queue.commit([queue.prepare(note, (1,), {})._replace(task="nowhere:gone")])

    with pytest.raises(
        AssertionError, match=r"\(nowhere:gone\) cannot run: module nowhere cannot be imported"
    ):
        outlast_queue.drain()


def test_what_never_ends_is_stopped(outlast_queue, monkeypatch):
    monkeypatch.setattr("outlast.testing.queue._MOST_AT_ONCE", 20)
    for_ever.enqueue()

    with pytest.raises(
        AssertionError, match=r"20 attempts at one moment, .*:for_ever: does a task enqueue itself"
    ):
        outlast_queue.drain()


def test_a_timeout_is_a_timeout(outlast_queue):
    job = slow.enqueue()

    with pytest.raises(TimeoutError):
        outlast_queue.drain()

    assert job.record().reason == "timeout"


def test_a_cancelled_job_does_not_run(outlast_queue):
    job = queue.enqueue(note, "never")
    job.cancel()

    assert outlast_queue.drain() == []


def test_arguments_make_the_trip(outlast_queue):
    words = ["as it was"]
    queue.enqueue(keep, words)
    words.append("later")

    outlast_queue.drain()

    assert log == [["as it was"]]
    with pytest.raises(LuggageRefused):
        queue.enqueue(keep, [threading.Lock()])


# ---- advance


def test_a_delayed_job_runs_when_its_time_has_come(outlast_queue):
    began = outlast_queue.now
    job = queue.enqueue(queue.options(note, delay=HOUR), "later")
    assert outlast_queue.drain() == []
    assert outlast_queue.advance(minutes=59) == []

    [record] = outlast_queue.advance(minutes=2)

    assert (record.id, record.started_at) == (job.id, began + HOUR)
    assert outlast_queue.now == began + timedelta(minutes=61)


def test_what_is_due_at_the_very_end_runs(outlast_queue):
    queue.enqueue(queue.options(note, delay=HOUR), "later")

    assert len(outlast_queue.advance(HOUR)) == 1


def test_what_is_due_now_runs_before_time_passes(outlast_queue):
    now = outlast_queue.now
    queue.enqueue(note, "now")

    [record] = outlast_queue.advance(HOUR)

    assert record.started_at == now


def test_retries_come_exactly_when_their_policy_says(outlast_queue):
    began = outlast_queue.now
    shaky.enqueue(3)

    ran = outlast_queue.advance(minutes=1)

    assert [record.started_at - began for record in ran] == [
        timedelta(seconds=seconds) for seconds in (0, 1, 1 + 3, 1 + 3 + 9)
    ]
    assert [record.state for record in ran] == ["queued", "queued", "queued", "succeeded"]


def test_an_error_that_a_retry_has_made_good_is_not_raised(outlast_queue):
    shaky.enqueue(3)

    assert outlast_queue.advance(hours=1)[-1].state == "succeeded"


def test_an_error_that_none_has_made_good_is_raised_and_the_clock_has_arrived(outlast_queue):
    began = outlast_queue.now
    job = shaky.enqueue(4)

    with pytest.raises(ConnectionError, match="1"):
        outlast_queue.advance(hours=1)

    assert (job.state, outlast_queue.now) == ("failed", began + HOUR)


def test_a_task_may_ask_for_a_retry_as_long_as_one_is_left(outlast_queue):
    job = again.enqueue(HOUR)

    assert [record.view for record in outlast_queue.drain()] == ["retrying"]
    with pytest.raises(Retry):
        outlast_queue.advance(hours=1)
    assert job.state == "failed"


def test_a_task_that_gives_up_is_an_error(outlast_queue):
    job = queue.enqueue(gives_up)

    with pytest.raises(Fail, match="never again"):
        outlast_queue.drain()

    assert job.state == "failed"


def test_a_snooze_is_none(outlast_queue):
    job = wait_for_it.enqueue()

    [first] = outlast_queue.drain()
    ran = outlast_queue.advance(days=2)

    assert [record.failures for record in (first, *ran)] == [0, 0, 0]
    assert job.state == "succeeded"


def test_a_job_expires_at_its_own_time_and_lets_the_next_one_go(outlast_queue):
    began = outlast_queue.now
    first = queue.prepare(queue.options(note, queue="closed", expires=timedelta(minutes=10)), ("late",), {})
    second = queue.prepare(note, ("behind",), {})
    queue.commit(queue.bind([first, second]))
    queue.tell(lambda store: store.pause("closed"))

    [record] = outlast_queue.advance(hours=1)

    assert (record.id, record.started_at - began) == (second.id, timedelta(minutes=10))
    assert queue.job(first.id).record().reason == "expired"


def test_time_does_not_go_back(outlast_queue):
    with pytest.raises(ValueError, match="time does not go back"):
        outlast_queue.advance(hours=-1)


def test_the_clock_begins_with_that_of_the_machine(outlast_queue):
    assert abs(outlast_queue.now.timestamp() - time.time()) < 60


def test_a_year_of_retries_and_delays_takes_less_than_100_ms():
    """Of a processor. Neighbours on the machine may slow that down, but not every time."""
    command = [sys.executable, "-m", "tests.face.a_year"]
    told = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr

    assert float(told.stdout) < 0.1


# ---- run_job


@pytest.mark.parametrize("func", [note, anote])
def test_run_job_returns_what_the_task_returns(func, outlast_queue):
    job = queue.enqueue(func, "result")
    queue.enqueue(note, "another")

    assert outlast_queue.run_job(job) == "result"
    assert log == ["result"]


def test_run_job_raises_what_the_task_raises(outlast_queue):
    job = queue.enqueue(break_down, "down")

    with pytest.raises(LookupError, match="down"):
        outlast_queue.run_job(job)

    assert job.record().view == "retrying"


def test_run_job_waits_for_no_time(outlast_queue):
    now = outlast_queue.now
    job = queue.enqueue(queue.options(note, delay=HOUR), "later")

    outlast_queue.run_job(job.id)

    assert (log, outlast_queue.now) == (["later"], now)


def test_run_job_takes_a_record(outlast_queue):
    TestClient(app).post("/three")

    outlast_queue.run_job(outlast_queue.enqueued(note, 1)[0])

    assert log == [1]


def test_run_job_does_not_run_one_before_another(outlast_queue):
    TestClient(app).post("/three")
    second = outlast_queue.assert_enqueued(note, 2)

    with pytest.raises(AssertionError, match="waits for the job before it in its request"):
        outlast_queue.run_job(second)

    outlast_queue.run_job(outlast_queue.assert_enqueued(note, 1))
    outlast_queue.run_job(second)
    assert log == [1, 2]


def test_run_job_does_not_run_one_that_has_ended(outlast_queue):
    job = queue.enqueue(note, "once")
    outlast_queue.drain()

    with pytest.raises(AssertionError, match=r"it has ended already \(succeeded\)$"):
        outlast_queue.run_job(job)


def test_run_job_does_not_run_one_that_was_cancelled(outlast_queue):
    job = queue.enqueue(note, "never")
    job.cancel()

    with pytest.raises(AssertionError, match=r"\(cancelled\); `job.retry\(\)` queues it again"):
        outlast_queue.run_job(job)

    job.retry()
    assert outlast_queue.run_job(job) == "never"


def test_run_job_does_not_run_one_that_is_held(outlast_queue):
    row = queue.prepare(note, ("held",), {})
    queue.commit(queue.bind([row], "some server"))

    with pytest.raises(AssertionError, match="its request has not unwound yet"):
        outlast_queue.run_job(row.id)


def test_run_job_does_not_run_one_of_a_paused_queue(outlast_queue):
    job = queue.enqueue(note, "paused")
    queue.tell(lambda store: store.pause("default"))

    with pytest.raises(AssertionError, match="the queue 'default' is paused"):
        outlast_queue.run_job(job)


def test_run_job_does_not_run_one_that_has_expired(outlast_queue):
    job = queue.enqueue(queue.options(note, delay=HOUR, expires=2 * HOUR), "late")
    queue.tell(lambda store: store.pause("default"))
    outlast_queue.advance(hours=2)

    with pytest.raises(AssertionError, match=r"it has ended already \(expired\)"):
        outlast_queue.run_job(job)


def test_run_job_knows_no_job_that_was_never_committed(outlast_queue):
    with pytest.raises(JobNotFound, match="did its request fail"):
        outlast_queue.run_job("0190a3c4-0000-7000-8000-000000000000")


# ---- fail_next


def test_fail_next_fails_one_attempt(outlast_queue):
    job = queue.enqueue(note, "again")
    outlast_queue.fail_next(note, ConnectionError("no line"))

    [record] = outlast_queue.drain()
    assert (log, record.view, record.error) == ([], "retrying", "ConnectionError: no line")

    outlast_queue.advance(seconds=1)
    assert (log, job.state) == (["again"], "succeeded")


def test_fail_next_fails_several(outlast_queue):
    job = queue.enqueue(anote, "again")
    outlast_queue.fail_next(anote, ConnectionError, times=2)

    assert [record.view for record in outlast_queue.advance(minutes=1)] == [
        "retrying",
        "retrying",
        "succeeded",
    ]
    assert job.attempt == 3


def test_fail_next_heeds_what_the_policy_never_retries(outlast_queue):
    call = queue.options(note, retry=RetryPolicy(never=(LookupError,)))
    job = queue.enqueue(call, "x")
    outlast_queue.fail_next(call, LookupError)

    outlast_queue.drain()

    assert job.state == "failed"


def test_fail_next_leaves_other_tasks_alone(outlast_queue):
    outlast_queue.fail_next(note, ConnectionError)
    queue.enqueue(anote, "other")
    outlast_queue.drain()

    assert log == ["other"]
    with pytest.raises(AssertionError, match=r"ConnectionError\(\) of .*:note, and no attempt has met it"):
        outlast_queue.require_failures_met()
    queue.enqueue(note, "met")
    outlast_queue.drain()


def test_run_job_raises_it(outlast_queue):
    outlast_queue.fail_next(note, ConnectionError)

    with pytest.raises(ConnectionError):
        outlast_queue.run_job(queue.enqueue(note, "x"))


def test_fail_next_wants_a_task(outlast_queue):
    with pytest.raises(TaskRefused, match="lambda"):
        outlast_queue.fail_next(lambda: None, ConnectionError)


# ---- what was enqueued


@pytest.fixture
def sent(outlast_queue: OutlastQueue):
    first = send.enqueue("you", "hello")
    second = send.options(delay=HOUR).enqueue("me", copies=2)
    return first, second


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (("you",), {}),
        (("you", "hello"), {}),
        ((), {"to": "you"}),
        ((), {"body": "hello"}),
        (("you",), {"copies": 1}),
    ],
)
def test_some_arguments_are_enough(args, kwargs, outlast_queue, sent):
    assert outlast_queue.assert_enqueued(send, *args, **kwargs) == sent[0]


def test_no_arguments_find_the_latest(outlast_queue, sent):
    assert outlast_queue.assert_enqueued(send) == sent[1]


def test_all_that_match_are_told(outlast_queue, sent):
    assert [record.id for record in outlast_queue.enqueued(send)] == [job.id for job in sent]
    assert [record.id for record in outlast_queue.enqueued()] == [job.id for job in sent]
    assert outlast_queue.enqueued(send, "nobody") == outlast_queue.enqueued(note) == []


def test_a_task_is_found_by_its_function_too(outlast_queue):
    job = queue.enqueue(note, "plain")

    assert outlast_queue.assert_enqueued(queue.options(note), "plain") == job


def test_arguments_under_any_name(outlast_queue):
    job = queue.enqueue(anything, "a", "b", n=1, m=2)

    assert outlast_queue.assert_enqueued(anything, "a", "b", n=1) == job
    outlast_queue.assert_not_enqueued(anything, n=2)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"delay": HOUR}, 1),
        ({}, 0),
        ({"delay": HOUR, "queue": "other"}, None),
        ({"delay": 2 * HOUR}, None),
        ({"priority": 3}, None),
        ({"timeout": HOUR}, None),
        ({"max_attempts": 3}, None),
        ({"expires": HOUR}, None),
    ],
)
def test_options_are_those_that_such_a_call_would_have(options, found, outlast_queue, sent):
    matches = outlast_queue.enqueued(send.options(**options))

    assert [record.id for record in matches] == ([] if found is None else [sent[found].id])


def test_a_run_at_is_compared(outlast_queue):
    when = outlast_queue.now + DAY
    job = send.options(run_at=when).enqueue("you")

    assert outlast_queue.assert_enqueued(send.options(run_at=when)) == job
    assert outlast_queue.assert_enqueued(send.options(delay=DAY)) == job


def test_the_message_tells_what_comes_nearest(outlast_queue, sent):
    queue.enqueue(note, "x")

    with pytest.raises(AssertionError) as caught:
        outlast_queue.assert_enqueued(send, "you", "goodbye")

    here = __name__
    assert str(caught.value) == (
        f"no job {here}:send(to='you', body='goodbye') was enqueued\n"
        f"nearest is {here}:send(to='you', body='hello', copies=1), which differs in\n"
        "  body: expected 'goodbye', arrives as 'hello'\n"
        "enqueued:\n"
        f"  {here}:send(to='you', body='hello', copies=1)\n"
        f"  {here}:send(to='me', body='', copies=2)\n"
        f"  {here}:note(word='x')"
    )


def test_the_message_tells_of_options_too(outlast_queue, sent):
    with pytest.raises(AssertionError, match=r"run_at: expected 20.*, is 20") as caught:
        outlast_queue.assert_enqueued(send.options(delay=DAY), "me")

    assert "queue: expected" not in str(caught.value)


def test_the_message_tells_that_there_is_nothing(outlast_queue):
    with pytest.raises(AssertionError, match=r"was enqueued; nothing was$"):
        outlast_queue.assert_enqueued(send, to="you")


def test_the_message_of_many_jobs_is_short(outlast_queue):
    queue.enqueue_many(note, [(number,) for number in range(100)])

    with pytest.raises(
        AssertionError, match="100 enqueued, where none should be:\n  … and 80 before\n"
    ) as caught:
        outlast_queue.assert_not_enqueued()

    assert str(caught.value).endswith(":note(word=99)")


def test_a_name_that_the_task_does_not_take_is_no_answer(outlast_queue):
    with pytest.raises(TypeError, match=r"send\(\) got an unexpected keyword argument 'too'"):
        outlast_queue.assert_enqueued(send, too="you")


# ---- loops, and the queues of a process


@pytest.mark.anyio
async def test_a_coroutine_drains_on_its_own_loop(outlast_queue):
    loops.append(asyncio.get_running_loop())
    job = await queue.aenqueue(remember_loop)

    await outlast_queue.adrain()
    assert await outlast_queue.arun_job(await queue.aenqueue(remember_loop)) is None
    await queue.aenqueue(queue.options(remember_loop, delay=HOUR))
    await outlast_queue.aadvance(hours=1)

    assert job.state == "succeeded"
    assert len(loops) == 4
    assert len(set(loops)) == 1
    loops.clear()


loops: list[object] = []


async def remember_loop():
    loops.append(asyncio.get_running_loop())


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["drain", "advance", "run_job"])
async def test_a_coroutine_is_told_not_to_block_its_loop(name, outlast_queue):
    arguments = ("some-id",) if name == "run_job" else ()

    with pytest.raises(
        RuntimeError, match=rf"{name}\(\) would block the running loop: `await outlast_queue\.a{name}"
    ):
        getattr(outlast_queue, name)(*arguments)


def test_a_task_runs_on_the_loop_of_the_lifespan(outlast_queue):
    with TestClient(app) as client:
        loops.append(client.portal.call(running_loop))
        queue.enqueue(remember_loop)
        outlast_queue.drain()

    queue.enqueue(remember_loop)
    outlast_queue.drain()
    queue.enqueue(remember_loop)
    outlast_queue.drain()

    assert loops[0] is loops[1]
    assert loops[1] is not loops[2]
    assert loops[2] is loops[3]
    loops.clear()


async def running_loop():
    return asyncio.get_running_loop()


def test_jobs_outlive_the_lifespan(outlast_queue):
    with TestClient(app) as client:
        client.post("/three")

    outlast_queue.drain()

    assert log == [1, 2, 3]


@pytest.mark.anyio
async def test_a_cancelled_drain_leaves_its_job_queued(outlast_queue):
    job = await queue.aenqueue(sleep_long)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await outlast_queue.adrain()

    assert (job.state, job.record().failures) == ("queued", 0)


async def sleep_long():
    await asyncio.sleep(60)


def test_every_queue_of_the_process_is_in_hand(outlast_queue):
    """Also one that is made in the test, and whatever it says of its store."""
    other = TaskQueue(FastAPI(), store="sqlite:////nowhere/at/all.db")
    mine, theirs = queue.enqueue(queue.options(note, delay=DAY), 1), other.enqueue(queue_of_two, 2)
    then = other.enqueue(other.options(note, delay=HOUR), 3)

    assert outlast_queue.assert_enqueued(note, 3) == then
    assert [record.id for record in outlast_queue.advance(days=1)] == [theirs.id, then.id, mine.id]
    assert outlast_queue.run_job(other.enqueue(note, 4)) == 4


def queue_of_two(word: int):
    log.append(word)


def test_a_store_that_a_test_closes_is_opened_anew(outlast_queue):
    queue.enqueue(note, "gone with its store")
    outlast_queue.drain()
    queue.close()
    queue.enqueue(note, "new")

    outlast_queue.drain()

    assert log == ["gone with its store", "new"]


def test_afterwards_everything_is_as_before():
    mine = TaskQueue(FastAPI(), worker="external", store="sqlite:////nowhere/at/all.db")
    before = dict(vars(mine))
    threads = set(threading.enumerate())

    with in_hand() as jobs:
        mine.enqueue(note, "x")
        jobs.drain()

    assert vars(mine) == before
    assert {thread for thread in threading.enumerate() if thread.name == "outlast-store"} <= threads


# ---- dependencies


def get_session():
    log.append("opened")
    yield "session"
    log.append("committed")


@queue.task(max_attempts=1)
def store_it(word: str, tasks: BackgroundTasks, session: str = Depends(get_session)):
    log.append((word, session))
    tasks.add_task(note, "added by the task")


def test_dependencies_are_solved_and_what_a_task_adds_runs_too(outlast_queue):
    store_it.enqueue("a")

    outlast_queue.drain()

    assert log == ["opened", ("a", "session"), "committed", "added by the task"]


def test_dependencies_may_be_overridden(outlast_queue):
    app.dependency_overrides[get_session] = lambda: "another"
    try:
        store_it.enqueue("a")
        outlast_queue.drain()
    finally:
        app.dependency_overrides.clear()

    assert log == [("a", "another"), "added by the task"]


def test_a_planned_error_reaches_the_dependencies(outlast_queue):
    store_it.enqueue("a")
    outlast_queue.fail_next(store_it, ConnectionError("down"))

    outlast_queue.drain()

    assert log == ["opened"]
    outlast_queue.assert_not_enqueued(note)
