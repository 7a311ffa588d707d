"""Whether a worker that the store knows is alive, as others see it. What is done about the dead is left to workers."""

from __future__ import annotations

from contextlib import suppress

from outlast import locks
from outlast.clock import to_micros
from outlast.errors import OutlastError
from outlast.premises import Premises
from outlast.store import Store, WorkerRecord


def living(store: Store) -> list[WorkerRecord]:
    """The workers that are alive."""
    return [worker for worker in store.workers() if is_alive(store, worker)]


def is_alive(store: Store, worker: WorkerRecord) -> bool:
    """By its lock, where that can be seen; else by its lease."""
    if store.url.endswith(":memory:"):
        return True  # nobody but this process can have entered
    if store.url.startswith("sqlite:"):
        with suppress(OSError, OutlastError):
            return not locks.is_free(Premises(store.url).worker(worker.id))
    return to_micros(worker.lease_until) > store.clock.now()
