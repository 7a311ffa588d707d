"""What a worker does now and then for the store's health. Every worker does them; each is safe to do twice.

1. Fail what has expired.
2. Rescue the jobs of dead workers: on this machine those whose lock is free, and whose children's locks are, too.
3. Let go what dead servers held.
4. Prune what ended long ago.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from datetime import timedelta

from outlast import locks
from outlast.clock import to_micros
from outlast.premises import Premises
from outlast.store import Store, WorkerRecord
from outlast.worker import events

_ORPHAN_PATIENCE = 2.0
"""Seconds to wait for a killed orphan to be gone before its jobs are left for the next round."""


def do(store: Store, premises: Premises, worker: str, retention: timedelta) -> None:
    """All of them, once. Raises StoreError."""
    events.expired(store.expire())
    for other in store.workers():
        if other.id != worker and _is_dead(store, premises, other):
            _rescue(store, premises, other)
    for server in store.holders():
        lock = premises.server(server)
        if locks.is_free(lock):
            events.unheld(server, store.unhold(server))
            lock.unlink(missing_ok=True)
    store.prune(retention)


def _is_dead(store: Store, premises: Premises, worker: WorkerRecord) -> bool:
    """On this machine the lock tells, whatever the clock says; elsewhere only the lease can."""
    if worker.host == socket.gethostname() or store.url.startswith("sqlite:"):
        return locks.is_free(premises.worker(worker.id))
    return to_micros(worker.lease_until) < store.clock.now()


def _rescue(store: Store, premises: Premises, worker: WorkerRecord) -> None:
    """No job is started beside a live orphan of its own: first its children must be gone."""
    children = premises.children(worker.id)
    for child in children:
        _kill(locks.holder(child))
    give_up_at = time.monotonic() + _ORPHAN_PATIENCE
    while not all(locks.is_free(child) for child in children):
        if time.monotonic() > give_up_at:
            events.orphans_live(worker.id)
            return
        time.sleep(0.005)
    events.rescued(worker.id, store.rescue(worker.id))
    for path in (*children, premises.worker(worker.id)):
        path.unlink(missing_ok=True)


def _kill(pid: int | None) -> None:
    """A child and what its tasks forked off. One that lives where we cannot name it (0) ends by itself."""
    if pid:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
