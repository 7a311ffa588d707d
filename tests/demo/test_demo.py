"""The demo as users start it: a process, its exit code, what it prints and what it leaves behind."""

import os
import re
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.demo import stage
from outlast import locks

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "demo-data"


@pytest.mark.timeout(180)
def test_the_whole_demo_loses_nothing(data: Path) -> None:
    played = play(demo(data, "--once"))

    assert played.returncode == 0, played.stdout + played.stderr
    assert re.search(r"All +209 +209 +0 +\d+ ", played.stdout)
    assert "Lost: 0." in played.stdout
    assert "\x1b" not in played.stdout  # a log is no terminal
    assert "FAILED" not in played.stdout
    assert_nothing_runs(data)


@pytest.mark.timeout(180)
def test_an_accepted_task_that_is_gone_counts_as_lost(data: Path) -> None:
    """The row of a job that was accepted is taken out of the store while everything is dead."""
    with subprocess.Popen(
        demo(data, "--once", "--only", "6"), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as playing:
        printed = list(sabotaged(playing, data / "outlast.db"))

    assert playing.returncode == 1, "".join(printed)
    assert re.search(r"All +200 +199 +1 +\d+ ", "".join(printed))
    assert "LOST: 1 accepted" in "".join(printed)
    assert_nothing_runs(data)


def sabotaged(playing: subprocess.Popen[str], store: Path) -> Iterator[str]:
    """The lines it prints; after the second kill, one queued job is deleted."""
    assert playing.stdout is not None
    for line in playing.stdout:
        yield line
        if "SIGKILL to server and worker" in line:
            delete_a_queued_job(store)


def delete_a_queued_job(store: Path) -> None:
    connection = sqlite3.connect(store, timeout=10, isolation_level=None)
    last = "SELECT id FROM jobs WHERE state = 'queued' ORDER BY id DESC LIMIT 1"
    assert connection.execute(f"DELETE FROM jobs WHERE id = ({last})").rowcount == 1
    connection.close()


def test_a_port_that_is_taken_is_named(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        played = play(demo(data, "--once", port=port))

    assert played.returncode == 2
    assert f"port {port} cannot be had" in played.stderr


def test_a_folder_of_somebody_else_is_left_alone(data: Path) -> None:
    data.mkdir()
    (data / "thesis.txt").write_text("years of work")

    played = play(demo(data, "--once"))

    assert played.returncode == 2
    assert "is not the demo's" in played.stderr
    assert (data / "thesis.txt").read_text() == "years of work"


def test_a_folder_in_use_is_refused(data: Path) -> None:
    held = stage.prepare(data)
    try:
        played = play(demo(data, "--once"))
    finally:
        os.close(held)

    assert played.returncode == 2
    assert f"another demo (process {os.getpid()})" in played.stderr


def play(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def demo(data: Path, *options: str, port: int = 0) -> list[str]:
    return [sys.executable, "-m", "examples.demo", "--data", str(data), "--port", str(port), *options]


def assert_nothing_runs(data: Path) -> None:
    """No server holds the folder, no process of a worker its lock."""
    assert [lock for lock in data.glob("outlast.db-locks/*.lock") if not locks.is_free(lock)] == []
    os.close(stage.prepare(data))
