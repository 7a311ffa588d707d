"""What workers have counted, as the charts and tables show it: over an hour by minutes, or over a day by hours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from outlast.clock import span, to_instant, to_micros
from outlast.job import JobRecord
from outlast.statistics import Histogram, Statistics
from outlast.store import Store

_NOTHING = Histogram((0,), timedelta(0))


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
    failure_share: float | None
    """The part of the attempts that ended of themselves and failed; None when none has."""

    @property
    def all_run(self) -> Histogram:
        return _sum(self.run)

    @property
    def all_late(self) -> Histogram:
        return _sum(self.late)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNumbers:
    """What was counted of one task over a period."""

    task: str
    queues: list[str]
    run: Histogram
    failure_share: float | None
    succeeded: list[int]
    """In each step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tasks:
    """Every task that was counted in a period, those that ran most first."""

    now: datetime
    tasks: list[TaskNumbers]


def of_all(store: Store, period: Period) -> Numbers:
    """Of all tasks together."""
    starts = period.starts(to_instant(store.clock.now()))
    depths = store.past_depths(starts[0], step=period.step)
    return _numbers(store.summed(starts[0], step=period.step), period, starts, depths)


def of_task(store: Store, period: Period, task: str) -> Numbers:
    """Of one task."""
    starts = period.starts(to_instant(store.clock.now()))
    return _numbers(store.summed(starts[0], step=period.step, task=task), period, starts, {})


def of_tasks(store: Store, period: Period) -> Tasks:
    """Of each task."""
    now = to_instant(store.clock.now())
    starts = period.starts(now)
    by_task: dict[str, list[Statistics]] = {}
    for each in store.summed_by_task(starts[0], step=period.step):
        by_task.setdefault(each.task, []).append(each)
    steps = store.successes(starts[0], step=period.step)
    tasks = [_task(task, counted, starts, steps.get(task, {})) for task, counted in by_task.items()]
    return Tasks(now=now, tasks=sorted(tasks, key=lambda each: (-each.run.count, each.task)))


def _task(
    task: str, counted: Sequence[Statistics], starts: Sequence[datetime], succeeded: Mapping[datetime, int]
) -> TaskNumbers:
    return TaskNumbers(
        task=task,
        queues=[each.queue for each in counted],
        run=_sum(each.run for each in counted),
        failure_share=_failure_share(counted),
        succeeded=[succeeded.get(start, 0) for start in starts],
    )


def slowest(store: Store, task: str | None) -> list[JobRecord]:
    """The runs that took longest of those that ended last."""
    return store.slowest(task=task)


def _numbers(
    counted: Iterable[Statistics], period: Period, starts: Sequence[datetime], depths: Mapping[datetime, int]
) -> Numbers:
    steps = {each.start: each for each in counted}
    known = [steps.get(start) for start in starts]
    return Numbers(
        period=period,
        starts=[*starts],
        succeeded=[each.succeeded if each else 0 for each in known],
        failed=[sum(each.failed.values()) if each else 0 for each in known],
        retried=[each.retried if each else 0 for each in known],
        run=[each.run if each else _NOTHING for each in known],
        late=[each.late if each else _NOTHING for each in known],
        depth=[depths.get(start) for start in starts],
        failure_share=_failure_share([*steps.values()]),
    )


def _failure_share(counted: Sequence[Statistics]) -> float | None:
    """The part of the attempts that came to an end of their own and failed; None when none has."""
    bad = sum(each.retried + sum(each.failed.values()) for each in counted)
    ended = bad + sum(each.succeeded for each in counted)
    return bad / ended if ended else None


def _sum(histograms: Iterable[Histogram]) -> Histogram:
    many = [each for each in histograms if each.count]
    if not many:
        return _NOTHING
    counts = tuple(map(sum, zip(*(each.counts for each in many), strict=True)))
    return Histogram(counts, sum((each.total for each in many), timedelta(0)))
