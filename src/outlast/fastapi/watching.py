"""Watching jobs for those who wait for them over HTTP: one look at the store for all of them, however many clients.

While nothing changes the looks become rarer, up to two a second; what this process itself does to a job wakes them.
When the server is told to stop, everybody who waits is sent away, so that no open stream delays it.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from outlast.errors import StoreError
from outlast.store import Glimpse

if TYPE_CHECKING:
    from outlast.queue import TaskQueue

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 0.5


class Eye:
    """Who watches one job: what was last seen of it, and whether that is new."""

    def __init__(self) -> None:
        self.glimpse: Glimpse | None = None
        """None where there is no such job, or not yet."""
        self.is_closed = False
        """Whether the server is being stopped."""
        self._has_news = asyncio.Event()
        self._was_shown = False

    async def news(self) -> Glimpse | None:
        """What is seen next; at first what is seen now. Ask `is_closed` after it."""
        await self._has_news.wait()
        self._has_news.clear()
        return self.glimpse

    def show(self, glimpse: Glimpse | None) -> bool:
        """Whether this is new to it."""
        if self._was_shown and glimpse == self.glimpse:
            return False
        self.glimpse, self._was_shown = glimpse, True
        self._has_news.set()
        return True

    def close(self) -> None:
        self.is_closed = True
        self._has_news.set()


class Watch:
    """All who watch jobs of one queue on one loop."""

    def __init__(self, queue: TaskQueue, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._queue = queue
        self._eyes: dict[str, set[Eye]] = {}
        self._bell = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._is_closed = False

    @contextmanager
    def on(self, job_id: str) -> Iterator[Eye]:
        """Watch a job while this lasts."""
        _follow_signals(self)
        eye = Eye()
        if self._is_closed:
            eye.close()
        self._eyes.setdefault(job_id, set()).add(eye)
        self._wake()
        if self._looking is None or self._looking.done():
            self._looking = self.loop.create_task(self._look_on())
        try:
            yield eye
        finally:
            self._eyes[job_id].discard(eye)
            if not self._eyes[job_id]:
                del self._eyes[job_id]

    def wake(self) -> None:
        """Something may have changed. From any thread."""
        with suppress(RuntimeError):  # that loop has ended
            self.loop.call_soon_threadsafe(self._wake)

    def close(self) -> None:
        """Send everybody away: the server is being stopped. From any thread, and from a signal."""
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._close)

    def _wake(self) -> None:
        self._bell.set()

    def _close(self) -> None:
        self._is_closed = True
        for eyes in self._eyes.values():
            for eye in eyes:
                eye.close()

    async def _look_on(self) -> None:
        pause = _FIRST_PAUSE
        while self._eyes:
            self._bell.clear()
            pause = _FIRST_PAUSE if await self._look() else min(pause * 1.5, _LONGEST_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._bell.wait()
                    pause = _FIRST_PAUSE

    async def _look(self) -> bool:
        """Whether something was new. A store that is away may come back."""
        ids = list(self._eyes)
        try:
            glimpses = await self._queue.aask(lambda store: store.watch(ids))
        except StoreError:
            return False
        seen = {glimpse.id: glimpse for glimpse in glimpses}
        news = [eye.show(seen.get(job_id)) for job_id in ids for eye in self._eyes.get(job_id, ())]
        return any(news)


# ---- the end of the server -------------------------------------------------------------------------------------------

_watches: WeakSet[Watch] = WeakSet()
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _follow_signals(watch: Watch) -> None:
    """Servers wait for open responses before they end the app's lifespan, and tell the app nothing before that: what
    is left to hear is the signal. Its handler, which is the server's, is called as before.

    Only from the first watcher on, and only in the thread that may set handlers; elsewhere streams end with the server.
    """
    _watches.add(watch)
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _SIGNALS:
        theirs = signal.getsignal(number)
        if callable(theirs) and not isinstance(theirs, _Chained) and theirs is not signal.default_int_handler:
            signal.signal(number, _Chained(theirs))


class _Chained:
    """A signal's handler that closes all watches first."""

    def __init__(self, theirs: Callable[[int, FrameType | None], Any]) -> None:
        self._theirs = theirs

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for watch in list(_watches):
            watch.close()
        self._theirs(number, frame)
