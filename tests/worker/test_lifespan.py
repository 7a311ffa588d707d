"""The app in a worker's child: its lifespan, its state, and what happens when it does not start."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from datetime import timedelta

import pytest

from outlast.job import State
from outlast.retry import RetryPolicy
from outlast.worker import nursery
from outlast.worker.settings import Settings
from tests.worker.harness import PRELUDE, TASKS, House

FASTAPI = (
    TASKS
    + """
from contextlib import asynccontextmanager

from fastapi import FastAPI
from outlast import TaskQueue, in_worker


@asynccontextmanager
async def lifespan(app):
    app.state.secret = "from the lifespan"
    note("up", in_worker=in_worker())
    yield
    note("down")


app = FastAPI(lifespan=lifespan)
queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}")


def tell():
    return [app.state.secret, in_worker()]
"""
)
BOTH = (
    FASTAPI
    + """

@asynccontextmanager
async def quiet(app):
    app.state.secret = "from the worker's own"
    note("quiet up")
    yield
    note("quiet down")


queue.worker_lifespan = quiet
"""
)


def test_the_apps_lifespan_runs_in_each_child_and_tasks_find_its_state(house: House) -> None:
    """Once in each, before its first job; in_worker() tells the code that it is not in a server."""
    house.write("app", FASTAPI)
    worker = house.worker(children=2)

    assert house.result(house.add("app:tell")) == ["from the lifespan", True]

    house.until(lambda: len(house.diary("up")) == 2, "two children")
    up = house.diary("up")
    assert len({note.pid for note in up}) == 2
    assert all(note.more == {"in_worker": True} for note in up)
    worker.terminate()
    assert {note.pid for note in house.diary("down")} == {note.pid for note in up}


def test_worker_lifespan_takes_the_place_of_the_apps(house: House) -> None:
    """For an app whose own would start schedulers or migrations a second time."""
    house.write("app", BOTH)
    worker = house.worker()

    assert house.result(house.add("app:tell")) == ["from the worker's own", True]

    worker.terminate()
    assert len(house.diary("quiet up")) == len(house.diary("quiet down")) == 1
    assert house.diary("up") == []


def test_a_lifespan_that_fails_on_its_way_out_is_told(house: House) -> None:
    """The worker leaves all the same."""
    house.write("app", FASTAPI.replace('    note("down")', '    raise OSError("the door is stuck")'))
    worker = house.worker()
    house.result(house.add("app:tell"))

    assert worker.terminate() == 0

    assert "OSError: the door is stuck" in worker.log
    assert "does not start" not in worker.log


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("this is no Python", "SyntaxError: invalid syntax"),
    ],
)
def test_an_app_that_does_not_start_claims_nothing_and_recovers_when_it_is_mended(
    house: House, broken: str, told: str
) -> None:
    """The log has the traceback and says when it is tried again; jobs wait unclaimed until the app starts."""
    house.write("app", TASKS + "\n" + broken)
    worker = house.worker()
    job = house.add("app:work", {"value": 1})
    house.logged(worker, "the app does not start in the worker, which tries again in 1 s")
    house.logged(worker, told)
    assert "Traceback" in worker.log
    assert (house.job(job).state, house.job(job).attempt) == (State.QUEUED, 0)

    house.write("app", TASKS)

    assert house.result(job) == 1


def test_an_app_that_does_not_start_is_tried_ever_later() -> None:
    """The pauses grow, up to half a minute: an app that is broken for a night fills no log."""
    assert [nursery.pause_after(failures) for failures in range(1, 9)] == [1, 2, 4, 8, 16, 30, 30, 30]


def test_a_lifespan_that_fails_to_start_claims_nothing(house: House) -> None:
    """As with an import that fails."""
    house.write(
        "app",
        FASTAPI.replace("    app.state.secret", "    raise OSError('no database')\n    app.state.secret"),
    )
    worker = house.worker()
    job = house.add("app:tell")

    house.logged(worker, "OSError: no database")

    assert house.job(job).attempt == 0
    house.write("app", FASTAPI)
    assert house.result(job) == ["from the lifespan", True]


def test_an_app_without_a_main_guard_gets_an_error_that_says_so(house: House) -> None:
    """A module that starts a server when it is imported cannot be imported by a worker; the cure is in the message."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        house.write("app", FASTAPI + f"\nimport uvicorn\nuvicorn.run(app, port={port})\n")
        worker = house.worker()

        line = house.logged(worker, "importing app ended the process")

    assert 'put that below `if __name__ == "__main__":`' in line


@pytest.mark.parametrize(
    ("app", "told"),
    [
        ("nowhere:app", "there is no module 'nowhere'"),
        ("app:missing", "app has no attribute 'missing'"),
        ("empty", "no TaskQueue was made there"),
    ],
)
def test_an_app_that_is_not_there_gets_an_error_that_says_what_is_missing(
    house: House, app: str, told: str
) -> None:
    """Module, attribute, or the TaskQueue itself."""
    house.write("empty", "")
    worker = house.worker(app)

    house.logged(worker, told)
    assert "Traceback" not in worker.log


def test_a_child_that_dies_before_it_is_ready_is_not_started_again_and_again(house: House) -> None:
    """An app that kills its process on import is tried with pauses, too."""
    house.write("app", TASKS + "\nos.kill(os.getpid(), 9)")
    worker = house.worker()
    house.logged(worker, "was killed by SIGKILL before it was ready")
    job = house.add("app:work", {"value": 1})

    house.write("app", TASKS)

    assert house.result(job) == 1
    assert worker.log.count("before it was ready") <= 2


def test_a_new_child_is_asked_anew_for_what_the_one_before_did_not_know(house: House) -> None:
    """A worker whose child comes back with newer code takes up the unknown task itself."""
    worker = house.worker()
    job = house.add("app:to_come")
    house.logged(worker, "unknown task app:to_come")
    house.write(
        "app",
        PRELUDE + "\ndef to_come():\n    return 'it is here'\n\ndef die():\n    os.kill(os.getpid(), 9)\n",
    )

    killer = house.add("app:die", at_most_once=True)

    assert house.result(job) == "it is here"
    assert house.ended(killer).state is State.FAILED


def test_a_main_module_is_imported_under_its_own_name(house: House) -> None:
    """An app in main.py, started as a script: the worker's children do not run what stands below its main guard."""
    house.write(
        "main",
        TASKS
        + """
from dataclasses import replace
from outlast.worker.app import settings_of

if __name__ == "__main__":
    note("main")
    settings = replace(settings_of(queue), children=1, slots=1)
    (HERE / "settings").write_text(json.dumps(settings.to_message()))
    print(queue.enqueue(work, 7).id)
""",
    )
    script = house.start([sys.executable, "main.py"])
    assert script.wait() == 0
    settings = Settings.from_message(json.loads((house.folder / "settings").read_text()))
    assert settings.target.module == "main"

    house.worker(target=settings.target, grace=timedelta(seconds=1))

    assert house.result(script.log.strip()) == 7
    assert len(house.diary("main")) == 1


def test_of_several_queues_the_one_of_this_store_is_the_workers(house: House) -> None:
    """An app with two stores: each worker enters the lifespan of its own TaskQueue."""
    house.write(
        "app",
        TASKS
        + """
from contextlib import asynccontextmanager

def lifespan_noting(word):
    @asynccontextmanager
    async def lifespan(app):
        note(word)
        yield
    return lifespan

other = TaskQueue(store=f"sqlite:///{HERE / 'other.db'}", worker_lifespan=lifespan_noting("other"))
queue.worker_lifespan = lifespan_noting("this")
another = TaskQueue(store=f"sqlite:///{HERE / 'another.db'}", worker_lifespan=lifespan_noting("another"))
""",
    )
    house.worker()

    house.result(house.add("app:work"))

    assert [len(house.diary(word)) for word in ("this", "other", "another")] == [1, 0, 0]


def test_a_machine_that_has_no_process_left_costs_no_running_job(house: House) -> None:
    """A child that cannot be started is tried again later; the others go on as if nothing were."""
    before = """
import os, subprocess
class Popen(subprocess.Popen):
    def __init__(self, *args, **kwargs):
        if os.path.exists("crowded"):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        super().__init__(*args, **kwargs)
subprocess.Popen = Popen
"""
    worker = house.worker(before=before, children=2)
    long: dict[str, int] = {}
    while len(set(long.values())) < 2:
        job = house.add("app:hold", {"door": "door"}, retry=RetryPolicy(delay=timedelta(0)))
        long[job] = house.noted("started", job).pid
    (house.folder / "crowded").touch()

    os.kill(next(iter(long.values())), signal.SIGKILL)

    house.logged(worker, "no process for it: [Errno 11] Resource temporarily unavailable")
    (house.folder / "crowded").unlink()
    house.open("door")
    house.results(list(long))
    assert worker.is_alive
