"""What makes a process a worker that its store knows: a lock, a row, a lease.

The lock tells those on this machine that it lives, whatever the clock says; the lease tells those elsewhere. One worker
on a machine that serves every queue also has the duty: servers start no other.
"""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from typing import NamedTuple

from outlast import locks
from outlast.clock import steady, to_instant
from outlast.errors import StoreError
from outlast.handed import Handed
from outlast.job import new_id
from outlast.premises import Premises
from outlast.store import Store, WorkerRecord
from outlast.worker.outage import Outage

_TRY_AGAIN = 1.0
"""Seconds until a store that failed is asked again to know us."""


class Standing(NamedTuple):
    """What a worker says of itself, for those who ask why a job does not run."""

    room: int
    """Jobs it can have now: those it runs and those it could start."""
    unknown: tuple[str, ...] = ()
    """Tasks that its code lacks, and the ids of jobs that it leaves to other code because they do not fit its own."""
    is_leaving: bool = False
    """It claims no more by itself."""


class Membership:
    """One worker's standing with its store. `premises` is None for a store that no other process can reach.

    `outage` is told when the store fails.
    """

    def __init__(
        self,
        premises: Premises | None,
        *,
        queues: tuple[str, ...] | None,
        handed: tuple[Handed, ...] = (),
        engine: str | None = None,
        slots: int,
        lease: timedelta,
        outage: Outage | None = None,
    ) -> None:
        self.id = new_id()
        self.is_known = False
        """Whether the store knows this worker; one that it does not know claims nothing."""
        self.renew_at = 0.0
        """When the lease is to be renewed, on the steady clock."""
        self.told: Standing | None = None
        """What the store has been told of us since we entered."""
        self.claimed_at: int | None = None
        """When the store last answered a claim (µs), or none was due. The store is told when the lease is renewed."""
        self._premises = premises
        self._queues = queues
        self._handed = handed
        self._engine = engine
        self._slots = slots
        self._lease = lease
        self._outage = outage or Outage()
        self._until = 0.0

    def lock(self) -> None:
        """From now on others on this machine see that we live."""
        if self._premises is not None:
            locks.acquire(self._premises.worker(self.id))

    def take_duty(self) -> bool:
        """Be the worker that servers look for: if this one serves every queue, and no other on this machine does."""
        return self._queues is None and self._premises is not None and locks.acquire(self._premises.duty)

    def give_up_duty(self) -> None:
        """Leave it to whoever is next."""
        if self._premises is not None:
            locks.release(self._premises.duty)

    def enter(self, store: Store) -> None:
        """Become known to the store. Raises StoreError."""
        self.lock()
        now = to_instant(store.clock.now())
        record = WorkerRecord(
            id=self.id,
            host=socket.gethostname(),
            premises="" if self._premises is None else self._premises.id,
            pid=os.getpid(),
            queues=self._queues,
            handed=self._handed,
            engine=self._engine,
            slots=self._slots,
            started_at=now,
            lease_until=now + self._lease,
        )
        store.enter(record)
        self.is_known, self.told = True, None
        self._prolong(steady())

    def has_news(self, standing: Standing) -> bool:
        """Whether the store knows us, but not yet this of us."""
        return self.is_known and standing != self.told

    def report(self, store: Store, standing: Standing) -> None:
        """Have the store know it. `told` is set by who commits. Raises StoreError."""
        store.report(self.id, room=standing.room, unknown=standing.unknown, is_leaving=standing.is_leaving)

    def keep(self, store: Store) -> bool:
        """Renew the lease, or enter where the store does not know us yet. False when the lease is over.

        After a sleep of the machine it is old, not lost: only a store that says so, or a store that cannot be asked for
        longer than the lease, ends it.
        """
        try:
            if not self.is_known:
                self.enter(store)
                return True
            return self._renew(store, steady())
        except StoreError as error:
            self._outage.failed(error)
            self.renew_at = steady() + min(_TRY_AGAIN, self._lease.total_seconds() / 3)
            return not self.is_known or steady() < self._until

    def _renew(self, store: Store, now: float) -> bool:
        known = store.renew(self.id, self._lease, claimed_at=self.claimed_at)
        self._prolong(now)
        return known

    def _prolong(self, now: float) -> None:
        seconds = self._lease.total_seconds()
        self._until, self.renew_at = now + seconds, now + seconds / 3

    def begin_anew(self) -> None:
        """As another worker, that the store does not know yet. What the old one had is for whoever rescues it."""
        self._unlock(remove=False)
        self.id = new_id()
        self.is_known = False
        self.lock()

    def leave(self, store: Store) -> None:
        """Be no worker any more. Raises StoreError."""
        is_forgotten = store.leave(self.id)
        self.is_known = False
        self._unlock(remove=is_forgotten)

    def _unlock(self, *, remove: bool) -> None:
        """The file stays while the store knows the worker: it says that the worker is dead."""
        if self._premises is not None:
            locks.release(self._premises.worker(self.id), remove=remove)
