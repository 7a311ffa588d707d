"""A machine whose clock is set while a worker runs: told, and nothing is lost.

The worker's own clock is real but for a file that says by how many seconds it is off.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from outlast.job import State
from tests.worker.harness import House

SHIFTED = """
import os
from outlast.clock import SystemClock
true_now = SystemClock.now
def now(self):
    try:
        off = float(open("off").read() or 0)
    except FileNotFoundError:
        off = 0
    return true_now(self) + int(off * 1e6)
SystemClock.now = now
"""


def test_a_clock_that_is_set_forward_brings_what_is_due_and_ends_nothing(house: House) -> None:
    """A day ahead: delays are over, the running job, its timeout and the lease go by time that has passed."""
    worker = house.worker(before=SHIFTED, lease=timedelta(seconds=2))
    running = house.add("app:hold", {"door": "door"}, timeout=timedelta(hours=1))
    delayed = house.add("app:work", {"value": 1}, delay=timedelta(hours=2))
    house.noted("started", running)

    (house.folder / "off").write_text("86400")

    house.logged(worker, "the clock was set by +86400.0 s")
    assert house.result(delayed) == 1
    assert house.job(running).state is State.RUNNING
    house.open("door")
    assert house.result(running) == 1
    assert "lease lost" not in worker.log


@pytest.mark.parametrize("task", ["app:work", "app:awork"])
def test_a_clock_that_is_set_back_delays_only_what_was_delayed(house: House, task: str) -> None:
    """A day back: what may start at once starts at once, though it was enqueued tomorrow; what runs goes on."""
    worker = house.worker(before=SHIFTED, lease=timedelta(seconds=2))
    running = house.add("app:hold", {"door": "door"})
    house.noted("started", running)

    (house.folder / "off").write_text("-86400")

    house.logged(worker, "the clock was set by -86400.0 s")
    assert house.result(house.add(task, {"value": 1})) == 1
    house.open("door")
    assert house.result(running) == 1
    assert "lease lost" not in worker.log
