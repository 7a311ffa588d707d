"""Two workers of different code on one store: each leaves to the other what only that one can run."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from tests.worker.harness import PRELUDE, House

SOON = """
from outlast.worker import executor
executor.MISFIT_PAUSE = 100_000
"""
OLD = PRELUDE + SOON + "\ndef need(a, b): return 'old'\n\ndef work(): return 'done'\n"
NEW = PRELUDE + SOON + "\ndef need(a, c): return 'new'\n\ndef to_come(): return 'new'\n"


def newer(house: House) -> None:
    """Start a worker whose code is another."""
    folder = house.folder / "newer"
    folder.mkdir()
    (folder / "app.py").write_text(NEW)
    target = house.target()
    house.worker(target=replace(target, path=(str(folder), *target.path)))


def test_what_the_one_cannot_run_the_other_does(house: House) -> None:
    """Each job is tried once by a worker that it does not fit, at most, and then it is the other's.

    Break it: in Supervisor._leave_if_unfit, return at once.
    """
    house.write("app", OLD)
    house.worker()
    house.result(house.add("app:work"))  # the first, which is told when there is something to do
    newer(house)
    house.until(lambda: len(house.store.workers()) == 2, "two workers")

    old = house.add_all([house.row("app:need", {"a": 1, "b": 2}) for _ in range(20)])
    new = house.add_all([house.row("app:need", {"a": 1, "c": 2}) for _ in range(20)])
    unknown = house.add_all([house.row("app:to_come") for _ in range(5)])

    assert house.results(old) == ["old"] * 20
    assert house.results(new) == ["new"] * 20
    assert house.results(unknown) == ["new"] * 5
    attempts = {house.job(job).attempt for job in [*old, *new, *unknown]}
    assert max(attempts) == 2, "somebody took what it had found not to fit before the other could"


def test_a_worker_alone_does_not_go_through_what_it_cannot_run_again_and_again(house: House) -> None:
    """Break it: in Leftover.tasks and .jobs, return nothing: then each is tried ten times a second."""
    house.write("app", OLD)
    jobs = house.add_all([house.row("app:need", {"a": 1, "c": 2}) for _ in range(300)])
    house.worker()
    house.reached(jobs[0], lambda record: record.note is not None, "has a note")

    assert house.result(house.add("app:work", delay=timedelta(seconds=1.5))) == "done"

    attempts = [house.job(job).attempt for job in jobs]
    assert max(attempts) == 1
    assert 100 <= sum(attempts) < 300, "the rest was left with its task"
