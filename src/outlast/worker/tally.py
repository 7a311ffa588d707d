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

Key = tuple[int, str, str]


class Tally:
    """The counts that are still to be written."""

    def __init__(self) -> None:
        self.write_at = _NEVER
        """When `write` has something to do (steady clock)."""
        self._counts: dict[Key, list[int]] = {}

    def started(self, job: Claimed, now: int) -> None:
        """An attempt has begun; `now` in microseconds."""
        count_start(self._of(now, job.task, job.queue), max(0, now - job.run_at))

    def ended(self, job: Claimed, ending: Ending | None, seconds: float, now: int) -> None:
        """An attempt has ended. One that had lost the fence is counted where its successor is."""
        if ending is not None:
            count_end(self._of(now, job.task, job.queue), _place(ending), int(seconds * 1e6))

    def ended_elsewhere(self, settled: Sequence[Settled], now: int) -> None:
        """Jobs that expired, or lost their worker: nobody knows how long they ran."""
        for each in settled:
            if each.ending is not None and each.task is not None and each.queue is not None:
                self._of(now, each.task, each.queue)[_place(each.ending)] += 1

    def write(self, store: Store) -> None:
        """Add it to what the store has. Raises StoreError, and then keeps it."""
        self.write_at = steady() + _EVERY if self._counts else _NEVER
        counts, self._counts = self._counts, {}
        if not counts:
            return
        try:
            store.count([Count(*key, numbers) for key, numbers in counts.items()])
        except BaseException:
            self._put_back(counts)
            raise

    def _of(self, now: int, task: str, queue: str) -> list[int]:
        key = (now - now % MINUTE, task, queue)
        numbers = self._counts.get(key)
        if numbers is None:
            numbers = self._counts[key] = nothing()
            if self.write_at == _NEVER:
                self.write_at = steady() + _EVERY
        return numbers

    def _put_back(self, counts: dict[Key, list[int]]) -> None:
        for key, numbers in counts.items():
            into = self._of(*key)
            into[:] = map(sum, zip(into, numbers, strict=True))


def _place(ending: Ending) -> int:
    if ending.state is State.SUCCEEDED:
        return _SUCCEEDED
    if ending.state is State.FAILED:
        return PLACE[f"failed_{ending.reason}"]
    if ending.state is State.CANCELLED:
        return PLACE["cancelled"]
    return PLACE["retried" if ending.error else "released"]
