"""Puts every TaskQueue of the process on another store for a while, also those that are made meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from outlast.clock import Clock
from outlast.queue import TaskQueue


@contextmanager
def every_queue(
    *, store: str, worker: str, clock: Clock | None = None, dice: Callable[[], float] | None = None
) -> Iterator[None]:
    """Switch them all, and back at the end: see TaskQueue.switched."""

    def switch(queue: TaskQueue) -> None:
        switched.enter_context(queue.switched(store=store, worker=worker, clock=clock, dice=dice))

    with ExitStack() as switched, TaskQueue.made.watched(switch):
        for queue in TaskQueue.made:
            switch(queue)
        yield
