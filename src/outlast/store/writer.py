"""How the jobs of one process get to disk: through the supervisor where one answers, else through a thread of its own.

1. `acommit` sends the rows down the link to the supervisor, which alone writes and answers once they are flushed.
2. Where no supervisor answers, the thread commits whatever waits as one transaction (group commit), and rings.
3. Everything else that asks the store (`call`, `acall`) goes through the thread, so that one connection serves.

Both ways are safe to mix: rows carry ids made here, and a row that is already there is not written again.
"""

from __future__ import annotations

import asyncio
import os
import queue
import random
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar
from weakref import WeakSet

from outlast import locks
from outlast.address import is_postgres
from outlast.clock import Clock
from outlast.errors import NotConfirmed, StoreError
from outlast.job import NewJob, new_id
from outlast.premises import Premises
from outlast.store import Store, open_store
from outlast.store.link import Link, LinkLost, ring
from outlast.store.postgres_clock import DatabaseClock

T = TypeVar("T")
Ask = Callable[[Store], Any]
_MOST_ROWS = 5000
"""Rows of one group commit, so that no request waits for an endless transaction."""


class Writer:
    """The way to the store for one process. Safe to make before a fork, and to use from any thread or loop."""

    def __init__(
        self, url: str, *, clock: Clock | None = None, dice: Callable[[], float] = random.random
    ) -> None:
        self.url = url
        self._clock = clock
        self._open = partial(open_store, url, clock=clock, dice=dice)
        self._premises = None if ":memory:" in url else Premises(url)
        self._is_shared = is_postgres(url)
        self._link: Link | None = None
        self._thread: _StoreThread | None = None
        self._starting = threading.Lock()
        self._server: str | None = None
        _writers.add(self)

    @property
    def is_open(self) -> bool:
        """Whether its thread has been begun, or its link."""
        return self._thread is not None or self._link is not None

    def commit(self, jobs: Sequence[NewJob], *, timeout: timedelta) -> None:
        """Write jobs, all or none, on disk when this returns. Raises NotConfirmed."""
        future = self._hand_over(jobs)
        try:
            future.result(timeout.total_seconds())
        except TimeoutError:
            raise _out_of_time(timeout) from None

    async def acommit(self, jobs: Sequence[NewJob], *, timeout: timedelta) -> None:
        """Write jobs, all or none, on disk when this returns. Raises NotConfirmed."""
        link = self._open_link()
        if link is not None:
            if self.is_behind():
                self._hand_over(_look)
            try:
                await link.insert(jobs)
                return
            except LinkLost:  # it may have been written or not: the thread writes what is missing
                pass
        await _bounded(asyncio.wrap_future(self._hand_over(jobs)), timeout)

    def unhold(self, ids: Sequence[str]) -> asyncio.Future[None] | None:
        """Let jobs go that this process holds, down the link; None where no supervisor answers."""
        link = self._open_link()
        return None if link is None else link.unhold(self.server(), ids)

    def call(self, ask: Callable[[Store], T]) -> T:
        """Ask the store something, on the thread that owns it."""
        answer: T = self._hand_over(ask).result()
        return answer

    async def acall(self, ask: Callable[[Store], T]) -> T:
        """`call` without blocking the loop."""
        answer: T = await asyncio.wrap_future(self._hand_over(ask))
        return answer

    def post(self, ask: Callable[[Store], T]) -> Future[T]:
        """`call` without waiting; the future tells how it ended."""
        return self._hand_over(ask)

    def ring(self) -> None:
        """Tell the supervisor, if there is one, that something may be claimed; and those of other machines."""
        self._ring_here()
        if self._is_shared:
            self._hand_over(_announce)

    def _ring_here(self) -> None:
        if self._premises is not None:
            ring(self._premises.socket)

    def _tell(self, store: Store) -> None:
        """Once for all that was written together: a bell for each caller takes longer than its row."""
        self._ring_here()
        if self._is_shared:
            _announce(store)

    def is_behind(self) -> bool:
        """Whether this process does not know (any more) what time its store has: asking it anything helps."""
        return isinstance(self._clock, DatabaseClock) and self._clock.is_due()

    def server(self) -> str:
        """The id under which this process holds jobs. From now on it has a lock, so that its death is seen."""
        if self._server is None:
            self._server = new_id()
            if self._premises is not None:
                self._server = f"{self._premises.id}.{self._server}"
                locks.acquire(self._premises.server(self._server))
        return self._server

    def close(self) -> None:
        """End the thread and the link. What was handed over before is written."""
        if self._link is not None:
            self._link.close()
        with self._starting:
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()
        if self._server is not None and self._premises is not None:
            locks.release(self._premises.server(self._server), remove=True)
        self._link = self._server = None

    def _hand_over(self, item: Ask | Sequence[NewJob]) -> Future[Any]:
        """To the thread, begun if need be. Under the lock: nothing is handed to one that was told to stop."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                self._thread = _StoreThread(self._open, self._tell)
            return self._thread.put(item)

    def _open_link(self) -> Link | None:
        """The link of the running loop, if it is up. A broken one is tried again now and then, without waiting."""
        if self._premises is None:
            return None
        loop = asyncio.get_running_loop()
        if self._link is None or self._link.loop is not loop:
            self._link = Link(self._premises.socket, loop)
        return self._link if self._link.is_up() else None

    def forget(self) -> None:
        """In a forked child: what the parent has open is the parent's."""
        self._link = self._thread = self._server = None
        self._starting = threading.Lock()


_writers: WeakSet[Writer] = WeakSet()


def _forget_parents() -> None:
    for writer in _writers:
        writer.forget()


os.register_at_fork(after_in_child=_forget_parents)


class _StoreThread(threading.Thread):
    """Owns the store's connection. Inserts that wait are committed together, and then told; asks run one by one."""

    def __init__(self, open_store: Callable[[], Store], tell: Callable[[Store], None]) -> None:
        super().__init__(name="outlast-store", daemon=True)
        self._open = open_store
        self._tell = tell
        self._store: Store | None = None
        self._inbox: queue.SimpleQueue[tuple[Ask | Sequence[NewJob] | None, Future[Any]]] = (
            queue.SimpleQueue()
        )
        self.start()

    def stop(self) -> None:
        self.put(None)
        self.join()

    def put(self, item: Ask | Sequence[NewJob] | None) -> Future[Any]:
        future: Future[Any] = Future()
        self._inbox.put((item, future))
        return future

    def run(self) -> None:
        try:
            while self._round():
                pass
        finally:
            if self._store is not None:
                self._store.close()

    def _round(self) -> bool:
        """Take what waits, commit its inserts as one, then answer what asks. False when told to stop."""
        inserts: list[tuple[Sequence[NewJob], Future[Any]]] = []
        asks: list[tuple[Ask, Future[Any]]] = []
        stop = False
        for item, future in self._waiting():
            if item is None:
                stop = True
            elif callable(item):
                asks.append((item, future))
            else:
                inserts.append((item, future))
        if inserts:
            self._insert(inserts)
        for ask, future in _once_announced(asks):
            _settle(future, lambda ask=ask: ask(self._opened()))  # type: ignore[misc]
        return not stop

    def _waiting(self) -> list[tuple[Ask | Sequence[NewJob] | None, Future[Any]]]:
        taken = [self._inbox.get()]
        rows = 0
        with suppress(queue.Empty):
            while rows < _MOST_ROWS:
                taken.append(self._inbox.get_nowait())
                item = taken[-1][0]
                rows += 1 if item is None or callable(item) else len(item)
        return taken

    def _insert(self, inserts: list[tuple[Sequence[NewJob], Future[Any]]]) -> None:
        """One commit for all; if it fails each is tried alone, so that nobody pays for another's bad row."""
        rows = [job for jobs, _ in inserts for job in jobs]
        try:
            self._opened().insert(rows)
        except Exception as error:
            if len(inserts) == 1:
                _fail(inserts[0][1], error)
                return
            for jobs, future in inserts:
                _settle(future, lambda jobs=jobs: self._opened().insert(jobs))  # type: ignore[misc]
        else:
            for _, future in inserts:
                _settle(future, lambda: None)
        if self._store is not None:
            self._tell(self._store)

    def _opened(self) -> Store:
        if self._store is None:
            self._store = self._open()
        return self._store


def _look(store: Store) -> None:
    """Ask something small."""
    store.workers()


def _announce(store: Store) -> None:
    """Whoever hears nothing finds what is there a second later."""
    with suppress(StoreError):
        store.announce()


def _once_announced(asks: list[tuple[Ask, Future[Any]]]) -> list[tuple[Ask, Future[Any]]]:
    """Everything else first, then one announcement for all who want one: it makes commits wait for each other."""
    announcements = [each for each in asks if each[0] is _announce]
    return [each for each in asks if each[0] is not _announce] + announcements[:1]


def _settle(future: Future[Any], work: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        work()  # nobody waits any more, but what was handed over is done
        return
    try:
        future.set_result(work())
    except Exception as error:
        future.set_exception(error)


def _fail(future: Future[Any], error: Exception) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)


async def _bounded(work: Awaitable[T], timeout: timedelta) -> T:
    try:
        async with asyncio.timeout(timeout.total_seconds()):
            return await asyncio.shield(work)
    except TimeoutError:
        raise _out_of_time(timeout) from None


def _out_of_time(timeout: timedelta) -> StoreError:
    return NotConfirmed(
        f"the store did not confirm within {timeout.total_seconds():g} s; "
        "the jobs may be written or not, and sending the request again is safe for the store"
    )
