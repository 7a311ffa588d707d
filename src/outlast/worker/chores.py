"""What a worker does now and then for the store's health. Every worker does them; each is safe to do twice.

1. Fail what has expired.
2. Rescue the jobs of dead workers: on this machine those whose lock is free, and whose children's locks are, too;
   elsewhere those whose lease is over.
3. Let go what dead servers held.
4. Prune what ended long ago.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from outlast import locks
from outlast.address import is_postgres
from outlast.clock import span, to_micros
from outlast.premises import Premises
from outlast.store import Settled, Store, WorkerRecord
from outlast.store.liveness import is_alive
from outlast.worker import events

_PRUNED = 1000
"""Jobs pruned in a round: a few milliseconds."""
_ORPHAN_PATIENCE = 2.0
"""Seconds to wait for a killed orphan to be gone before its jobs are left for the next round."""
_HELD_ELSEWHERE = timedelta(minutes=1)
"""How long a server on a machine without a living worker may hold a job: nobody can see whether it lives."""


class Done(NamedTuple):
    """What a round did and leaves to do."""

    settled: list[Settled]
    """Jobs that expired or were rescued."""
    is_more: bool
    """Whether there is more to prune than it took."""
    files: list[str]
    """Those that may be unused now."""


def do(store: Store, premises: Premises, worker: str, retention: timedelta) -> Done:
    """All of them, once. Raises StoreError."""
    settled = store.expire()
    events.expired(settled)
    settled += bury_the_dead(store, premises, worker)
    pruned = store.prune(retention, limit=_PRUNED)
    return Done(settled, pruned.jobs == _PRUNED, pruned.files)


def bury_the_dead(store: Store, premises: Premises, worker: str | None = None) -> list[Settled]:
    """Rescue the jobs of dead workers other than this one, and let go what dead servers held.

    Returns the jobs that were rescued. Raises StoreError.
    """
    rescued: list[Settled] = []
    others = [other for other in store.workers() if other.id != worker]
    living = [other for other in others if is_alive(store, other, premises)]
    for other in others:
        if other not in living:
            rescued += _rescue(store, premises, other)
    for server, since in store.holders():
        if _has_left(server, since, store, premises, living):
            events.unheld(server, store.unhold(server))
            premises.server(server).unlink(missing_ok=True)
    return rescued


def _has_left(
    server: str, since: int, store: Store, premises: Premises, living: Collection[WorkerRecord]
) -> bool:
    """Whether a server that holds jobs is dead. A worker beside it sees its lock; where none lives, time tells."""
    its_premises = server.partition(".")[0]
    if its_premises == premises.id or not is_postgres(store.url):
        return locks.is_free(premises.server(server))
    is_minded = any(worker.premises == its_premises for worker in living)
    return not is_minded and since + span(_HELD_ELSEWHERE) < store.clock.now()


def _rescue(store: Store, premises: Premises, worker: WorkerRecord) -> list[Settled]:
    """No job is started beside a live orphan of its own: first its children must be gone."""
    if worker.engine is not None and _is_kept(worker, store, premises):
        return []  # its keeper knows more of how it died
    children = premises.children(worker.id)
    orphans = [locks.holder(child) for child in children]
    for orphan in orphans:
        _kill(orphan)
    if not _are_free(children, patience=_ORPHAN_PATIENCE if any(orphans) else 0.0):
        events.orphans_live(worker.id)
        return []
    rescued = store.rescue(worker.id)
    events.rescued(worker.id, rescued)
    for path in (*children, premises.worker(worker.id)):
        path.unlink(missing_ok=True)
    return rescued


def _is_kept(worker: WorkerRecord, store: Store, premises: Premises) -> bool:
    """Whether its keeper lives, or may still be starting."""
    lock = premises.keeper(worker.id)
    if not lock.exists():
        return to_micros(worker.lease_until) > store.clock.now()
    return not locks.is_free(lock)


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
