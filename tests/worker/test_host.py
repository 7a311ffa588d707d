"""A server's side of its worker: there is one again whatever becomes of it, and whatever goes wrong is told."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.worker.harness import House, lives


def test_a_killed_supervisor_is_replaced_at_once(house: House) -> None:
    """Its jobs are rescued by the new one; the server's log says what became of the old."""
    server = house.server()
    first = house.supervisor()
    job = house.add("app:hold", {"door": "door"})
    house.noted("started", job)

    os.kill(first, signal.SIGKILL)

    house.noted("started", job, attempt=2)
    assert house.supervisor() != first
    house.logged(server, "the worker ended with exit code -9; starting it again at once")
    house.open("door")
    assert house.result(job) == 2


def test_of_two_servers_one_has_the_worker_and_the_other_takes_over(house: House) -> None:
    """When the server that has it is killed, its supervisor leaves, and the other server starts the next."""
    servers = [house.server() for _ in range(2)]
    first = house.supervisor()
    assert house.result(house.add("app:work", {"value": 1})) == 1
    owner = next(server for server in servers if _parent(first) == server.pid)
    other = next(server for server in servers if server is not owner)

    owner.kill()

    assert house.result(house.add("app:work", {"value": 2})) == 2
    house.until(lambda: house.supervisor() != first and not lives(first), "the first to be gone")
    assert _parent(house.supervisor()) == other.pid


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose name leaves room for that of a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


def test_a_server_that_cannot_reach_the_worker_goes_on_minding(house: House, short: Path) -> None:
    """An error is told and tried again: once it is mended, and the worker that was there is gone, there is another."""
    worker = house.worker()
    house.child()
    runtime = short / f"outlast-{os.getuid()}"
    runtime.mkdir(mode=0o755)
    server = house.server(env={"XDG_RUNTIME_DIR": str(short)})
    house.logged(server, "the worker cannot be started:")
    house.logged(server, "is not a folder of this user alone; remove it")

    runtime.chmod(0o700)
    worker.terminate()

    assert house.result(house.add("app:work", {"value": 1})) == 1


def test_a_place_where_nobody_can_listen_is_told(house: House, short: Path) -> None:
    """The name of a socket must be short; the cure is in the message, and the server tries again."""
    deep = short / ("deep" * 30)
    deep.mkdir()
    server = house.server(env={"XDG_RUNTIME_DIR": str(deep)})

    line = house.logged(server, "the worker cannot listen at")

    assert "path too long" in line
    assert "set XDG_RUNTIME_DIR" in line
    house.logged(server, "the worker ended with exit code 2; starting it again in 0.5 s")
    assert "Traceback" not in server.log


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
