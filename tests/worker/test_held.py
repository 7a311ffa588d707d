"""Held jobs: those whose request has not unwound. A worker lets them go when the server that held them is dead."""

from __future__ import annotations

import sys

from outlast.job import new_id
from tests.worker.harness import House

HOLD = """
import sys
from pathlib import Path
from outlast import locks
locks.acquire(Path(sys.argv[1]))
print("held", flush=True)
import threading
threading.Event().wait()
"""


def test_the_jobs_of_a_dead_server_are_let_go_and_those_of_a_living_one_are_not(house: House) -> None:
    """By the lock that the server has: the log says how many, and that data may be missing."""
    living, dead = new_id(), new_id()
    servers = {
        name: house.start([sys.executable, "-c", HOLD, str(house.premises.server(name))])
        for name in (living, dead)
    }
    for server in servers.values():
        house.logged(server, "held")
    held, kept = (house.add("app:work", {"value": 1}, held_by=name) for name in (dead, living))
    worker = house.worker()
    assert house.result(house.add("app:work", {"value": 2})) == 2
    assert [house.job(job).view for job in (held, kept)] == ["held", "held"]

    servers[dead].kill()

    assert house.result(held) == 1
    line = house.logged(worker, f"server={dead}")
    assert "1 jobs let go whose server died before its request had unwound" in line
    assert house.job(kept).view == "held"
