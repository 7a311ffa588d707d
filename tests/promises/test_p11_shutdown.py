"""P11: told to leave, a worker stops claiming and lets running jobs finish within its grace; what outlasts it is handed
back and starts again, which costs no failure. Nothing is lost, and all is over in ten seconds."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta

import pytest

from outlast.job import State
from outlast.worker import supervisor
from outlast.worker.settings import Settings
from tests.worker.harness import TASKS, House

AN_HOUR = timedelta(hours=1)
SHORT = timedelta(seconds=0.2)
APP = (
    TASKS
    + '''

async def translate(door):
    """Answers its cancellation with an error of its own, as many libraries do."""
    note("started")
    try:
        await await_for(door)
    except asyncio.CancelledError:
        raise ConnectionError("the connection was closed") from None
    return current_job().attempt
'''
)
LIFESPAN = """
import atexit
from contextlib import asynccontextmanager

@asynccontextmanager
async def lifespan(app):
    note("up")
    atexit.register(note, "exit")
    try:
        yield
    finally:
        note("down")
        print("printed on the way out")
        await leave()

async def leave():
    pass

queue.worker_lifespan = lifespan
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_running_jobs_finish_and_nothing_else_begins(house: House, number: int) -> None:
    """From the signal on nothing is claimed; what runs goes on to its end; then the worker is gone, with exit code 0.

    Break it: in Supervisor._can_claim, say True; in Supervisor._leave_in, take no notice of the seconds.
    """
    worker = house.worker(grace=AN_HOUR)
    running = [house.add(task, {"door": "door"}) for task in ("app:hold", "app:ahold")]
    for job in running:
        house.noted("started", job)

    worker.signal(number)
    house.logged(worker, "worker leaving: 2 jobs may finish within 3600 s")
    late = house.add("app:work")
    house.open("door")

    assert house.results(running) == [1, 1]
    assert worker.wait() == 0
    assert (house.job(late).state, house.job(late).attempt) == (State.QUEUED, 0)
    assert house.everybody() == []


@pytest.mark.parametrize("task", ["app:hold", "app:ahold", "app:block", "app:defy", "app:translate"])
def test_what_outlasts_the_grace_is_handed_back_at_no_cost(house: House, task: str) -> None:
    """It is stopped, is queued again with its failures as they were, and starts again: its attempt is the next one.

    Break it: in Running.came_to, leave out the clause of SHUTDOWN; in Running.stopped, make it Erred; in lifecycle
    ._unsuccessful, count a failure for Released.
    """
    house.write("app", APP)
    worker = house.worker(grace=SHORT)
    job = house.add(task, {"door": "door"}, max_attempts=1)
    house.noted("started", job)

    assert worker.terminate() == 0

    record = house.job(job)
    assert (record.state, record.attempt, record.failures) == (State.QUEUED, 1, 0)
    assert (record.note or "").startswith("the worker was shut down")
    house.open("door")
    house.worker()
    assert house.result(job) == 2
    assert house.job(job).failures == 0


def test_what_can_clean_up_may(house: House) -> None:
    """An async task that outlasts the grace is cancelled, and can say goodbye, before its process is ended.

    Break it: in Supervisor._stop_rest, kill at the first call.
    """
    worker = house.worker(grace=SHORT)
    job = house.add("app:ahold", {"door": "door"})
    house.noted("started", job)

    worker.terminate()

    assert house.diary("cancelled", job)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hurries(house: House, number: int) -> None:
    """Told a second time, the worker waits for nothing more, though the grace has an hour to run; nothing is lost.

    Break it: in Supervisor._on_signal, leave out at_once.
    """
    worker = house.worker(grace=AN_HOUR)
    jobs = [house.add(task, {"door": "door"}) for task in ("app:hold", "app:ahold")]
    for job in jobs:
        house.noted("started", job)
    worker.signal(number)
    house.logged(worker, "worker leaving")

    worker.signal(number)

    assert worker.wait() == 0
    assert [(house.job(job).state, house.job(job).failures) for job in jobs] == [(State.QUEUED, 0)] * 2


def test_a_terminals_ctrl_c_reaches_the_supervisor_alone(house: House) -> None:
    """SIGINT to the whole foreground group, as a terminal sends it, does not interrupt tasks: they finish.

    Break it: in Child.start, leave out process_group.
    """
    worker = house.worker(grace=AN_HOUR, group=True)
    jobs = [house.add(task, {"door": "door"}) for task in ("app:hold", "app:ahold")]
    for job in jobs:
        house.noted("started", job)

    os.killpg(worker.pid, signal.SIGINT)
    house.logged(worker, "worker leaving")
    house.open("door")

    assert house.results(jobs) == [1, 1]
    assert worker.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_every_process_leaves_the_children_to_their_supervisor(house: House, number: int) -> None:
    """A service manager may send its signal to all processes of a service: children leave it to the supervisor.

    Break it: in child.main, do not ignore signals.
    """
    worker = house.worker(grace=AN_HOUR)
    job = house.add("app:ahold", {"door": "door"})
    house.noted("started", job)

    for pid in house.everybody():
        os.kill(pid, number)
    house.logged(worker, "worker leaving")
    house.open("door")

    assert house.result(job) == 1
    assert worker.wait() == 0


def test_the_apps_lifespan_is_left_in_each_child(house: House) -> None:
    """Each child leaves the lifespan that it entered, then ends as programs do: exit handlers run, prints are flushed.

    Break it: in Nursery.quit_idle, kill; in child.main, end with os._exit.
    """
    house.write("app", TASKS + LIFESPAN)
    worker = house.worker(children=2)
    house.until(lambda: len(house.diary("up")) == 2, "two children")

    assert worker.terminate() == 0

    up = {note.pid for note in house.diary("up")}
    assert len(up) == 2
    assert {note.pid for note in house.diary("down")} == up
    assert {note.pid for note in house.diary("exit")} == up
    assert worker.log.count("printed on the way out") == 2


def test_a_child_that_is_done_leaves_at_once(house: House) -> None:
    """A child with nothing to run does not wait for a busy neighbour before it leaves the lifespan.

    Break it: in Nursery.quit_idle, ask that no child runs anything.
    """
    house.write("app", TASKS + LIFESPAN)
    worker = house.worker(children=2, grace=AN_HOUR)
    house.until(lambda: len(house.diary("up")) == 2, "two children")
    job = house.add("app:hold", {"door": "door"})
    busy = house.noted("started", job).pid

    worker.signal(signal.SIGTERM)

    assert house.noted("down").pid != busy
    house.open("door")
    assert house.result(job) == 1
    assert worker.wait() == 0
    assert {note.pid for note in house.diary("down")} == {note.pid for note in house.diary("up")}


@pytest.mark.parametrize("hang", ["await asyncio.Event().wait()", "threading.Event().wait()"])
def test_a_lifespan_that_hangs_on_its_way_out_is_cut_short(house: House, hang: str) -> None:
    """A worker does not wait for ever for the app to let go: its children are ended a little after the grace.

    Break it: in Nursery._is_over, say False.
    """
    house.write("app", TASKS + LIFESPAN.replace("    pass", f"    {hang}"))
    worker = house.worker(grace=SHORT)
    house.noted("up")

    worker.signal(signal.SIGTERM)

    house.noted("down")
    assert worker.wait() == 0
    assert house.everybody() == []


def test_the_whole_exit_fits_into_ten_seconds(house: House) -> None:
    """With the default grace a task that never ends, in a child whose lifespan hangs, is over in less than ten seconds.

    Break it: set supervisor._LAST_WISH to 3.
    """
    grace = timedelta(seconds=0.5)
    house.write("app", APP + LIFESPAN.replace("    pass", "    threading.Event().wait()"))
    worker = house.worker(grace=grace, children=2)
    house.until(lambda: len(house.diary("up")) == 2, "two children")
    job = house.add("app:defy", {"door": "never"})
    house.noted("started", job)

    began = time.monotonic()
    assert worker.terminate() == 0
    beyond = time.monotonic() - began - grace.total_seconds()

    default = Settings(url="", target=house.target(), children=1, slots=1).grace.total_seconds()
    assert default + supervisor._STOP_PATIENCE + supervisor._LAST_WISH < 10
    assert beyond < 10 - default + 1, "a second more than the real bound, for a busy machine"


def test_a_store_that_fails_does_not_keep_a_worker(house: House) -> None:
    """What it can not settle it leaves as it is, and says so; the next worker rescues it.

    Break it: in Supervisor._has_left, wait until nothing is unsettled.
    """
    before = """
from outlast.errors import NotConfirmed
from outlast.store.postgres import PostgresStore
from outlast.store.sqlite import SQLiteStore
def settle(self, ends):
    raise NotConfirmed("the disk is full")
PostgresStore.settle = SQLiteStore.settle = settle
"""
    worker = house.worker(grace=SHORT, before=before)
    job = house.add("app:hold", {"door": "door"})
    house.noted("started", job)
    house.open("door")
    house.noted("done", job)

    assert worker.terminate() == 0

    assert house.job(job).state == State.RUNNING
    house.logged(worker, "left with 1 attempts unsettled")
    house.worker()
    assert house.result(job) == 2


def test_a_server_that_leaves_takes_its_worker_with_it(house: House) -> None:
    """A server's worker drains with it: what runs finishes, what outlasts the grace is handed back.

    Break it: in Host.astop, do not wait for the supervisor.
    """
    house.write("app", APP)
    server = house.server(grace=timedelta(seconds=1))
    short, long = house.add("app:ahold", {"door": "door"}), house.add("app:defy", {"door": "never"})
    for job in (short, long):
        house.noted("started", job)

    server.signal(signal.SIGTERM)
    house.logged(server, "worker leaving")
    house.open("door")

    assert server.wait() == 0
    assert house.everybody() == []
    assert house.result(short) == 1
    assert (house.job(long).state, house.job(long).failures) == (State.QUEUED, 0)
