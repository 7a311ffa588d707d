"""However the app is served, its jobs run outside the server, in the one worker that the store has on this machine."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import sys
from contextlib import closing, suppress
from pathlib import Path

import pytest

from outlast import locks
from tests.worker.harness import House, Process, lives

APP = """
import os
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI

import outlast
from outlast import BackgroundTasks, TaskQueue, current_job

HERE = Path(__file__).parent


@asynccontextmanager
async def lifespan(app):
    app.state.began = True
    yield


def work(number: int) -> int:
    return os.getpid()


def make() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.state.queue = TaskQueue(app, store=f"sqlite:///{HERE / 'outlast.db'}", children=1)

    @app.post("/add/{number}")
    async def add(number: int, background_tasks: BackgroundTasks):
        job = background_tasks.add_task(work, number)
        return {"id": job.id, "server": os.getpid()}

    return app
"""
MODULE = APP + "\n\napp = make()\n"
MAIN = (
    MODULE
    + """

if __name__ == "__main__":
    import uvicorn

    uvicorn.run(app, port=int(os.environ["PORT"]))
"""
)
BIN = Path(sys.executable).parent
SERVERS = {
    "uvicorn": [BIN / "uvicorn", "main:app", "--port", "PORT"],
    "uvicorn with workers": [BIN / "uvicorn", "main:app", "--workers", "3", "--port", "PORT"],
    "uvicorn with reload": [BIN / "uvicorn", "main:app", "--reload", "--port", "PORT"],
    "uvicorn with a factory": [BIN / "uvicorn", "main:make", "--factory", "--port", "PORT"],
    "fastapi run": [BIN / "fastapi", "run", "main.py", "--port", "PORT"],
    "fastapi dev": [BIN / "fastapi", "dev", "main.py", "--port", "PORT"],
    "gunicorn": [
        BIN / "gunicorn", "main:app", "-k", "uvicorn_worker.UvicornWorker", "-w", "2", "-b", "127.0.0.1:PORT",
    ],
    "python main.py": [sys.executable, "main.py"],
    "python -m main": [sys.executable, "-m", "main"],
}  # fmt: skip


class Site:
    """A server in the house, and how to talk to it."""

    def __init__(self, house: House, words: list[str | Path], source: str = MAIN) -> None:
        house.write("main", source)
        self.house = house
        self.port = _free_port()
        command = [str(word).replace("PORT", str(self.port)) for word in words]
        self.process: Process = house.start(command, env={"PORT": str(self.port)})

    def post(self, path: str) -> dict[str, object]:
        """The body of a 200, once the server answers."""
        body = self.house.until(lambda: self._try_post(path), f"an answer to POST {path}")
        told: dict[str, object] = json.loads(body)
        return told

    def _try_post(self, path: str) -> bytes | None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with closing(connection), suppress(OSError, http.client.HTTPException):
            connection.request("POST", path)
            response = connection.getresponse()
            body = response.read()
            return body if response.status == 200 else None
        return None

    def supervisors(self) -> list[int]:
        return _with_words(self.house.everybody(), "outlast.worker", "supervise")

    def has_one_supervisor(self) -> int:
        """Its process id, once it has the seat and those who found it taken have gone."""

        def alone() -> int | None:
            holder = locks.holder(self.house.premises.seat)
            return holder if holder and self.supervisors() == [holder] else None

        return self.house.until(alone, "one supervisor, in the seat")


@pytest.mark.parametrize("words", SERVERS.values(), ids=SERVERS)
def test_a_job_runs_in_the_one_worker_however_the_app_is_served(
    house: House, words: list[str | Path]
) -> None:
    """Broken by naming the app wrongly to the child, by a supervisor in each server, by running in the server."""
    source = APP if "--factory" in words else MAIN
    site = Site(house, words, source)

    jobs = [site.post(f"/add/{number}") for number in range(4)]

    servers = {job["server"] for job in jobs}
    where = {house.result(str(job["id"])) for job in jobs}
    assert where.isdisjoint(servers)
    site.has_one_supervisor()


@pytest.mark.parametrize(
    "name", ["uvicorn", "uvicorn with workers", "gunicorn", "python main.py", "fastapi run"]
)
def test_a_server_that_is_asked_to_end_leaves_nothing_running(house: House, name: str) -> None:
    """Broken by not stopping the host at the end of the lifespan."""
    site = Site(house, SERVERS[name])
    house.result(str(site.post("/add/1")["id"]))
    site.has_one_supervisor()

    site.process.terminate()

    house.until(lambda: not house.everybody(), "nobody is left")
    assert house.store.workers() == []


def test_ctrl_c_ends_server_and_worker_and_running_jobs_finish(house: House) -> None:
    """Broken by leaving the children in the terminal's process group."""
    site = Site(house, SERVERS["uvicorn"])
    job = str(site.post("/add/1")["id"])
    house.result(job)

    site.process.signal(signal.SIGINT)

    assert site.process.wait() in (0, -signal.SIGINT, 130)
    house.until(lambda: not house.everybody(), "nobody is left")


def test_another_server_takes_over_when_the_host_of_the_worker_is_killed(house: House) -> None:
    """Broken by not watching the seat from the other server processes."""
    first = Site(house, SERVERS["uvicorn"])
    house.result(str(first.post("/add/1")["id"]))
    supervisor = first.has_one_supervisor()
    second = Site(house, SERVERS["uvicorn"])
    second.post("/add/2")
    assert second.has_one_supervisor() == supervisor

    first.process.kill()
    job = str(second.post("/add/3")["id"])

    house.result(job)
    assert second.has_one_supervisor() != supervisor
    assert not lives(supervisor)


def test_a_killed_supervisor_is_replaced_at_once(house: House) -> None:
    site = Site(house, SERVERS["uvicorn"])
    house.result(str(site.post("/add/1")["id"]))
    supervisor = site.has_one_supervisor()

    os.kill(supervisor, signal.SIGKILL)
    job = str(site.post("/add/2")["id"])

    house.result(job)
    assert site.has_one_supervisor() != supervisor


def test_a_reload_brings_the_new_code_to_the_worker(house: House) -> None:
    """Broken by leaving the old children alive after a reload."""
    site = Site(house, SERVERS["uvicorn with reload"])
    assert house.result(str(site.post("/add/1")["id"])) != "new"

    house.write("main", MAIN.replace("return os.getpid()\n\n\ndef make", 'return "new"\n\n\ndef make'))

    def is_new() -> bool:
        return house.result(str(site.post("/add/2")["id"])) == "new"

    house.until(is_new, "the new code has run")


def test_a_module_that_starts_a_server_when_imported_is_told_so(house: House) -> None:
    """Broken by letting the child start the server, too."""
    unguarded = MAIN.replace('if __name__ == "__main__":', "if True:")
    site = Site(house, SERVERS["python main.py"], unguarded)
    site.post("/add/1")

    house.logged(site.process, 'below `if __name__ == "__main__":`')


def test_an_external_worker_serves_what_the_server_accepts(house: House) -> None:
    """Broken by starting a supervisor in a server whose worker is external."""
    site = Site(house, SERVERS["uvicorn"], MAIN.replace("children=1", 'children=1, worker="external"'))
    job = str(site.post("/add/1")["id"])
    assert site.supervisors() == []

    house.worker("main:app")

    house.result(job)


def test_a_worker_for_some_queues_does_not_keep_a_server_from_its_own(house: House) -> None:
    """Nobody would serve the others. Broken by looking for the seat alone, which any worker may have."""
    house.write("main", MAIN)
    house.worker("main:app", queues=("mail",))
    house.until(lambda: locks.holder(house.premises.seat), "the worker has the seat")

    site = Site(house, SERVERS["uvicorn"])

    house.result(str(site.post("/add/1")["id"]))
    assert site.supervisors() == [locks.holder(house.premises.duty)]


def test_a_worker_for_all_queues_is_all_that_a_server_needs(house: House) -> None:
    """One that was started by hand counts, too. Broken by taking up the duty for hosted workers alone."""
    house.write("main", MAIN)
    worker = house.worker("main:app")
    house.until(lambda: locks.holder(house.premises.duty), "the worker is on duty")

    site = Site(house, SERVERS["uvicorn"])

    house.result(str(site.post("/add/1")["id"]))
    assert site.supervisors() == []

    worker.kill()
    house.result(str(site.post("/add/2")["id"]))
    site.has_one_supervisor()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _with_words(pids: list[int], *words: str) -> list[int]:
    found = []
    for pid in pids:
        with suppress(OSError):
            told = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
            if all(word in told for word in words):
                found.append(pid)
    return found
