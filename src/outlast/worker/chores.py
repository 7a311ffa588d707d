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
from pathlib import Path
from typing import NamedTuple

from outlast import locks
from outlast.clock import to_micros
from outlast.premises import Premises
from outlast.store import Store, WorkerRecord
from outlast.worker import events

_PRUNED = 1000
"""Jobs pruned in a round: a few milliseconds."""
_ORPHAN_PATIENCE = 2.0
"""Seconds to wait for a killed orphan to be gone before its jobs are left for the next round."""


class Done(NamedTuple):
    """What a round leaves to do: whether there is more to prune than it took, and files that may be unused now."""

    is_more: bool
    files: list[str]


def do(store: Store, premises: Premises, worker: str, retention: timedelta) -> Done:
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
    pruned = store.prune(retention, limit=_PRUNED)
    return Done(pruned.jobs == _PRUNED, pruned.files)


def _is_dead(store: Store, premises: Premises, worker: WorkerRecord) -> bool:
    """On this machine the lock tells, whatever the clock says; elsewhere only the lease can."""
    if worker.host == socket.gethostname() or store.url.startswith("sqlite:"):
        return locks.is_free(premises.worker(worker.id))
    return to_micros(worker.lease_until) < store.clock.now()


def _rescue(store: Store, premises: Premises, worker: WorkerRecord) -> None:
    """No job is started beside a live orphan of its own: first its children must be gone."""
    children = premises.children(worker.id)
    orphans = [locks.holder(child) for child in children]
    for orphan in orphans:
        _kill(orphan)
    if not _are_free(children, patience=_ORPHAN_PATIENCE if any(orphans) else 0.0):
        events.orphans_live(worker.id)
        return
    events.rescued(worker.id, store.rescue(worker.id))
    for path in (*children, premises.worker(worker.id)):
        path.unlink(missing_ok=True)


def _are_free(children: list[Path], patience: float) -> bool:
    give_up_at = time.monotonic() + patience
    while not all(locks.is_free(child) for child in children):
        if time.monotonic() >= give_up_at:
            return False
        time.sleep(0.005)
    return True


def _kill(pid: int | None) -> None:
    """A child and what its tasks forked off. One that lives where we cannot name it (0) ends by itself."""
    if pid:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
