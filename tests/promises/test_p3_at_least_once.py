"""P3: a committed job runs until it ends, whatever process is killed when; at_most_once is the stated exception.

Every test brings three jobs to one window of an attempt (a `def` task, an `async def` one, and an at-most-once one),
kills real processes there, and lets whoever comes next go on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from outlast.job import Reason, State
from tests.worker.harness import House, stop


@dataclass
class Scene:
    """The three jobs at one window, and who could be killed."""

    house: House
    supervisor: int
    child: int
    jobs: tuple[str, str]
    once: str


def after_the_claim(house: House) -> Scene:
    """Claimed and handed over, but the child stands still: no code of a task has been entered."""
    supervisor, child = house.supervisor(), house.child()
    stop(child)
    scene = Scene(house, supervisor, child, *_jobs(house))
    for job in (*scene.jobs, scene.once):
        house.running(job)
    return scene


def in_the_task(house: House) -> Scene:
    """All three wait at their door."""
    supervisor, child = house.supervisor(), house.child()
    scene = Scene(house, supervisor, child, *_jobs(house))
    for job in (*scene.jobs, scene.once):
        house.noted("started", job)
    return scene


def before_the_settle(house: House) -> Scene:
    """The tasks have returned, but the supervisor stands still and has told the store nothing."""
    scene = in_the_task(house)
    stop(scene.supervisor)
    house.open("door")
    for job in (*scene.jobs, scene.once):
        house.noted("done", job)
    assert [house.job(job).state for job in (*scene.jobs, scene.once)] == [State.RUNNING] * 3
    return scene


WINDOWS = [after_the_claim, in_the_task, before_the_settle]


@pytest.mark.parametrize("window", WINDOWS)
def test_a_killed_supervisor_costs_no_job(house: House, window: Callable[[House], Scene]) -> None:
    """What a killed supervisor had in hand is run to its end by the next one.

    Break it: in chores.do, do not call _rescue.
    """
    house.worker()
    scene = window(house)
    os.kill(scene.supervisor, signal.SIGKILL)

    house.worker()
    _all_end(scene)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_killed_child_costs_no_job(house: House, window: Callable[[House], Scene]) -> None:
    """What a killed child had in hand is run to its end by its successor.

    Break it: in Supervisor._bury, do not end what the child was running.
    """
    worker = house.worker()
    scene = window(house)
    os.kill(scene.child, signal.SIGKILL)
    worker.go_on()

    _all_end(scene)


@pytest.mark.parametrize("window", WINDOWS)
def test_killing_supervisor_and_child_together_costs_no_job(
    house: House, window: Callable[[House], Scene]
) -> None:
    """When nobody of a worker is left, the next worker runs what it had in hand to its end.

    Break it: in chores._is_dead, say False.
    """
    house.worker()
    scene = window(house)
    for pid in (scene.supervisor, scene.child):
        os.kill(pid, signal.SIGKILL)

    house.worker()
    _all_end(scene)


@pytest.mark.parametrize("window", WINDOWS)
def test_a_killed_server_costs_no_job(house: House, window: Callable[[House], Scene]) -> None:
    """When the server that keeps the worker is killed, its worker drains and the next server's goes on.

    Break it: in Running.stopped, make what the shutdown stopped Succeeded().
    """
    server = house.server()
    scene = window(house)
    server.kill()
    os.kill(scene.supervisor, signal.SIGCONT)

    house.server()
    _all_end(scene)


@pytest.mark.parametrize("window", WINDOWS)
def test_killing_server_supervisor_and_child_together_costs_no_job(
    house: House, window: Callable[[House], Scene]
) -> None:
    """When the whole machine's processes are gone at once, the next server's worker runs every job to its end.

    Break it: in lifecycle._lost, make the job FAILED.
    """
    server = house.server()
    scene = window(house)
    for pid in (server.pid, scene.supervisor, scene.child):
        os.kill(pid, signal.SIGKILL)

    house.server()
    _all_end(scene)


def test_an_at_most_once_job_that_has_begun_is_never_run_again(house: House) -> None:
    """An at-most-once job whose child dies under it is failed as interrupted, and its code is not entered again.

    Break it: in lifecycle.ending, leave out the at_most_once clause.
    """
    house.worker()
    once = house.add("app:die", at_most_once=True)

    record = house.ended(once)

    assert (record.state, record.reason) == (State.FAILED, Reason.INTERRUPTED)
    assert house.starts(once) == [1]
    assert "at_most_once forbids another attempt" in (record.error or "")


def test_an_at_most_once_job_that_errs_is_not_tried_again(house: House) -> None:
    """An at-most-once job that raises has had its one attempt, and fails with its own error.

    Break it: in lifecycle._failure, leave out at_most_once.
    """
    house.worker()
    once = house.add("app:err", at_most_once=True)

    record = house.ended(once)

    assert (record.state, record.reason, record.error) == (
        State.FAILED,
        Reason.ERROR,
        "ValueError: attempt 1 erred",
    )
    assert house.starts(once) == [1]


def test_an_at_most_once_job_whose_worker_leaves_is_never_run_again(house: House) -> None:
    """An at-most-once job that outlasts the grace of its worker is interrupted: it had begun.

    Break it: in lifecycle._never_began, say True for every release.
    """
    worker = house.worker()
    once = house.add("app:ahold", {"door": "never"}, at_most_once=True)
    house.noted("started", once)

    assert worker.terminate() == 0
    house.worker()
    house.child()

    record = house.job(once)
    assert (record.state, record.reason) == (State.FAILED, Reason.INTERRUPTED)
    assert house.starts(once) == [1]


def _jobs(house: House) -> tuple[tuple[str, str], str]:
    door = {"door": "door"}
    called, awaited, once = house.add_all(
        [
            house.row("app:hold", door),
            house.row("app:ahold", door),
            house.row("app:hold", door, at_most_once=True),
        ]
    )
    return (called, awaited), once


def _all_end(scene: Scene) -> None:
    """Both have run to their end; the third was run at most once, and nobody pretends that it succeeded."""
    house = scene.house
    house.open("door")
    for job in scene.jobs:
        attempt = house.result(job)
        assert attempt in house.starts(job), "it counts as done what no task has done"
    once = house.ended(scene.once)
    assert len(house.starts(scene.once)) <= 1
    assert (once.state, once.reason) in [(State.FAILED, Reason.INTERRUPTED), (State.SUCCEEDED, None)]
    if once.state is State.SUCCEEDED:
        assert house.diary("done", scene.once)
