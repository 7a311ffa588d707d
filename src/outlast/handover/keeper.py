"""The keeper: a small process beside each process of an engine. It renews that one's lease, also while a job holds the
interpreter, and frees its jobs when it is gone, whatever killed it.

It has a pipe from that process, which closes with it; where a task has forked off another that keeps the pipe open, the
lock tells. Orders come as lines of JSON: which worker to keep, or null, when it leaves by itself.

Where the engine's command outlives a process that runs one job at a time (Celery's pool), the death is held against the
job, as that of a child is anywhere. One that ends the command, too, is nobody's fault.
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from outlast import locks
from outlast.clock import span
from outlast.errors import StoreError
from outlast.job import Crashed
from outlast.premises import Premises
from outlast.store import Settled, Store, clock_of, open_store
from outlast.store.link import ring
from outlast.worker import events, log
from outlast.worker.tally import Tally

_LOOK = 0.5
"""Seconds between looks at the lock."""
_AGAIN = 0.5
"""Seconds until a store that failed is asked again."""
_WAKE = 0.3
"""Seconds after a death until it is asked who else has died of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """Whom to keep."""

    url: str
    worker: str
    lease: timedelta
    command: str | None = None
    """The lock of the engine's command. If it is held when the process that is kept has died, that died alone."""

    def to_line(self) -> bytes:
        return json.dumps({**asdict(self), "lease": span(self.lease)}).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> Orders | None:
        told: dict[str, Any] | None = json.loads(line)
        return None if told is None else cls(**{**told, "lease": timedelta(microseconds=told["lease"])})


_CRASH = Crashed("its process of the engine died", alone=True)
GOODBYE = b"null\n"


def main(descriptor: int) -> None:
    """Keep the worker that the process at the other end of a pipe names."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it leaves when that process does, and not before
    log.set_up("INFO")
    Keeper(descriptor).serve()


class Keeper:
    """Keeps one worker."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._lines = b""
        self._orders: Orders | None = None
        self._store: Store | None = None
        self._renew_at = 0.0

    def serve(self) -> None:
        """Until the worker says goodbye, or is dead: then its jobs are freed."""
        while True:
            for line in self._heard():
                self._orders = Orders.from_line(line)
                if self._orders is None:
                    return
                locks.acquire(Premises(self._orders.url).keeper(self._orders.worker))
                self._renew_at = time.monotonic() + self._orders.lease.total_seconds() / 3
            if self._is_gone():
                break
            self._renew()
        if self._orders is not None:
            self._free(self._orders)

    def _heard(self) -> list[bytes]:
        """Whole lines that have come, after a while at most."""
        if not select.select([self._pipe], [], [], _LOOK)[0]:
            return []
        data = os.read(self._pipe, 1 << 16)
        if not data:
            os.close(self._pipe)
            self._pipe = -1
        *whole, self._lines = (self._lines + data).split(b"\n")
        return whole

    def _is_gone(self) -> bool:
        if self._pipe < 0 or self._orders is None:
            return self._pipe < 0
        return locks.is_free(Premises(self._orders.url).worker(self._orders.worker))

    def _renew(self) -> None:
        orders = self._orders
        if orders is None or time.monotonic() < self._renew_at:
            return
        try:
            self._opened(orders).renew(orders.worker, orders.lease)
        except StoreError as error:
            events.store_failed(error)
            self._renew_at = time.monotonic() + _AGAIN
        else:
            self._renew_at = time.monotonic() + orders.lease.total_seconds() / 3

    def _free(self, orders: Orders) -> None:
        """Tried until the lease is over: then others do it."""
        time.sleep(_WAKE)
        give_up = time.monotonic() + orders.lease.total_seconds()
        while True:
            try:
                self._rescue(orders)
                return
            except StoreError as error:
                events.store_failed(error)
            if time.monotonic() > give_up:
                return
            time.sleep(_AGAIN)

    def _rescue(self, orders: Orders) -> None:
        store, premises = self._opened(orders), Premises(orders.url)
        if orders.command is not None and not locks.is_free(Path(orders.command)):
            freed = store.rescue(orders.worker, _CRASH)
            events.crashed(freed)
        else:
            freed = store.rescue(orders.worker)
            events.rescued(orders.worker, freed)
        _count(store, freed)
        premises.worker(orders.worker).unlink(missing_ok=True)
        locks.release(premises.keeper(orders.worker), remove=True)
        ring(premises.socket)
        store.announce()

    def _opened(self, orders: Orders) -> Store:
        if self._store is None:
            self._store = open_store(orders.url, clock=clock_of(orders.url), create=False)
        return self._store


def _count(store: Store, freed: list[Settled]) -> None:
    tally = Tally()
    tally.turn(store.clock.now())
    tally.ended_elsewhere(freed)
    tally.write(store)
