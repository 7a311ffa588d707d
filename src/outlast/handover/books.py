"""What the store has still to hear from a process of an engine: what its attempts have told, and what was counted.

Used on the store's thread alone. What the store could not take is offered again with whatever comes next.
"""

from __future__ import annotations

from outlast.clock import steady
from outlast.job import Claimed, Ended, Told
from outlast.store import Settled, Store
from outlast.worker.running import Running
from outlast.worker.tally import Tally
from outlast.worker.telling import Unwritten


class Books:
    """Those of one process."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._unwritten = Unwritten()

    @property
    def write_at(self) -> float:
        """When `write` has something to do (steady clock)."""
        return self._tally.write_at

    def started(self, job: Claimed, store: Store) -> None:
        """An attempt has begun."""
        self._tally.turn(store.clock.now())
        self._tally.started(job)

    def keep(self, told: list[Told], store: Store) -> None:
        """Write what attempts tell. Raises StoreError, and then keeps it."""
        for each in told:
            self._unwritten.add(each)
        self._unwritten.write_one_by_one(store)

    def settle(self, running: Running, end: Ended, store: Store) -> Settled:
        """End an attempt, after what it has told: nothing more is kept of one that has ended. Raises StoreError."""
        self._unwritten.write_one_by_one(store)
        (settled,) = store.settle([end])
        self._tally.turn(store.clock.now())
        self._tally.ended(running.job, settled.ending, steady() - running.since)
        return settled

    def write(self, store: Store) -> None:
        """Write what was counted. Raises StoreError, and then keeps it."""
        self._tally.write(store)
