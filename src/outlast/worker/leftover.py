"""What a worker leaves for others because its code cannot run it. The supervisor keeps it while its code stays.

A task that the code lacks is left for good. A job whose arguments did not fit goes back to the queue for a while; when
it is due again, this worker lets others have it first, and then looks at it once more. Where very many of one task do
not fit, the task as a whole is left until then: to go through all of them, again and again, would be all that it does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import takewhile

_FOR_OTHERS = 2.0
"""Seconds that others have: they look once a second."""
_MOST = 100
"""Jobs of one task that are told apart."""


class Leftover:
    """Tasks and jobs to leave alone. Times are of the steady clock, in seconds."""

    def __init__(self) -> None:
        self.unknown: set[str] = set()
        """Tasks that the code does not have."""
        self._jobs: dict[str, tuple[str, float]] = {}
        """Jobs that did not fit: their task, and until when they are left; in the order they were found."""
        self._counts: Counter[str] = Counter()

    def add_job(self, job_id: str, task: str, due: float) -> None:
        """The arguments of a job did not fit; it is `due` again in the queue then."""
        self._drop(job_id)
        self._jobs[job_id] = (task, due + _FOR_OTHERS)
        self._counts[task] += 1

    def clear(self) -> None:
        """There may be other code now."""
        self.unknown.clear()
        self._jobs.clear()
        self._counts.clear()

    def tasks(self, now: float) -> Collection[str]:
        """The tasks to leave."""
        if not self._jobs:
            return self.unknown
        self._forget(now)
        return self.unknown | {task for task, count in self._counts.items() if count >= _MOST}

    def jobs(self) -> Collection[str]:
        """The jobs to leave, beside those of the tasks."""
        return self._jobs.keys()

    def _forget(self, now: float) -> None:
        """Those whose time is over are in front: all go back for equally long."""
        over = takewhile(lambda each: each[1][1] <= now, self._jobs.items())
        for job_id, _ in list(over):
            self._drop(job_id)

    def _drop(self, job_id: str) -> None:
        if job_id in self._jobs:
            task, _ = self._jobs.pop(job_id)
            self._counts[task] -= 1
