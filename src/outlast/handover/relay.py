"""The relay: the supervisor's child that has the user's app, and so the brokers to which it publishes.

1. It takes its lock, imports the app, and says `ready`. It enters no lifespan and runs no job.
2. Each handover has a thread of its own, so that a broker that hangs delays nobody else's messages.
3. It tells which messages the broker has, and which it could not be given; what becomes of those is the supervisor's.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, cast

from outlast.handover.base import BaseHandover
from outlast.handover.natives import Natives, is_native
from outlast.job import Offered
from outlast.queue import TaskQueue
from outlast.worker import child, sweeps

_IDLE = 1.0
"""Seconds after which an idle connection is closed: an old one may be dead, which would show only when it is used."""


def main(descriptor: int) -> None:
    """Serve the supervisor at the other end of a socket until it says `quit` or goes away."""
    child.begin(descriptor, lambda channel, orders, queue: Relay(channel, queue, orders).serve())


class Relay:
    """Publishes what the supervisor sends."""

    def __init__(self, channel: child.Channel, queue: TaskQueue, orders: dict[str, Any]) -> None:
        self._channel = channel
        self._queue = queue
        self._may_sweep = queue.url == orders["url"]
        self._natives = Natives(queue, orders["worker"])
        self._outlets: dict[int, Outlet] = {}

    def serve(self) -> None:
        """Until told to quit; what was sent before is published."""
        self._natives.watch()
        self._channel.send("ready")
        while True:
            verb, *rest = self._channel.receive()
            if verb == "publish":
                self._publish([Offered(*job) for job in rest[0]])
            elif verb == "sweep" and self._may_sweep:
                sweep = partial(sweeps.sweep, self._queue.sweep_files, rest[0])
                threading.Thread(target=sweep, name="outlast-sweeper", daemon=True).start()
            elif verb == "quit":
                break
        for outlet in self._outlets.values():
            outlet.finish()

    def _publish(self, jobs: Sequence[Offered]) -> None:
        for queue, of_queue in _by_queue(jobs).items():
            handover = self._queue.handover_of(queue)
            if handover is None:
                self._unsent(of_queue, f"the app's code does not hand queue {queue} over (any more)")
            else:
                self._outlet(cast("BaseHandover", handover)).put(of_queue)

    def _outlet(self, handover: BaseHandover) -> Outlet:
        if id(handover) not in self._outlets:
            self._outlets[id(handover)] = Outlet(self._channel, handover, self._natives)
        return self._outlets[id(handover)]

    def _unsent(self, jobs: Sequence[Offered], why: str) -> None:
        self._channel.send("unsent", _fences(jobs), why)


class Outlet:
    """The way to one broker, with the thread that goes it."""

    def __init__(self, channel: child.Channel, handover: BaseHandover, natives: Natives) -> None:
        self._channel = channel
        self._handover = handover
        self._natives = natives
        self._publisher = handover.publisher()
        self._jobs: SimpleQueue[Sequence[Offered] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="outlast-outlet", daemon=True)
        self._thread.start()

    def put(self, jobs: Sequence[Offered]) -> None:
        """Publish jobs of one queue, soon."""
        self._jobs.put(jobs)

    def finish(self) -> None:
        """Wait until what was put before is published."""
        self._jobs.put(None)
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                jobs = self._jobs.get(timeout=_IDLE)
            except Empty:
                self._publisher.close()
                jobs = self._jobs.get()
            if jobs is None:
                break
            self._publish(jobs)
        self._publisher.close()

    def _publish(self, jobs: Sequence[Offered]) -> None:
        """One after the other. Where one fails the rest is not tried: each would wait as long."""
        for number, job in enumerate(jobs):
            try:
                if is_native(job):
                    self._natives.publish(self._publisher, self._handover, job)
                else:
                    self._publisher.publish(job)
            except Exception as error:
                self._publisher.close()
                self._tell("sent", jobs[:number])
                self._channel.send("unsent", _fences(jobs[number:]), _told(error))
                return
        self._tell("sent", jobs)

    def _tell(self, verb: str, jobs: Sequence[Offered]) -> None:
        if jobs:
            self._channel.send(verb, _fences(jobs))


def _by_queue(jobs: Sequence[Offered]) -> dict[str, list[Offered]]:
    sorted_out: dict[str, list[Offered]] = defaultdict(list)
    for job in jobs:
        sorted_out[job.queue].append(job)
    return sorted_out


def _fences(jobs: Sequence[Offered]) -> list[tuple[str, int]]:
    return [(job.id, job.attempt) for job in jobs]


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
