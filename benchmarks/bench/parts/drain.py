"""(b) Drain: no-op jobs enqueued through the bulk call, each call flushed to disk, then a worker started on them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from bench import durable
from bench.processes import Broken, run
from bench.report import Table
from bench.setting import Setting
from bench.spread import Spread

_TASKS = {"anothing": "`async def`", "nothing": "`def`"}
_GOALS = {"anothing": "25,000", "nothing": "12,000"}
_BATCH = 1000


@dataclass(slots=True)
class Rounds:
    """The rounds of one kind of task."""

    drained: list[float] = field(default_factory=list)
    """Jobs/s from the first start to the last end."""
    since_start: list[float] = field(default_factory=list)
    """Seconds from the start of the worker's process to the last end."""
    flushes: list[float] = field(default_factory=list)


def measure(setting: Setting) -> list[Table]:
    count = setting.pick(20_000, 2_000)
    rounds = {task: Rounds() for task in _TASKS}
    enqueued: dict[int, list[float]] = {_BATCH: [], count: []}
    for number in range(setting.pick(5, 1)):
        for task in _TASKS if number % 2 == 0 else reversed(_TASKS):
            batch = _BATCH if number % 2 == 0 or setting.quick else count
            folder = setting.fresh(f"drain-{task}")
            rounds[task].flushes.append(setting.flush_ms())
            enqueued[batch].append(_enqueue(durable.url_in(folder), task, count, batch))
            _drain(folder, count, rounds[task])
            setting.say(
                f"round {number + 1}: {enqueued[batch][-1]:,.0f} enqueued/s in calls of {batch:,}, "
                f"{rounds[task].drained[-1]:,.0f} {_TASKS[task]} jobs/s"
            )
    return [_table(count, rounds, enqueued)]


def _enqueue(url: str, task: str, count: int, batch: int) -> float:
    """Enqueued per second."""
    command = [sys.executable, "-m", "bench.enqueue", task, str(count), str(batch)]
    environment = {"OUTLAST_STORE": url, "OUTLAST_WORKER": "external"}
    return count / float(run(command, environment))


def _drain(folder: Path, count: int, rounds: Rounds) -> None:
    jobs = durable.Jobs(durable.url_in(folder))
    with durable.working(folder) as worker:
        drained = jobs.drained()
    if drained.succeeded != count:
        raise Broken(f"{count} jobs were enqueued, but {drained.succeeded} succeeded")
    first, last = jobs.span()
    rounds.drained.append(count / (last - first))
    rounds.since_start.append(last - worker.began)


def _table(count: int, rounds: dict[str, Rounds], enqueued: dict[int, list[float]]) -> Table:
    columns = ["what", "jobs/s", "goal", "seconds since the worker's start", "fsync, ms"]
    table = Table(f"(b) Drain: {count:,} no-op jobs", columns)
    flushes = Spread.of([flush for each in rounds.values() for flush in each.flushes]).told(2)
    for batch, rates in enqueued.items():
        if rates:
            calls = "one call" if batch == count else f"calls of {batch:,}"
            table.add(f"enqueued, {calls}, each flushed", Spread.of(rates).told(), "30,000", "", flushes)
    for task, each in rounds.items():
        table.add(
            f"drained, {_TASKS[task]}",
            Spread.of(each.drained).told(),
            _GOALS[task],
            Spread.of(each.since_start).told(2),
            Spread.of(each.flushes).told(2),
        )
    table.notes.append(
        f"A worker with {durable.CHILDREN} children; jobs/s from the first start to the last end, by the times in the "
        "store. Checked: every job succeeded."
    )
    return table
