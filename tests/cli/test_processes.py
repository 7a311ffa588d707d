"""The commands that serve and wait, as real processes: how they begin, and how Ctrl-C ends them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from outlast import wire
from outlast.premises import Premises
from tests.cli.stored import made, new_job

APP = """
from fastapi import FastAPI
from outlast import BackgroundTasks, TaskQueue

app = FastAPI()
queue = TaskQueue(app)

def note(text: str): ...

@app.post("/notes/{text}")
async def add(text: str, background_tasks: BackgroundTasks):
    return background_tasks.add_task(note, text).id
"""


class Terminal:
    """A command in a process group of its own, as a shell starts it; its two outputs are one."""

    def __init__(self, *words: str) -> None:
        command = [str(Path(sys.executable).with_name("outlast")), *words]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.seen = ""

    def until(self, told: str) -> str:
        """Read on until a line matches; returns that line. Fails when the command ends first."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.seen += line
            if re.search(told, line):
                return line
        raise AssertionError(f"{told!r} was never told:\n{self.seen}")

    def ctrl_c(self) -> int:
        """What the terminal does at Ctrl-C: a signal to all of the group. Returns the exit code."""
        os.killpg(self.process.pid, signal.SIGINT)
        self.seen += self.process.communicate()[0]
        return self.process.returncode

    def ended(self) -> int:
        self.seen += self.process.communicate()[0]
        return self.process.returncode


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Terminal]]:
    started: list[Terminal] = []

    def start(*words: str) -> Terminal:
        started.append(Terminal(*words))
        return started[-1]

    yield start
    for each in started:
        if each.process.poll() is None:
            os.killpg(each.process.pid, signal.SIGKILL)
            each.ended()


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "main.py"
    path.write_text(APP)
    return path


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'outlast.db'}"


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


def post(port: int, path: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}{path}", method="POST")).close()


# ---- dev -------------------------------------------------------------------------------------------------------------


def test_dev_serves_works_reloads_and_ends_with_everything(start, main, url):
    port = free_port()
    dev = start("dev", "--port", str(port))

    assert "main:app, found in main.py" in dev.until(r"app\b")
    dev.until("worker started")
    post(port, "/notes/one")
    dev.until(r"succeeded id=\S+ task=main:note attempt=1 duration=")

    main.write_text(APP.replace("def note(text: str): ...", "def note(text: str): print('new code')"))
    dev.until("Reloading")
    dev.until("worker started")
    post(port, "/notes/two")
    dev.until("new code")

    assert dev.ctrl_c() == 0
    assert "Traceback" not in dev.seen
    assert "worker left" in dev.seen
    assert Premises(url).duty_is_free()


def test_dev_works_where_the_code_leaves_it_to_a_worker_elsewhere(start, main):
    main.write_text(APP.replace("TaskQueue(app)", "TaskQueue(app, worker='external')"))

    dev = start("dev", "--port", str(free_port()))

    dev.until("worker started")
    assert dev.ctrl_c() == 0


def test_dev_says_when_its_port_is_taken(start, main):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dev = start("dev", "--port", str(port))

        assert dev.ended() == 2
    assert f"cannot serve on 127.0.0.1:{port}" in dev.seen
    assert len(dev.seen.splitlines()) == 1


def test_dev_says_when_there_is_no_app(start):
    dev = start("dev")

    assert dev.ended() == 2
    assert "no app found in" in dev.seen


# ---- dashboard -------------------------------------------------------------------------------------------------------


def test_the_dashboard_is_served_alone_to_this_machine(start, main, store, url):
    """No job is run: the app is imported and not started."""
    job = new_job()
    store.insert([job])
    dashboard = start("dashboard", "main:app", "--port", "0", "--store", url)
    base = re.search(r"http://127.0.0.1:\d+/", dashboard.until("^dashboard "))[0]
    dashboard.until("Ctrl-C ends it")

    with urllib.request.urlopen(f"{base}jobs/{job.id}") as answer:
        assert job.id in answer.read().decode()
    proxied = urllib.request.Request(base, headers={"X-Forwarded-For": "192.0.2.7"})
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(proxied)
    own = {"Sec-Fetch-Site": "same-origin"}
    cancel = urllib.request.Request(f"{base}jobs/{job.id}/cancel", method="POST", headers=own)
    urllib.request.urlopen(cancel).close()
    assert store.get(job.id).state == "cancelled"
    assert Premises(url).duty_is_free()
    assert dashboard.ctrl_c() == 0
    assert "Traceback" not in dashboard.seen


def test_the_dashboard_may_be_one_that_changes_nothing(start, main, store, url):
    dashboard = start("dashboard", "--port", "0", "--read-only")
    base = re.search(r"http://127.0.0.1:\d+/", dashboard.until("^dashboard "))[0]
    own = {"Sec-Fetch-Site": "same-origin"}
    pause = urllib.request.Request(f"{base}queues/pause?name=mail", method="POST", headers=own)
    dashboard.until("Ctrl-C ends it")

    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(pause)

    assert store.queues() == []
    assert dashboard.ctrl_c() == 0


def test_the_dashboard_says_what_is_in_its_way(start, main):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dashboard = start("dashboard", "--port", str(port))
        assert dashboard.ended() == 2
    assert f"outlast dashboard --port {port + 1}" in dashboard.seen
    main.write_text(APP.replace("TaskQueue(app)", "TaskQueue(app, store='sqlite://', worker='inline')"))
    dashboard = start("dashboard", "--port", "0")
    assert dashboard.ended() == 2
    assert 'app.mount("/outlast", queue.dashboard())' in " ".join(dashboard.seen.split())


# ---- worker ----------------------------------------------------------------------------------------------------------


def test_a_worker_runs_jobs_and_leaves_at_ctrl_c(start, main, url, tmp_path):
    store = made(tmp_path / "outlast.db")
    store.insert(
        [
            new_job("main:note", luggage='{"text": "one"}'),
            new_job("main:note", luggage='{"text": "two"}', queue="mail"),
        ]
    )

    worker = start(
        "worker", "main:app", "--queues", "mail", "--children", "1", "--slots", "3", "--log-level", "debug"
    )
    started = worker.until("worker started")
    worker.until("succeeded id=")

    assert re.search(r"queues mail\b", started)
    assert re.search(r"\b1 child\w* .*\b3 ", started)
    assert worker.ctrl_c() == 0
    assert "worker left" in worker.seen
    assert store.counts()["succeeded"] == store.counts()["ready"] == 1
    store.close()


def test_a_worker_serves_the_store_it_is_told(start, main, tmp_path):
    worker = start("worker", "--store", "sqlite:///other.db", "--grace", "1m")

    started = worker.until("worker started")

    assert f"store sqlite:///{tmp_path / 'other.db'}" in started
    assert re.search(r"grace (60 s|1 m)", started)
    assert worker.ctrl_c() == 0
    assert not (tmp_path / "outlast.db").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("from fastapi import FastAPI\napp = FastAPI()", "no TaskQueue was made there"),
        ("raise RuntimeError('of the app itself')", "main:app cannot be imported: what it said is above"),
    ],
)
def test_a_worker_without_a_usable_app_says_so(start, main, text, told):
    main.write_text(text)

    worker = start("worker", "main:app")

    assert worker.ended() == 2
    assert told in worker.seen.splitlines()[-1]
    assert ("Traceback" in worker.seen) == ("of the app itself" in worker.seen)


def test_a_worker_without_a_usable_store_says_so(start, main):
    worker = start("worker", "--store", "sqlite:///missing/outlast.db")

    assert worker.ended() == 2
    assert "mkdir -p" in worker.seen
    assert "Traceback" not in worker.seen


# ---- wait ------------------------------------------------------------------------------------------------------------


def test_ctrl_c_ends_waiting_with_130_and_without_a_traceback(start, store):
    job = new_job()
    store.insert([job])

    wait = start("jobs", "wait", job.id)
    wait.until("No worker is alive")

    assert wait.ctrl_c() == 130
    assert "Traceback" not in wait.seen


IGNORES = """
import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
print("busy", flush=True)
time.sleep(600)
"""


def test_ctrl_c_ends_an_app_that_is_being_imported_whatever_it_ignores(start, main):
    """Break it: in `ask`, leave the process to itself. Then this test hangs."""
    main.write_text(IGNORES)

    check = start("check", "main:app")
    check.until("busy")

    assert check.ctrl_c() == 130


# ---- the bell --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "words", [("jobs", "retry", "ID"), ("jobs", "cancel", "--all"), ("queues", "resume", "mail")]
)
def test_a_change_rings_the_workers_bell(words, ids, store, outlast, url):
    store.pause("mail")
    with socket.socket(socket.AF_UNIX) as listener:
        path = Premises(url).socket
        listener.bind(path)
        listener.listen()
        try:
            assert (
                outlast(
                    *(ids["failed"] if word == "ID" else word for word in words),
                    *["--yes"] * (words[0] == "jobs"),
                ).code
                == 0
            )
            caller, _ = listener.accept()
            with caller:
                assert wire.Unframer().feed(caller.recv(100)) == [["ring"]]
        finally:
            os.unlink(path)
