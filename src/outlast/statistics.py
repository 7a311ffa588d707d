"""What workers count of the attempts of each task, minute by minute: the words for it, and what it says. Pure.

A `Count` is a row on its way to the store; `Statistics` is what the store tells of a stretch of time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate
from typing import NamedTuple

from outlast.job import Reason

_BOUNDS = (5, 10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 1_800_000)
BOUNDS = tuple(timedelta(milliseconds=bound) for bound in _BOUNDS)
"""The upper bounds of a histogram's buckets; one more bucket has what is above them all."""
_BOUNDS_IN_MICROS = tuple(bound * 1000 for bound in _BOUNDS)
_BUCKETS = len(BOUNDS) + 1

ENDINGS = ("succeeded", "retried", "released", "cancelled", *(f"failed_{reason}" for reason in Reason))
"""What became of a job by the end of an attempt. Retried: it failed and is tried again. Released: it was given back
unharmed. Failed, with the reason: for good."""
_RUN, _LATE = "run", "late"
COLUMNS = (
    "started",
    *ENDINGS,
    *(f"{what}_time" for what in (_RUN, _LATE)),
    *(f"{what}_{bucket}" for what in (_RUN, _LATE) for bucket in range(_BUCKETS)),
)
"""What is counted, in the order of a Count's numbers. Times are sums of microseconds."""
PLACE = {name: place for place, name in enumerate(COLUMNS)}
_RUN_TIME, _LATE_TIME = PLACE["run_time"], PLACE["late_time"]
_RUN_0, _LATE_0 = PLACE["run_0"], PLACE["late_0"]

MINUTE = 60_000_000
HOUR = 60 * MINUTE
EVER = 0
"""As the length of a row: since the store was made."""
KEPT = {MINUTE: timedelta(hours=48), HOUR: timedelta(days=30)}
"""For how long the rows of each length are kept."""


class Count(NamedTuple):
    """What was counted of one task in one queue in one minute."""

    minute: int
    """Its beginning (µs)."""
    task: str
    queue: str
    numbers: list[int]
    """One for each of COLUMNS."""


def nothing() -> list[int]:
    """The numbers of a Count that has counted nothing."""
    return [0] * len(COLUMNS)


def count_start(numbers: list[int], late: int) -> None:
    """An attempt that began so long (µs) after its job was due."""
    numbers[0] += 1
    if late > 0:  # else somebody's clock is ahead
        numbers[_LATE_TIME] += late
    numbers[_LATE_0 + bisect_left(_BOUNDS_IN_MICROS, late)] += 1


def count_end(numbers: list[int], ending: int, took: int) -> None:
    """The end of an attempt that took so long (µs). `ending`: the place of one of ENDINGS."""
    numbers[ending] += 1
    numbers[_RUN_TIME] += took
    numbers[_RUN_0 + bisect_left(_BOUNDS_IN_MICROS, took)] += 1


def rows_of(counts: Sequence[Count]) -> dict[tuple[int, int, str, str], list[int]]:
    """By length, beginning, task and queue, in this order: what is to be added to the row of each minute, each hour,
    and of all time."""
    rows: dict[tuple[int, int, str, str], list[int]] = {}
    for minute, task, queue, numbers in counts:
        for length, start in ((MINUTE, minute), (HOUR, minute - minute % HOUR), (EVER, 0)):
            sums = rows.setdefault((length, start, task, queue), nothing())
            sums[:] = map(sum, zip(sums, numbers, strict=True))
    return dict(sorted(rows.items()))


# ---- what people are told ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Histogram:
    """How long something took, over many times."""

    counts: tuple[int, ...]
    """How often it took up to each of BOUNDS and more than the one before; last, how often it took longer than all."""
    total: timedelta

    @property
    def count(self) -> int:
        """How often it was measured."""
        return sum(self.counts)

    def quantile(self, share: float) -> timedelta | None:
        """What this share of them did not exceed, estimated within the bucket; None when there were none.

        What lies above all bounds is told as the last of them.
        """
        wanted = share * self.count
        if not self.count:
            return None
        below = 0
        for place, upto in enumerate(accumulate(self.counts)):
            if upto >= wanted and upto > below:
                return _within(place, (wanted - below) / (upto - below))
            below = upto
        return BOUNDS[-1]


def _within(bucket: int, share: float) -> timedelta:
    if bucket == len(BOUNDS):
        return BOUNDS[-1]
    low = BOUNDS[bucket - 1] if bucket else timedelta(0)
    return low + (BOUNDS[bucket] - low) * max(0.0, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """What was counted of one task in one queue, from `start` on."""

    start: datetime
    task: str
    queue: str
    started: int
    """Attempts that began."""
    succeeded: int
    """Jobs that did."""
    retried: int
    """Attempts that failed and are tried again."""
    released: int
    """Attempts that were given back unharmed: shutdown, snooze, a worker's death."""
    cancelled: int
    """Jobs that were."""
    failed: Mapping[Reason, int]
    """Jobs that failed for good, by the reasons there were."""
    run: Histogram
    """How long attempts took."""
    late: Histogram
    """How long after they were due attempts began."""


def statistics_of(start: datetime, task: str, queue: str, numbers: Sequence[int]) -> Statistics:
    """What the store tells of one task in one queue; the numbers in the order of COLUMNS."""
    named = dict(zip(COLUMNS, numbers, strict=True))
    failed = {reason: named[f"failed_{reason}"] for reason in Reason}
    return Statistics(
        start=start,
        task=task,
        queue=queue,
        started=named["started"],
        succeeded=named["succeeded"],
        retried=named["retried"],
        released=named["released"],
        cancelled=named["cancelled"],
        failed={reason: count for reason, count in failed.items() if count},
        run=_histogram(_RUN, named),
        late=_histogram(_LATE, named),
    )


def _histogram(what: str, named: Mapping[str, int]) -> Histogram:
    counts = tuple(named[f"{what}_{bucket}"] for bucket in range(_BUCKETS))
    return Histogram(counts, timedelta(microseconds=named[f"{what}_time"]))
