"""The supervisor's side of the handover: offers due jobs, and has its one relay child publish them.

The child knows the engine and its broker; this knows neither. A message is under way from the commit that offers its
job. What the child could not publish, or died with, is taken back in the next commit, and its queue is left alone for a
pause that grows: a broker that is away costs a job nothing but time. When it is back, what it had before is published
again: it may have lost it.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable, Sequence
from typing import Any

from outlast.clock import steady
from outlast.job import Offered
from outlast.premises import Premises
from outlast.store import Store
from outlast.worker import events
from outlast.worker.children import Child
from outlast.worker.nursery import Nursery, pause_after
from outlast.worker.settings import Settings

_MODULE = ("outlast.handover", "relay")
"""What the child runs: the supervisor loads none of it."""
Fence = tuple[str, int]


class Relay:
    """What one supervisor hands over: nothing, where its settings name no queue."""

    def __init__(
        self,
        settings: Settings,
        worker: str,
        premises: Premises,
        selector: selectors.BaseSelector,
        on_message: Callable[[Child, list[Any]], None],
    ) -> None:
        self.is_looking = True
        """Whether something may be due that was not at the last offer."""
        self._handed = settings.relayed
        self._natives = {each.queue for each in settings.relayed if each.is_native}
        self.nursery = Nursery(
            settings,
            worker,
            premises,
            selector,
            on_message,
            children=1 if settings.relayed else 0,
            module=_MODULE,
            lock_of=premises.relay,
        )
        self._under_way: dict[Fence, str] = {}
        """Given to the child, which has not answered: the queue of each."""
        self._returned: dict[Fence, str] = {}
        """Not published."""
        self._came_back: set[str] = set()
        """Queues whose broker answers again: what it had before, it may have lost."""
        self._failures: dict[str, int] = {}
        self._resumes: dict[str, float] = {}
        """When a queue whose broker failed is tried again."""

    # ---- in the supervisor's transaction

    def may_offer(self) -> bool:
        """Whether `offer` may find something that the child can publish now."""
        return self.is_looking and self._child() is not None

    @property
    def has_returned(self) -> bool:
        """Whether there is something to `take_back`."""
        return bool(self._returned or self._came_back)

    def take_back(self, store: Store) -> None:
        """What was not published, or may have been forgotten, is under way no longer. Raises StoreError."""
        store.unpublish(list(self._returned))
        for queue in self._came_back:
            store.distrust(queue)

    def offer(self, store: Store) -> list[Offered]:
        """Jobs to publish. Raises StoreError."""
        self.is_looking = False
        return store.offer(self._handed, leave=self._resumes.keys()) if self._handed else []

    # ---- after its commit

    def committed(self, offered: Sequence[Offered]) -> None:
        """What was taken back is; what was offered goes to the child."""
        self._returned.clear()
        self._came_back.clear()
        if not offered:
            return
        self._under_way |= {(job.id, job.attempt): job.queue for job in offered}
        child = self._child()
        if child is None:  # it has died meanwhile
            self._give_back()
        else:
            child.publish(list(offered))

    # ---- what the child says

    def on_message(self, child: Child, verb: str, *rest: Any) -> None:
        if verb == "sent":
            self._sent([(job_id, attempt) for job_id, attempt in rest[0]])
        elif verb == "unsent":
            self._unsent([(job_id, attempt) for job_id, attempt in rest[0]], rest[1])
        else:
            self.nursery.on_message(child, verb, *rest)
            self.is_looking = True

    def _sent(self, fences: Sequence[Fence]) -> None:
        for fence in fences:
            queue = self._under_way.pop(fence, None)
            if queue is not None and self._failures.pop(queue, 0):
                events.broker_is_back(queue)
                if queue not in self._natives:
                    self._came_back.add(queue)
                    self.is_looking = True

    def _unsent(self, fences: Sequence[Fence], why: str) -> None:
        queues = {self._under_way[fence] for fence in fences if fence in self._under_way}
        self._returned |= {fence: self._under_way.pop(fence) for fence in fences if fence in self._under_way}
        for queue in queues:
            self._failures[queue] = self._failures.get(queue, 0) + 1
            pause = pause_after(self._failures[queue])
            self._resumes[queue] = steady() + pause
            events.broker_failed(queue, why, pause)

    # ---- tending

    @property
    def next_look(self) -> float:
        """When `tend` has something to do (steady clock)."""
        return min(self.nursery.next_look, *self._resumes.values(), float("inf"))

    def tend(self, now: float) -> None:
        """Start the child that is missing, and try a broker again that has failed."""
        self.nursery.tend(now)
        for queue, at in list(self._resumes.items()):
            if at <= now:
                del self._resumes[queue]
                self.is_looking = True

    def ended(self, pid: int) -> Child | None:
        """The child, if this was its process id. What it had may be published or not: it is offered again."""
        child = self.nursery.ended(pid)
        if child is not None:
            self._give_back()
        return child

    def _give_back(self) -> None:
        self._returned |= self._under_way
        self._under_way = {}
        self.is_looking = True

    def _child(self) -> Child | None:
        return next((child for child in self.nursery.children.values() if child.free() > 0), None)
