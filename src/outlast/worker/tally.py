"""What a worker counts for the statistics of its store: starts, ends, how late and how long.

Counted in memory, written in a transaction of its own every few seconds; what a worker that is killed has not written
is not counted.
"""

from __future__ import annotations

from collections.abc import Sequence

from outlast.clock import steady
from outlast.job import Claimed, State
from outlast.lifecycle import Ending
from outlast.statistics import MINUTE, PLACE, Count, count_end, count_start, nothing
from outlast.store import Settled, Store

_EVERY = 2.0
"""Seconds that something counted waits until it is written."""
_NEVER = float("inf")
_SUCCEEDED = PLACE["succeeded"]


class Tally:
    """The counts that are still to be written. It counts each job twice, so it does little for each."""

    def __init__(self) -> None:
        self.write_at = _NEVER
        """When `write` has something to do (steady clock)."""
        self._now = 0
        self._minute = 0
        self._counts: dict[tuple[str, str], list[int]] = {}
        """Of this minute, by task and queue."""
        self._earlier: list[Count] = []

    def turn(self, now: int) -> None:
        """It is so late (µs): to be said before anything is counted."""
        self._now = now
        if now - self._minute >= MINUTE or now < self._minute:
            self._earlier += self._taken()
            self._minute = now - now % MINUTE

    def started(self, job: Claimed) -> None:
        """An attempt has begun."""
        count_start(
            self._counts.get((job.task, job.queue)) or self._of(job.task, job.queue), self._now - job.run_at
        )

    def ended(self, job: Claimed, ending: Ending | None, seconds: float) -> None:
        """An attempt has ended. One that had lost the fence is counted where its successor is."""
        if ending is not None:
            place = _SUCCEEDED if ending.state is State.SUCCEEDED else _place(ending)
            numbers = self._counts.get((job.task, job.queue)) or self._of(job.task, job.queue)
            count_end(numbers, place, int(seconds * 1e6))

    def ended_elsewhere(self, settled: Sequence[Settled]) -> None:
        """Jobs that expired, or lost their worker: nobody knows how long they ran."""
        for each in settled:
            if each.ending is not None and each.task is not None and each.queue is not None:
                self._of(each.task, each.queue)[_place(each.ending)] += 1

    def write(self, store: Store) -> None:
        """Add it to what the store has. Raises StoreError, and then keeps it."""
        counts = self._earlier + self._taken()
        self._earlier = []
        self.write_at = steady() + _EVERY if counts else _NEVER
        if not counts:
            return
        try:
            store.count(counts)
        except BaseException:
            self._earlier = counts
            raise

    def _taken(self) -> list[Count]:
        counts, self._counts = self._counts, {}
        return [Count(self._minute, task, queue, numbers) for (task, queue), numbers in counts.items()]

    def _of(self, task: str, queue: str) -> list[int]:
        numbers = self._counts.get((task, queue))
        if numbers is None:
            numbers = self._counts[task, queue] = nothing()
            if self.write_at == _NEVER:
                self.write_at = steady() + _EVERY
        return numbers


def _place(ending: Ending) -> int:
    if ending.state is State.FAILED:
        return PLACE[f"failed_{ending.reason}"]
    if ending.state is State.CANCELLED:
        return PLACE["cancelled"]
    return PLACE["retried" if ending.error else "released"]
