"""The threads that run `def` tasks: begun when needed, kept, and never waited for at exit.

Unlike concurrent.futures' pool its threads are daemons: one that is stuck must not keep its process from ending.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextvars import Context
from typing import Any


class Threads:
    """Up to `limit` threads; `submit` never waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._work: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._idle = threading.Semaphore(0)
        self._begun = 0

    def submit(self, work: Callable[[], Any]) -> None:
        """Run `work` in a thread, in a context of its own. It must not raise."""
        self._work.put(work)
        if not self._idle.acquire(blocking=False) and self._begun < self._limit:
            self._begun += 1
            threading.Thread(target=self._serve, name=f"outlast-task-{self._begun}", daemon=True).start()

    def _serve(self) -> None:
        while True:
            work = self._work.get()
            Context().run(work)
            self._idle.release()
