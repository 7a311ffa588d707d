"""What every page needs at hand: the queue, and the answers of this second: many viewers cost as much as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

from starlette.requests import Request

from outlast.clock import steady
from outlast.queue import TaskQueue
from outlast.store import Store

T = TypeVar("T")
_FRESH = 1.0
"""Seconds for which an answer of the store is shown to whoever asks for the same."""
_KEPT = 100


class Unanswerable(Exception):
    """A request that is answered with a page that says why not."""

    def __init__(self, status: int, title: str, text: str) -> None:
        super().__init__(text)
        self.status, self.title, self.text = status, title, text


def require_hands(request: Request) -> None:
    """A dependency of whatever changes something. Raises Unanswerable for who may only look."""
    if not request.state.may_act:
        raise Unanswerable(403, "Only looking", "You may look at this dashboard, and change nothing.")


class Desk:
    """The queue that the dashboard is of."""

    def __init__(self, queue: TaskQueue) -> None:
        self.queue = queue
        self._answers: dict[Hashable, tuple[float, asyncio.Task[object]]] = {}

    async def ask(self, key: Hashable, ask: Callable[[Store], T], *, fresh: float = _FRESH) -> T:
        """Ask the store, or take what it answered to the same `key` within so many seconds."""
        now = steady()
        until, asking = self._answers.get(key, (0.0, None))
        if asking is None or now >= until or asking.get_loop() is not asyncio.get_running_loop():
            asking = asyncio.create_task(self._ask(ask))
            asking.add_done_callback(_seen)
            self._answers = {k: kept for k, kept in self._answers.items() if now < kept[0]}
            self._answers[key] = (now + fresh, asking)
        answer: T = await asyncio.shield(cast("asyncio.Task[T]", asking))
        return answer

    async def _ask(self, ask: Callable[[Store], object]) -> object:
        return await self.queue.aask(ask)

    def forget(self) -> None:
        """After a change: whoever made it sees it."""
        self._answers.clear()


def _seen(asking: asyncio.Task[object]) -> None:
    """Its error is told to those who wait for it; there may be nobody left."""
    if not asking.cancelled():
        asking.exception()
