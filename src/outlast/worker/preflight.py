"""Says which jobs of a store this code could not run, by asking for each what a worker would. No task runs.

Every job is looked at on its own: whether its arguments still fit may lie in the values. What is remembered is a line
for each task and reason, whatever the number of jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from outlast.errors import LuggageMisfit, TaskUnknown
from outlast.job import Claimed
from outlast.queue import TaskQueue
from outlast.store import LiveJob
from outlast.worker import executor

_REASONS = 20
"""Reasons told apart for one task: a class of the user may give each job one of its own."""
_OTHER = ("other reasons, too many to tell", "")


@dataclass(slots=True)
class Misfits:
    """Jobs of one task that this code could not run, for one reason."""

    task: str
    why: str
    cure: str
    queued: int = 0
    running: int = 0
    example: str = ""
    """The id of one of them."""


class Preflight:
    """What was found out about the jobs that `look` was given, as the code of `queue` is now."""

    def __init__(self, queue: TaskQueue) -> None:
        self._queue = queue
        self.looked = 0
        self._found: dict[str, dict[tuple[str, str], Misfits]] = {}
        self._unknown: dict[str, tuple[str, str]] = {}
        """Of tasks: to look again for one that is not there takes as long as a thousand jobs."""

    @property
    def misfits(self) -> list[Misfits]:
        """By task; of one task the most frequent first."""
        return [
            each
            for _, reasons in sorted(self._found.items())
            for each in sorted(reasons.values(), key=lambda some: -some.queued - some.running)
        ]

    def look(self, jobs: Iterable[LiveJob]) -> None:
        """Look at some more jobs."""
        for job in jobs:
            self.looked += 1
            reason = self._unknown.get(job.task) or self._reason(job)
            if reason is not None:
                self._count(job, reason)

    def _reason(self, job: LiveJob) -> tuple[str, str] | None:
        """Why it could not run, and the cure; None if it could."""
        try:
            executor.call_of(
                Claimed(job.id, 1, job.task, job.luggage, 0, None, None, 0, 0, None), self._queue
            )
        except TaskUnknown as error:
            self._unknown[job.task] = (str(error), _cure_of_unknown(job.task))
            return self._unknown[job.task]
        except LuggageMisfit as error:
            return error.what, error.cure
        except Exception as error:  # the user's classes may raise anything
            return f"{type(error).__name__}: {error}", ""
        return None

    def _count(self, job: LiveJob, reason: tuple[str, str]) -> None:
        reasons = self._found.setdefault(job.task, {})
        if reason not in reasons and len(reasons) >= _REASONS:
            reason = _OTHER
        misfits = reasons.setdefault(reason, Misfits(job.task, *reason, example=job.id))
        misfits.running += job.is_running
        misfits.queued += not job.is_running


def _cure_of_unknown(task: str) -> str:
    qualname = task.partition(":")[2]
    return (
        f"bring the function back under that name; or, if it was renamed, say so: @queue.task(aliases=[{qualname!r}]); "
        f"or give the jobs up: outlast jobs cancel --task {task}"
    )
