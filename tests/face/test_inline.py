"""worker="inline": jobs run where and when FastAPI runs its background tasks; what is left runs on a timer."""

import asyncio
import logging
import threading
from datetime import timedelta
from typing import Annotated

import pytest
from fastapi import BackgroundTasks as PlainTasks
from fastapi import Depends, FastAPI, WebSocket
from fastapi.responses import PlainTextResponse
from fastapi.testclient import TestClient
from starlette.background import BackgroundTask

from outlast import (
    BackgroundTasks,
    Fail,
    Retry,
    RetryPolicy,
    Snooze,
    State,
    TaskQueue,
    Why,
    current_job,
    locks,
)
from tests.asgi import call, get, jobs
from tests.polling import apolled

SOON = RetryPolicy(delay=timedelta(milliseconds=1))
ran: list = []
threads: list = []
stop: list = []


def note(text: str):
    ran.append(text)
    threads.append(threading.current_thread())


async def anote(text: str):
    ran.append(text)
    threads.append(threading.current_thread())


def fail(text: str = "failed"):
    ran.append(text)
    raise ZeroDivisionError(text)


def fail_once(text: str):
    ran.append(text)
    if ran.count(text) == 1:
        raise ZeroDivisionError(text)


def steer(how: str):
    ran.append(how)
    if ran.count(how) > 1:
        return
    if how == "snooze":
        raise Snooze(timedelta(milliseconds=1))
    raise Retry(delay=timedelta(milliseconds=1)) if how == "retry" else Fail("for good")


async def slow():
    ran.append("slow")
    await asyncio.Event().wait()


def who():
    job = current_job()
    ran.append((job.id, job.attempt))


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()
    threads.clear()


@pytest.fixture(params=["memory", "file"])
def queue(request, app, tmp_path):
    store = "sqlite://" if request.param == "memory" else f"sqlite:///{tmp_path / 'outlast.db'}"
    queue = TaskQueue(app, store=store, worker="inline", grace=timedelta(milliseconds=10))
    yield queue
    queue.close()


def states(queue):
    return [record.state for record in jobs(queue)]


async def until(condition):
    """Wait for something that the timer will bring about."""
    assert await apolled(condition, within=10)


# ---- in the course of a request


async def test_jobs_run_after_the_response_and_before_the_request_is_over(app, queue):
    order = []

    async def session():
        yield
        order.append(("session", list(ran)))

    @app.get("/", dependencies=[Depends(session)])
    async def add(background: BackgroundTasks):
        background.add_task(note, "a")
        background.add_task(anote, "b")
        assert ran == []
        return "done"

    messages = []

    async def send(message):
        messages.append((message["type"], list(ran)))

    await get(app, send)

    assert messages == [("http.response.start", []), ("http.response.body", [])]
    assert order == [("session", ["a", "b"])]
    assert states(queue) == [State.SUCCEEDED, State.SUCCEEDED]


async def test_a_def_task_runs_in_a_thread_and_an_async_one_on_the_loop(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note, "thread")
        background.add_task(anote, "loop")

    await call(app, queue, "/")

    assert threads[0] is not threading.current_thread()
    assert threads[1] is threading.current_thread()


def test_an_error_surfaces_and_stops_those_behind_it_as_in_fastapi(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(fail)
        background.add_task(note, "behind")

    with pytest.raises(ZeroDivisionError, match="failed"):
        TestClient(app).get("/")

    assert ran == ["failed"]
    failed, behind = jobs(queue)
    assert (failed.state, failed.view, failed.error) == (
        State.QUEUED,
        "retrying",
        "ZeroDivisionError: failed",
    )
    assert behind.state is State.QUEUED
    assert "fail" in queue.job(failed.id).attempts()[0].traceback


def test_the_answer_was_given_all_the_same(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(fail)
        return "done"

    answer = TestClient(app, raise_server_exceptions=False).get("/")

    assert (answer.status_code, answer.json()) == (200, "done")


async def test_jobs_run_though_the_response_has_a_background_of_its_own(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note, "ours")
        return PlainTextResponse("done", background=BackgroundTask(note, "own"))

    await call(app, queue, "/")

    assert ran == ["own", "ours"]


async def test_jobs_run_beside_fastapi_s_own_background_tasks(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks, plain: PlainTasks):
        plain.add_task(note, "plain")
        background.add_task(note, "ours")

    await call(app, queue, "/")

    assert sorted(ran) == ["ours", "plain"]


async def test_made_by_hand_they_run_when_the_response_runs_them(app, queue):
    @app.get("/")
    async def add():
        return PlainTextResponse("done", background=BackgroundTasks([BackgroundTask(note, "by hand")]))

    await call(app, queue, "/")

    assert ran == ["by hand"]


async def test_nothing_runs_when_the_request_fails(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(note, "never")
        raise ValueError

    await call(app, queue, "/")

    assert ran == []


async def test_a_delayed_job_does_not_run_yet(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(queue.options(note, delay=timedelta(hours=1)), "later")
        background.add_task(note, "now")

    await call(app, queue, "/")

    assert ran == ["now"]
    assert states(queue) == [State.QUEUED, State.SUCCEEDED]


async def test_a_task_knows_its_job(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        return background.add_task(who).id

    exchange = await call(app, queue, "/")

    assert ran == [(exchange.body.decode().strip('"'), 1)]


async def test_what_exit_code_and_threads_add_runs_too(app, queue):
    def session(background: BackgroundTasks):
        yield
        background.add_task(note, "exit")

    @app.get("/")
    async def add(background: BackgroundTasks, _: Annotated[None, Depends(session)]):
        background.add_task(note, "endpoint")

    await call(app, queue, "/")

    assert ran == ["endpoint", "exit"]


def test_what_a_websocket_adds_runs_before_its_next_message(app, queue):
    @app.websocket("/")
    async def talk(socket: WebSocket, background: BackgroundTasks):
        await socket.accept()
        background.add_task(anote, "in the socket")
        background.add_task(fail)
        await socket.send_text("sent")

    with TestClient(app).websocket_connect("/") as socket:
        assert socket.receive_text() == "sent"
        assert ran == ["in the socket", "failed"]


async def test_a_timeout_stops_an_async_task_and_surfaces(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(queue.options(slow, timeout=timedelta(milliseconds=10), max_attempts=1))

    exchange = await call(app, queue, "/")

    assert isinstance(exchange.error, TimeoutError)
    assert states(queue) == [State.FAILED]


@pytest.mark.parametrize(
    ("how", "state"), [("snooze", State.QUEUED), ("retry", State.QUEUED), ("fail", State.FAILED)]
)
async def test_what_a_task_raises_to_steer_its_job_is_no_error_but_fail(app, queue, how, state):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(steer, how)

    exchange = await call(app, queue, "/")

    assert isinstance(exchange.error, Fail if how == "fail" else type(None))
    assert states(queue) == [state]


async def test_a_client_that_goes_away_stops_the_task_and_the_job_starts_again(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(slow)

    request = asyncio.create_task(call(app, queue, "/"))
    await until(lambda: ran)
    request.cancel()
    await asyncio.wait([request])

    assert request.cancelled()
    assert states(queue) == [State.QUEUED]
    assert jobs(queue)[0].failures == 0


# ---- enqueue


def test_enqueue_in_a_script_runs_the_job_at_once(queue):
    job = queue.enqueue(anote, "script")

    assert ran == ["script"]
    assert job.state is State.SUCCEEDED


async def test_aenqueue_runs_the_job_at_once(queue):
    job = await queue.aenqueue(note, "loop")

    assert ran == ["loop"]
    assert job.state is State.SUCCEEDED


async def test_enqueue_on_a_loop_runs_the_job_soon(queue):
    job = queue.enqueue(anote, "soon")

    await job.wait(10)
    assert ran == ["soon"]


async def test_an_error_of_an_enqueued_job_is_logged_and_not_raised(queue, caplog):
    caplog.set_level(logging.INFO, "outlast")
    job = await queue.aenqueue(queue.options(fail, max_attempts=1))

    assert job.state is State.FAILED
    assert "ZeroDivisionError" in caplog.text
    assert job.id in caplog.text


def test_many_run_in_one_go(queue):
    queue.enqueue_many(note, [(str(number),) for number in range(100)])

    assert ran == [str(number) for number in range(100)]


# ---- on the timer


async def test_retries_run_on_the_timer_of_the_lifespan(app, queue):
    async with app.router.lifespan_context(app):
        job = await queue.aenqueue(queue.options(fail_once, retry=SOON), "twice")
        await job.wait(10)

    assert ran == ["twice", "twice"]


async def test_jobs_behind_one_that_erred_run_on_the_timer(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(queue.options(fail, max_attempts=1))
        background.add_task(note, "behind")

    async with app.router.lifespan_context(app):
        await call(app, queue, "/")
        await until(lambda: "behind" in ran)

    assert ran == ["failed", "behind"]


async def test_delayed_jobs_run_on_the_timer(app, queue):
    async with app.router.lifespan_context(app):
        job = await queue.aenqueue(queue.options(note, delay=timedelta(milliseconds=1)), "later")
        await job.wait(10)

    assert ran == ["later"]


@pytest.mark.parametrize("how", ["snooze", "retry"])
async def test_a_task_that_steers_its_job_runs_again(app, queue, how):
    async with app.router.lifespan_context(app):
        await (await queue.aenqueue(steer, how)).wait(10)

    assert ran == [how, how]


async def test_jobs_left_by_an_earlier_process_run_on_the_timer(app, queue):
    queue.commit([queue.prepare(note, ("left",), {})])

    async with app.router.lifespan_context(app):
        await until(lambda: ran)

    assert ran == ["left"]


async def test_the_timer_leaves_a_request_its_own_jobs(app, queue):
    @app.get("/")
    async def add(background: BackgroundTasks):
        background.add_task(anote, "in its turn")

    seen = []

    async def send(message):
        if message["type"] == "http.response.start":
            queue.inline.wake()
            for _ in range(10):  # the timer looks meanwhile, through the same thread
                await queue.atell(lambda store: None)
            seen.append(list(ran))

    async with app.router.lifespan_context(app):
        await get(app, send)

    assert seen == [[]]
    assert ran == ["in its turn"]


async def test_expired_jobs_fail_on_the_timer(app, queue):
    late = queue.options(note, delay=timedelta(hours=1), expires=timedelta(hours=2))
    row = queue.prepare(late, ("never",), {})
    queue.commit([row._replace(expires_at=row.created_at + 1)])

    async with app.router.lifespan_context(app):
        await until(lambda: states(queue) == [State.FAILED])

    assert ran == []


async def test_enqueue_from_a_thread_runs_on_the_lasting_loop(app, queue):
    async with app.router.lifespan_context(app):
        await asyncio.to_thread(queue.enqueue, anote, "from a thread")
        assert ran == ["from a thread"]
        assert threads == [threading.current_thread()]


async def test_at_shutdown_a_running_job_is_handed_back(app, queue, tmp_path):
    async with app.router.lifespan_context(app):
        queue.commit([queue.prepare(slow, (), {})])
        queue.inline.wake()
        await until(lambda: ran)
        during = states(queue)

    if not queue.is_in_memory:
        [record] = jobs(queue)
        assert (during, record.state, record.failures) == ([State.RUNNING], State.QUEUED, 0)
        assert queue.ask(lambda store: store.workers()) == []


async def test_jobs_of_a_process_that_died_are_taken_up_again(app, tmp_path):
    store = f"sqlite:///{tmp_path / 'outlast.db'}"
    dead = TaskQueue(store=store, worker="inline")
    dead.commit([dead.prepare(note, ("rescued",), {})])
    dead.tell(dead.inline._claim)
    locks.release(dead.inline._premises.worker(dead.inline.membership.id))
    TaskQueue(app, store=store, worker="inline")

    async with app.router.lifespan_context(app):
        await until(lambda: ran)

    assert ran == ["rescued"]
    dead.inline.membership.is_known = False
    dead.close()


def test_a_test_client_with_the_lifespan_gives_it_a_lasting_loop(app, queue):
    @app.get("/")
    def add(background: BackgroundTasks):
        return background.add_task(queue.options(fail_once, retry=SOON), "twice").id

    with TestClient(app, raise_server_exceptions=False) as client:
        job = queue.job(client.get("/").json())
        asyncio.run(job.wait(10))

    assert ran == ["twice", "twice"]


async def test_it_can_be_chosen_by_the_environment(monkeypatch):
    monkeypatch.setenv("OUTLAST_WORKER", "inline")
    monkeypatch.setenv("OUTLAST_STORE", "sqlite://")
    queue = TaskQueue(FastAPI(), store="sqlite:///elsewhere.db", worker="process")

    assert (await queue.aenqueue(note, "inline")).state is State.SUCCEEDED
    queue.close()


# ---- why a job does not run


async def test_a_server_with_a_lasting_loop_serves_every_queue(app, queue):
    async with app.router.lifespan_context(app):
        job = await queue.aenqueue(queue.options(note, delay=timedelta(hours=1), queue="mail"), "later")

        async def reasons():
            return [reason.why for reason in await job.aexplain()]

        assert await reasons() == [Why.NOT_DUE]
        queue.tell(lambda store: store.pause("mail"))
        assert await reasons() == [Why.NOT_DUE, Why.PAUSED]


def test_without_a_lasting_loop_nobody_runs_what_is_due_later(queue):
    job = queue.enqueue(queue.options(note, delay=timedelta(hours=1)), "later")

    due, worker = job.explain()

    assert (due.why, worker.why) == (Why.NOT_DUE, Why.NO_WORKER)
    assert "has no lasting loop" in worker.text
