"""Which chart shows which numbers, and what is said of it in words: for those who hover, and for those who hear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta, tzinfo

from outlast.dashboard.charts import Chart, bars, lines
from outlast.dashboard.numbers import Numbers
from outlast.statistics import Histogram
from outlast.wording import counted, took

_HALF, _MOST = 0.5, 0.95


@dataclass(frozen=True, slots=True)
class Picture:
    """A chart with its words."""

    title: str
    big: str
    small: str
    chart: Chart
    top: str
    """What its top stands for."""
    told: str
    """The whole in a sentence."""
    legend: tuple[tuple[str, str], ...] = ()


def overview_pictures(numbers: Numbers, queued: int, zone: tzinfo) -> list[Picture]:
    """Throughput, failures, latency, depth."""
    return [
        throughput(numbers, zone),
        failures(numbers, zone),
        durations("Latency", "from when a job was due to its start", numbers, numbers.late, zone),
        _depth(numbers, queued, zone),
    ]


def task_pictures(numbers: Numbers, zone: tzinfo) -> list[Picture]:
    """Throughput, failures, run time, latency of one task."""
    return [
        throughput(numbers, zone),
        failures(numbers, zone),
        durations("Run time", "of an attempt", numbers, numbers.run, zone),
        durations("Latency", "from when a job was due to its start", numbers, numbers.late, zone),
    ]


def spark(succeeded: Sequence[int]) -> Chart:
    """How many succeeded in each step, in little."""
    return bars([(count,) for count in succeeded], ("b",))


def throughput(numbers: Numbers, zone: tzinfo) -> Picture:
    total = sum(numbers.succeeded)
    titles = _titles(numbers, zone, [f"{count:,} succeeded" for count in numbers.succeeded])
    chart = bars([(count,) for count in numbers.succeeded], ("b",), titles)
    return Picture(
        title="Throughput",
        big=f"{total:,}",
        small=f"succeeded · {_rate(total, numbers)}",
        chart=chart,
        top=_number(chart.most),
        told=f"{counted(total, 'job')} succeeded in {numbers.period.told}, {chart.most:,.0f} at most in a step.",
    )


def failures(numbers: Numbers, zone: tzinfo) -> Picture:
    failed, retried = sum(numbers.failed), sum(numbers.retried)
    pairs = list(zip(numbers.failed, numbers.retried, strict=True))
    titles = _titles(numbers, zone, [f"{bad:,} failed for good, {again:,} retried" for bad, again in pairs])
    chart = bars(pairs, ("b bad", "b"), titles)
    share = numbers.failure_share
    return Picture(
        title="Failures",
        big=f"{failed:,}",
        small=f"for good · {share:.1%} of attempts" if share else "for good",
        chart=chart,
        top=_number(chart.most),
        told=f"{counted(failed, 'job')} failed for good in {numbers.period.told}; {retried:,} attempts were retried.",
        legend=(("bad", "failed"), ("", "retried")),
    )


def durations(
    title: str, of: str, numbers: Numbers, histograms: Sequence[Histogram], zone: tzinfo
) -> Picture:
    """The half and the slowest of them."""
    half, most = ([each.quantile(share) for each in histograms] for share in (_HALF, _MOST))
    whole = numbers.all_late if title == "Latency" else numbers.all_run
    titles = _titles(
        numbers,
        zone,
        [f"p50 {_told(low)}, p95 {_told(high)}" for low, high in zip(half, most, strict=True)],
    )
    chart = lines([_seconds(most), _seconds(half)], ("line high", "line"), titles)
    p50, p95 = whole.quantile(_HALF), whole.quantile(_MOST)
    return Picture(
        title=title,
        big=_told(p50),
        small=f"p50 · {_told(p95)} p95",
        chart=chart,
        top=_told(timedelta(seconds=chart.most)) if chart.most else "",
        told=f"{title}, {of}, in {numbers.period.told}: half within {_told(p50)}, 95 of 100 within {_told(p95)}.",
    )


def _depth(numbers: Numbers, queued: int, zone: tzinfo) -> Picture:
    known = [f"{depth:,} queued" if depth is not None else "not counted" for depth in numbers.depth]
    chart = lines([numbers.depth], ("line",), _titles(numbers, zone, known), filled=True)
    return Picture(
        title="Queue depth",
        big=f"{queued:,}",
        small="queued now",
        chart=chart,
        top=_number(chart.most),
        told=f"{counted(queued, 'job')} queued now, {chart.most:,.0f} at most in {numbers.period.told}.",
    )


def _titles(numbers: Numbers, zone: tzinfo, told: Sequence[str]) -> list[str]:
    times = (start.astimezone(zone) for start in numbers.starts)
    return [f"{time:%H:%M} · {what}" for time, what in zip(times, told, strict=True)]


def _rate(total: int, numbers: Numbers) -> str:
    minutes = numbers.period.step.total_seconds() / 60 * numbers.period.steps
    rate = total / minutes
    return f"{rate:,.0f}/min" if rate >= 10 or rate == 0 else f"{rate:.2g}/min"


def _seconds(durations: Sequence[timedelta | None]) -> list[float | None]:
    return [None if each is None else each.total_seconds() for each in durations]


def _told(duration: timedelta | None) -> str:
    if duration is None:
        return "\N{EN DASH}"
    return took(duration)


def _number(most: float) -> str:
    return f"{most:,.0f}" if most else ""
