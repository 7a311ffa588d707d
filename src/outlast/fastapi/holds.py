"""Lets held jobs go once their requests have unwound: many at once, and no request waits for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from outlast.job import NewJob
from outlast.store import Store
from outlast.store.writer import Writer

_log = logging.getLogger("outlast.request")


class Holds:
    """The jobs that this server holds."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._ended: list[str] = []
        self._lock = threading.Lock()

    def holder(self) -> str:
        """The id that jobs are held by; workers see by its lock whether this process lives."""
        return self._writer.server()

    def let_go(self, ids: Sequence[str]) -> None:
        """Release jobs soon. If it fails, a worker does once this server has ended."""
        told = self._writer.unhold(ids)
        if told is None:
            self._let_go_by_thread(ids)
        else:
            told.add_done_callback(lambda done: self._after_link(done, ids))

    def _after_link(self, done: asyncio.Future[None], ids: Sequence[str]) -> None:
        if done.cancelled() or done.exception() is not None:
            self._let_go_by_thread(ids)

    def _let_go_by_thread(self, ids: Sequence[str]) -> None:
        with self._lock:
            is_asked = bool(self._ended)
            self._ended += ids
        if not is_asked:
            self._writer.post(self._unhold).add_done_callback(self._told)

    def settle(self, jobs: list[NewJob], carrying: asyncio.Task[None] | None = None) -> None:
        """For jobs whose commit nobody waited for to the end: commit them if they are not, then release them.

        Both by the thread, one after the other: the link could overtake it. Jobs whose files are still being carried to
        their place are committed by whoever carries them.
        """
        ids = [job.id for job in jobs]
        if carrying is not None:
            carrying.add_done_callback(lambda done: self._let_go_by_thread(ids))
            return
        self._writer.post(lambda store: store.insert(jobs))
        self._let_go_by_thread(ids)

    def _unhold(self, store: Store) -> None:
        with self._lock:
            ids, self._ended = self._ended, []
        store.unhold(self.holder(), ids)

    def _told(self, done: Future[None]) -> None:
        error = done.exception()
        if error is None:
            self._writer.ring()
        else:
            _log.error("held jobs not released: %s; a worker releases them once this server has ended", error)
