"""Jobs of a BackgroundTasks that was made outside any request: in a script, or in a test that calls an endpoint itself.

There is no door that could commit them: they are when the object is called, as FastAPI's runs its tasks when called.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from outlast import sessions
from outlast.errors import AppRefused
from outlast.handle import Job
from outlast.job import NewJob
from outlast.queue import TaskQueue as AnyQueue
from outlast.task import Call, Task

if TYPE_CHECKING:
    from outlast.fastapi.queue import TaskQueue


class Unbound:
    """What was added, for each queue; nothing is committed yet."""

    def __init__(self) -> None:
        self._jobs: dict[TaskQueue, list[NewJob]] = {}

    decided_when: ClassVar[str] = "when the BackgroundTasks is called"

    @property
    def undecided(self) -> bool:
        return bool(self._jobs)

    @property
    def needs_caller(self) -> bool:
        return bool(self._jobs)

    def add(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Job:
        """Pack one call now. Raises AppRefused when nothing says which TaskQueue it belongs to."""
        queue = _queue_of(func)
        if isinstance(func, Call) and sessions.chosen(func.session, queue) is not None:
            return queue.enqueue(func, *args, **kwargs)  # its session commits it
        job = queue.prepare(func, args, kwargs)
        self._jobs.setdefault(queue, []).append(job)
        return Job(job.id, queue, self)

    async def commit(self) -> None:
        """Commit what was added; inline, run it too, and raise what it raises."""
        jobs, self._jobs = self._jobs, {}
        for queue, rows in jobs.items():
            bound = queue.bind(rows)
            turn = queue.turn(bound)
            await queue.acommit(bound)
            if turn is not None:
                await turn()


def _queue_of(func: Callable[..., Any]) -> TaskQueue:
    """A task's own queue; for a plain function the only one there is."""
    from outlast.fastapi.queue import TaskQueue

    if isinstance(func, (Call, Task)):
        found: list[AnyQueue] = [func.task.queue if isinstance(func, Call) else func.queue]
    else:
        found = list(AnyQueue.made)
    queues = [queue for queue in found if isinstance(queue, TaskQueue)]
    if len(queues) == 1:
        return queues[0]
    there_are = "there are several TaskQueues" if queues else "there is no TaskQueue"
    raise AppRefused(
        f"{func!r} was added outside a request, and {there_are} in this process; "
        "make it a task of one with `@queue.task`, or call the app through a test client"
    )
