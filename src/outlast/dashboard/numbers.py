"""What workers have counted, as the charts and tables show it: over an hour by minutes, or over a day by hours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from outlast.clock import span, to_instant, to_micros
from outlast.job import JobRecord
from outlast.statistics import Histogram, Statistics
from outlast.store import Store

_NO_COUNTS = (0,)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time in steps."""

    word: str
    told: str
    step: timedelta
    steps: int

    def starts(self, now: datetime) -> list[datetime]:
        """When each step begins, up to the one that now lies in."""
        micros, last = span(self.step), to_micros(now)
        last -= last % micros
        return [to_instant(last - back * micros) for back in reversed(range(self.steps))]


HOUR = Period("hour", "the last hour", timedelta(minutes=1), 60)
DAY = Period("day", "the last 24 hours", timedelta(hours=1), 24)
PERIODS = {period.word: period for period in (HOUR, DAY)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """What was counted, in all and in each step."""

    period: Period
    starts: list[datetime]
    succeeded: list[int]
    failed: list[int]
    """For good."""
    retried: list[int]
    """Attempts that failed and are tried again."""
    run: list[Histogram]
    late: list[Histogram]
    depth: list[int | None]

    @property
    def all_run(self) -> Histogram:
        return _sum(self.run)

    @property
    def all_late(self) -> Histogram:
        return _sum(self.late)

    @property
    def failure_share(self) -> float | None:
        """The part of the attempts that came to an end of their own and failed; None when none has."""
        bad = sum(self.failed) + sum(self.retried)
        ended = bad + sum(self.succeeded)
        return bad / ended if ended else None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNumbers:
    """What was counted of one task."""

    task: str
    queues: list[str]
    numbers: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """Every task that was counted in a period."""

    now: datetime
    tasks: list[TaskNumbers]


def of_all(store: Store, period: Period) -> Numbers:
    """Of all tasks together."""
    starts = period.starts(to_instant(store.clock.now()))
    depths = store.depths(starts[0], step=period.step)
    return _numbers(store.statistics(starts[0], step=period.step), period, starts, depths)


def of_tasks(store: Store, period: Period) -> Tasks:
    """Of each task, those that ran most first."""
    now = to_instant(store.clock.now())
    starts = period.starts(now)
    by_task: dict[str, list[Statistics]] = {}
    for each in store.statistics(starts[0], step=period.step):
        by_task.setdefault(each.task, []).append(each)
    tasks = [
        TaskNumbers(
            task=task,
            queues=sorted({each.queue for each in counted}),
            numbers=_numbers(counted, period, starts, {}),
        )
        for task, counted in by_task.items()
    ]
    return Tasks(now=now, tasks=sorted(tasks, key=lambda each: (-each.numbers.all_run.count, each.task)))


def slowest(store: Store, task: str | None) -> list[JobRecord]:
    """The runs that took longest of those that ended last."""
    return store.slowest(task=task)


def _numbers(
    counted: Iterable[Statistics], period: Period, starts: Sequence[datetime], depths: dict[datetime, int]
) -> Numbers:
    steps: dict[datetime, list[Statistics]] = {start: [] for start in starts}
    for each in counted:
        if each.start in steps:
            steps[each.start].append(each)
    return Numbers(
        period=period,
        starts=[*starts],
        succeeded=[sum(each.succeeded for each in step) for step in steps.values()],
        failed=[sum(sum(each.failed.values()) for each in step) for step in steps.values()],
        retried=[sum(each.retried for each in step) for step in steps.values()],
        run=[_sum(each.run for each in step) for step in steps.values()],
        late=[_sum(each.late for each in step) for step in steps.values()],
        depth=[depths.get(start) for start in starts],
    )


def _sum(histograms: Iterable[Histogram]) -> Histogram:
    many = [each for each in histograms if each.count]
    if not many:
        return Histogram(_NO_COUNTS, timedelta(0))
    counts = tuple(map(sum, zip(*(each.counts for each in many), strict=True)))
    return Histogram(counts, sum((each.total for each in many), timedelta(0)))
