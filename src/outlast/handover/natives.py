"""Native tasks in the relay: published as the engine's own messages, and read back where the engine tells their end.

A native job is published once the broker can be reached, and marked in the store when the broker has it. From then on
it is never published again; a relay that dies in between publishes it twice. What the engine keeps no result of has
succeeded when it was handed over: nothing more can be known.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta
from typing import cast

from outlast.clock import steady
from outlast.errors import OutlastError, TaskUnknown
from outlast.handed import ENTRUSTED
from outlast.handover.base import BaseHandover, Publisher, raised
from outlast.job import Ended, Offered, Outcome, Released, Succeeded
from outlast.luggage import Signature
from outlast.queue import TaskQueue
from outlast.store import Settled, Store
from outlast.worker import events, executor
from outlast.worker.running import Running

_LOOK = 0.5
"""Seconds between two looks at what the engine tells."""
_PATIENCE = timedelta(days=1)
"""How long an end is waited for: as long as Celery keeps one, by default."""
_log = logging.getLogger("outlast.worker")


def is_native(job: Offered) -> bool:
    """Whether it is a task of an engine's own."""
    return "/" in job.task and ":" not in job.task


class Natives:
    """Publishes native tasks, and settles them."""

    def __init__(self, queue: TaskQueue, worker: str) -> None:
        self._queue = queue
        self._worker = worker
        self._watching = threading.Lock()
        self._is_watched = False

    def publish(self, publisher: Publisher, handover: BaseHandover, job: Offered) -> None:
        """Publish one and say so in the store. Raises what the broker's client raises."""
        record = self._queue.ask(lambda store: store.get(job.id))
        if record.note == ENTRUSTED:
            self._settle(
                handover,
                job,
                raised(f"what became of it is not known: {handover.engine} tells no end of it", ""),
            )
            return
        try:
            func = handover.native_func(job.task)
            args, kwargs = Signature.of(func).unpack(
                self._queue.text(record.luggage, "the arguments of a job")
            )
        except OutlastError as error:
            note = f"{error}; waits for code that has it"
            self._settle(handover, job, Released(note, executor.MISFIT_PAUSE, begun=False))
            return
        publisher.publish_native(job, args, kwargs)
        if handover.tells_end(job.task):
            self._queue.tell(lambda store: store.entrust(job.id, job.attempt, _PATIENCE, note=ENTRUSTED))
            self.watch()
        else:
            self._settle(handover, job, Succeeded())

    def watch(self) -> None:
        """Read back what becomes of native tasks, from now on, if any can be."""
        with self._watching:
            if not self._is_watched and self._entrusted():
                self._is_watched = True
                threading.Thread(target=self._watch, name="outlast-natives", daemon=True).start()

    def _watch(self) -> None:
        pause = threading.Event()
        while not pause.wait(_LOOK):
            try:
                for handover, job in self._entrusted():
                    self._look_at(handover, job)
            except Exception:  # a store or a broker that is away comes back
                _log.exception("what became of native tasks cannot be read; trying again")

    def _look_at(self, handover: BaseHandover, job: Offered) -> None:
        try:
            outcome = handover.end_of(job.task, job.id, job.attempt)
        except TaskUnknown:
            return
        if outcome is not None:
            self._settle(handover, job, outcome)

    def _entrusted(self) -> list[tuple[BaseHandover, Offered]]:
        found = []
        for each in self._queue.handed:
            if each.is_native and each.queue is not None:
                handover = cast("BaseHandover", self._queue.handover_of(each.queue))
                rows = self._queue.ask(lambda store, queue=each.queue: store.entrusted(queue))  # type: ignore[misc]
                found += [
                    (handover, Offered(job_id, attempt, task, each.queue, 0))
                    for job_id, attempt, task in rows
                ]
        return found

    def _settle(self, handover: BaseHandover, job: Offered, outcome: Outcome) -> None:
        """By the fence: another relay may see the same end."""

        def settle(store: Store) -> tuple[Running, Settled] | None:
            with store.transaction(flush=True):
                claimed = store.claim_published(self._worker, job.id, job.attempt, engine=handover.engine)
                if claimed is None:
                    return None
                (settled,) = store.settle([Ended(job.id, job.attempt, outcome)])
                return Running(claimed, steady()), settled

        done = self._queue.tell(settle)
        if done is not None:
            events.attempt_ended(*done)
