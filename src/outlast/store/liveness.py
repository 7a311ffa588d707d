"""Whether a worker that the store knows is alive, as others see it. What is done about the dead is left to workers."""

from __future__ import annotations

from contextlib import suppress

from outlast import locks
from outlast.address import is_postgres
from outlast.clock import to_micros
from outlast.errors import OutlastError
from outlast.premises import Premises
from outlast.store import Store, WorkerRecord


def living(store: Store) -> list[WorkerRecord]:
    """The workers that are alive."""
    return [worker for worker in store.workers() if is_alive(store, worker)]


def is_alive(store: Store, worker: WorkerRecord, premises: Premises | None = None) -> bool:
    """Where its lock can be seen the lock tells, whatever the clock says; else its lease.

    Who uses a file is on its machine. Of others neither the host's name nor a process id would tell: two containers may
    share both, and see none of each other. `premises` are those of the store here, for who has them at hand.
    """
    if store.url.endswith(":memory:"):
        return True  # nobody but this process can have entered
    with suppress(OSError, OutlastError):
        premises = premises or Premises(store.url)
        lock = premises.worker(worker.id)
        if not is_postgres(store.url) or (worker.premises == premises.id and lock.exists()):
            return not locks.is_free(lock)
    return to_micros(worker.lease_until) > store.clock.now()
