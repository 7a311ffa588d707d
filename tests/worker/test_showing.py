"""A worker shows its children to those who watch: their process, memory and jobs; and that it lives."""

from __future__ import annotations

import os
import signal
from datetime import timedelta

from outlast.store import WorkerRecord
from tests.polling import polled
from tests.worker.harness import PATIENCE, House


def test_children_are_shown_with_what_they_run(served: House) -> None:
    """To see it fail: leave `show` out of the supervisor's chores."""
    job = served.add("app:hold", {"door": "shown"})
    child = served.noted("started", job).pid

    worker = shown(served, lambda worker: any(job in each.job_ids for each in worker.children))

    [busy] = [each for each in worker.children if job in each.job_ids]
    assert (busy.pid, busy.jobs, busy.standing) == (child, 1, "ready")
    assert busy.memory is not None
    assert 5_000_000 < busy.memory < 2_000_000_000
    assert worker.seen_at is not None
    served.open("shown")
    shown(served, lambda worker: all(each.jobs == 0 for each in worker.children))


def test_a_child_that_dies_is_shown_no_more(served: House) -> None:
    before = shown(served, lambda worker: all(each.standing == "ready" for each in worker.children))
    pid = before.children[0].pid
    os.kill(pid, signal.SIGKILL)

    after = shown(served, lambda worker: pid not in [each.pid for each in worker.children])

    assert shown(served, lambda worker: len(worker.children) == len(before.children)).id == after.id


def test_depths_are_noted(served: House) -> None:
    served.add("app:work", delay=timedelta(hours=1))
    began = served.job(served.add("app:work")).created_at.replace(second=0, microsecond=0)

    assert polled(lambda: served.store.past_depths(began), PATIENCE) is not None


def shown(house: House, condition: object) -> WorkerRecord:
    """The one worker, once it has said this of itself."""

    def found() -> WorkerRecord | None:
        workers = house.store.workers()
        return workers[0] if workers and workers[0].children and condition(workers[0]) else None  # type: ignore[operator]

    worker = polled(found, PATIENCE)
    assert worker is not None, house.store.workers()
    return worker
