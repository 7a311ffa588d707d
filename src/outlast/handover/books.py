"""What the store has still to hear from a process of an engine: what its attempts have told, and what was counted.

Used on the store's thread alone. What the store could not take is offered again with whatever comes next.
"""

from __future__ import annotations

from outlast.clock import steady
from outlast.errors import StoreError
from outlast.job import Claimed, Ended, Told
from outlast.store import Settled, Store
from outlast.worker import events
from outlast.worker.running import Running
from outlast.worker.tally import Tally
from outlast.worker.telling import merged


class Books:
    """Those of one process."""

    def __init__(self) -> None:
        self._tally = Tally()
        self._told: dict[tuple[str, int], Told] = {}

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
            fence = (each.id, each.attempt)
            self._told[fence] = merged(self._told[fence], each) if fence in self._told else each
        self._keep(store)

    def settle(self, running: Running, end: Ended, store: Store) -> Settled:
        """End an attempt, after what it has told: nothing more is kept of one that has ended. Raises StoreError."""
        self._keep(store)
        (settled,) = store.settle([end])
        self._tally.turn(store.clock.now())
        self._tally.ended(running.job, settled.ending, steady() - running.since)
        return settled

    def write(self, store: Store) -> None:
        """Write what was counted. Raises StoreError, and then keeps it."""
        self._tally.write(store)

    def _keep(self, store: Store) -> None:
        """One by one: what cannot be written of one is lost, and takes nothing else with it."""
        for fence, told in list(self._told.items()):
            try:
                store.keep([told])
            except StoreError:
                raise
            except Exception as error:
                events.not_kept(told.id, error)
            del self._told[fence]
