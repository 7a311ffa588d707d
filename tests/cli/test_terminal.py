"""What only a terminal shows: questions, colours, a progress bar."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from outlast.job import Ended, State, Step, Succeeded, Told
from tests.cli.stored import new_job, run


class Screen:
    """A command on a terminal of 80 columns."""

    def __init__(self, *words: str) -> None:
        self._mine, theirs = pty.openpty()
        command = [str(Path(sys.executable).with_name("outlast")), *words]
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80"}
        self._process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        self.seen = ""

    def until(self, told: str) -> None:
        while told not in self.seen:
            self.seen += os.read(self._mine, 10_000).decode()

    def type(self, text: str) -> None:
        os.write(self._mine, text.encode())

    def ctrl_c(self) -> None:
        """Pressed until it is heard: a signal between the question and the wait for its answer is not."""
        while self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=2)

    def ended(self) -> int:
        """Reads the rest; on Linux the end of a terminal is an error."""
        try:
            while more := os.read(self._mine, 10_000):
                self.seen += more.decode()
        except OSError:
            pass
        return self._process.wait()

    def close(self) -> None:
        os.close(self._mine)
        self._process.kill()
        self._process.wait()


@pytest.fixture
def screen() -> Iterator[Callable[..., Screen]]:
    opened: list[Screen] = []

    def screen(*words: str) -> Screen:
        opened.append(Screen(*words))
        return opened[-1]

    yield screen
    for each in opened:
        each.close()


@pytest.mark.parametrize(
    ("answer", "code"),
    [("y", 0), ("n", 1), ("", 1)],
)
def test_it_asks_before_it_touches_many(answer, code, ids, store, screen):
    retry = screen("jobs", "retry", "--all")
    retry.until("Retry 2 jobs? [y/N]: ")
    retry.type(f"{answer}\n")

    assert retry.ended() == code
    assert store.get(ids["failed"]).state is (State.FAILED if code else State.QUEUED)
    assert ("Nothing was changed." in retry.seen) == (code == 1)


def test_ctrl_c_at_the_question_changes_nothing(ids, store, screen):
    retry = screen("jobs", "retry", "--all")
    retry.until("[y/N]: ")
    retry.ctrl_c()

    assert retry.ended() == 130
    assert "Traceback" not in retry.seen
    assert store.get(ids["failed"]).state is State.FAILED


def test_waiting_shows_a_bar_and_what_is_still_going_on(store, screen):
    job_id = run(store, new_job())

    wait = screen("jobs", "wait", job_id)
    wait.until("1 running")
    store.settle([Ended(job_id, 1, Succeeded())])

    assert wait.ended() == 0
    assert "0/1" in wait.seen
    assert f"{job_id} \x1b[32msucceeded" in wait.seen


def test_waiting_for_one_job_shows_how_far_it_says_it_is(store, screen):
    job_id = run(store, new_job())
    store.keep([Told(job_id, 1, Step(42, 100, "sending", store.clock.now()), [])])

    wait = screen("jobs", "wait", job_id)
    wait.until("42/100")
    store.settle([Ended(job_id, 1, Succeeded())])

    assert wait.ended() == 0
    assert "sending" in wait.seen


CHECKED = """
import threading
from outlast import TaskQueue

queue = TaskQueue()

class Slow(str):
    def __new__(cls, text):
        threading.Event().wait()

def send_mail(to, on): ...
"""
SLOW = '{"to": {"$": ["of", "main:Slow", "x"]}, "on": 1}'


def test_a_check_of_many_jobs_shows_how_far_it_is(store, screen, tmp_path):
    (tmp_path / "main.py").write_text(CHECKED)
    store.insert([new_job("main:send_mail") for _ in range(1_200)])

    check = screen("check", "main:queue", "--against", "sqlite:///outlast.db")

    assert check.ended() == 0
    assert "Checking jobs" in check.seen
    assert "1200/1200" in check.seen
    assert "1,200 queued or running jobs would run" in check.seen


def test_ctrl_c_ends_a_check_without_a_traceback(store, screen, tmp_path):
    """Also while it puts an argument together, whose class never comes to an end."""
    (tmp_path / "main.py").write_text(CHECKED)
    store.insert([new_job("main:send_mail", luggage=SLOW)])

    check = screen("check", "main:queue", "--against", "sqlite:///outlast.db")
    check.until("Checking jobs")
    check.ctrl_c()

    assert check.ended() == 130
    assert "Traceback" not in check.seen


def test_states_are_coloured_and_errors_red(ids, screen):
    listed, missing = screen("jobs", "list"), screen("jobs", "show", "0123456789ab")

    assert (listed.ended(), missing.ended()) == (0, 3)
    assert "\x1b[31mfailed" in listed.seen
    assert missing.seen.startswith("\x1b[31mno job in ")
