"""(h) Outlast on PostgreSQL beside other task queues that keep their jobs in one, on the same server in one run.

Each is set up as its own documentation says for speed; README.md has what was chosen and why. Every round gives each a
new database, in an order that alternates: enqueue one by one and in bulk, start two processes that run jobs, drain,
then send one job now and then to those idle processes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench import marks
from bench.databases import database, server_facts, settle
from bench.environments import Environment
from bench.processes import HERE, Broken, Started, run, started
from bench.report import Table
from bench.setting import Setting
from bench.spread import Spread, quantile

_BATCH = 1000
"""Jobs of one call that enqueues many."""
_CALLERS = 32
"""Tasks that enqueue one by one at the same time."""
_INTERVAL = 0.02
_PATIENCE = 120.0
_GOAL = 3.0
"""Times the best of the others."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One task queue, and how it is run."""

    name: str
    label: str
    home: Environment | None
    """None: this one."""
    workers: tuple[str, ...]
    """The commands of its documentation that run jobs, two processes in all."""
    tasks: tuple[str, ...]
    """The kinds of no-op task that it runs: `async def` on a loop, `def` in a thread."""
    jobs: int
    """Jobs of one drain: fewer for the slow."""

    def binary(self, name: str) -> str:
        return str(Path(sys.executable).parent / name) if self.home is None else self.home.binary(name)

    def enqueue(self, url: str, *words: object, ends: Path | None = None) -> str:
        """Run `peers.on_postgres` on its module."""
        command = [self.binary("python"), "-m", "peers.on_postgres", f"{self.name}_app", *map(str, words)]
        return run(
            command, _environment(url) | ({} if ends is None else {marks.TALLY: str(ends)}), seconds=_PATIENCE
        )


_ASYNC, _DEF = "anothing", "nothing"
_OUTLAST = "outlast worker peers.outlast_app:app --log-level warning --children"
_TWICE = "Outlast, two workers"
"""As the others, which have a connection in each of two processes; one worker has one for both of its children."""
_PGQUEUER = "pgq run peers.pgqueuer_app:worker --log-level WARNING"
_OF_PGQUEUER = Environment("pgqueuer", ("pgqueuer[asyncpg,cli]==1.6.0", "typer==0.24.1", "uvloop==0.23.0"))
_OF_PROCRASTINATE = Environment(
    "procrastinate", ("procrastinate==3.10.0", "psycopg[binary]==3.3.9", "uvloop==0.23.0")
)
_PROCRASTINATE = "procrastinate --log-level warning -a peers.procrastinate_app.app worker --concurrency 10"
_OF_OBAN = Environment("oban", ("oban==0.7.0",), at_least=(3, 12))
_OBAN = "oban start --queues default:100 --log-level warning"
CONTENDERS = (
    Contender("outlast", "Outlast", None, (f"{_OUTLAST} 2",), (_ASYNC, _DEF), 20_000),
    Contender("outlast", _TWICE, None, (f"{_OUTLAST} 1",) * 2, (_ASYNC, _DEF), 20_000),
    Contender("outlast", f"{_TWICE}, 400 slots", None, (f"{_OUTLAST} 1 --slots 400",) * 2, (_ASYNC,), 20_000),
    Contender("pgqueuer", "PgQueuer", _OF_PGQUEUER, (_PGQUEUER,) * 2, (_ASYNC,), 10_000),
    Contender(
        "pgqueuer",
        "PgQueuer, batches of 400",
        _OF_PGQUEUER,
        (f"{_PGQUEUER} --batch-size 400",) * 2,
        (_ASYNC,),
        20_000,
    ),
    Contender(
        "procrastinate", "Procrastinate", _OF_PROCRASTINATE, (_PROCRASTINATE,) * 2, (_ASYNC, _DEF), 2_000
    ),
    Contender("oban", "Oban for Python", _OF_OBAN, (_OBAN,) * 2, (_ASYNC,), 6_000),
)


@dataclass(slots=True)
class Rounds:
    """What was measured of one contender."""

    single: list[float] = field(default_factory=list)
    """Jobs/s."""
    bulk: list[float] = field(default_factory=list)
    drained: dict[str, list[float]] = field(default_factory=dict)
    latencies: list[list[float]] = field(default_factory=list)
    """Seconds of each job of each round."""
    flushes: list[float] = field(default_factory=list)
    broke: str = ""


def measure(setting: Setting) -> list[Table]:
    rounds = {each: Rounds(broke="" if each.home is None else each.home.missing()) for each in CONTENDERS}
    for contender, its in rounds.items():
        if contender.home is not None and not its.broke:
            contender.home.set_up(setting)
    for number in range(setting.pick(3, 1)):
        for contender, its in rounds.items() if number % 2 == 0 else reversed(rounds.items()):
            if not its.broke:
                _measure_one(setting, contender, its)
            setting.say(f"round {number + 1}: {_told(contender, its)}")
    return [_table(rounds)]


def _measure_one(setting: Setting, contender: Contender, rounds: Rounds) -> None:
    rounds.flushes.append(setting.flush_ms())
    try:
        for task in contender.tasks:
            with database(f"outlast_bench_{contender.name}") as url:
                _measure_task(setting, contender, task, url, rounds)
    except Broken as error:
        rounds.broke = "broke, see above"
        setting.say(str(error))


def _measure_task(setting: Setting, contender: Contender, task: str, url: str, rounds: Rounds) -> None:
    """The `async def` task by everything, the `def` task by its drain."""
    folder = setting.fresh(f"{contender.name}-{task}")
    ends, latencies, count = folder / "ends", folder / "latencies", setting.pick(contender.jobs, 1000)
    contender.enqueue(url, "install")
    total = 0
    if task == _ASYNC:
        ones = setting.pick(3200, 320)
        rounds.single.append(ones / float(contender.enqueue(url, "single", task, ones, _CALLERS)))
        total += ones + _CALLERS
    seconds = float(contender.enqueue(url, "bulk", task, count, _BATCH))
    total += count + 1
    if task == _ASYNC:
        rounds.bulk.append(count / seconds)
    settle(url)
    with _working(contender, folder, url, ends, latencies) as workers:
        rounds.drained.setdefault(task, []).append(_drain(workers, ends, total))
        if task == _ASYNC:
            rounds.latencies.append(_latencies(setting, contender, url, workers, latencies))


def _drain(workers: list[Started], ends: Path, count: int) -> float:
    """Jobs/s from the first end to the last."""
    for worker in workers:
        what = f"{count} jobs were enqueued, but did not all run"
        worker.wait_until(lambda: marks.count(ends) >= count, what=what, seconds=_PATIENCE)
    times = [when for _, when in marks.ends(ends)]
    if len(times) != count:
        raise Broken(f"{count} jobs were enqueued, but {len(times)} ran")
    return (count - 1) / (max(times) - min(times))


def _latencies(
    setting: Setting, contender: Contender, url: str, workers: list[Started], file: Path
) -> list[float]:
    """Seconds from just before the call that enqueues to the first line of the task, on idle processes."""
    count = setting.pick(200, 20)
    contender.enqueue(url, "latency", count, _INTERVAL)
    for worker in workers:
        worker.wait_until(
            lambda: len(marks.latencies(file)) >= count, what="a job was not run", seconds=_PATIENCE
        )
    return marks.latencies(file)


@contextmanager
def _working(
    contender: Contender, folder: Path, url: str, ends: Path, latencies: Path
) -> Iterator[list[Started]]:
    """Its processes that run jobs, for the length of a `with`."""
    environment = _environment(url) | {marks.TALLY: str(ends), marks.LATENCIES: str(latencies)}
    with ExitStack() as stack:
        workers = []
        for number, command in enumerate(contender.workers):
            name, *words = command.split()
            log = folder / f"worker{number}.log"
            workers.append(stack.enter_context(started([contender.binary(name), *words], log, environment)))
        yield workers


def _environment(url: str) -> dict[str, str]:
    """Commands are started in another folder than this one's modules: the rest is what their programs read."""
    return {"PYTHONPATH": str(HERE), "BENCH_DATABASE": url, "OBAN_DSN": url, "PGQUEUER_PG_DSN": url}


# ---- telling


def _told(contender: Contender, rounds: Rounds) -> str:
    if rounds.broke:
        return f"{contender.label}: {rounds.broke}"
    drained = ", ".join(f"{rates[-1]:,.0f} {_KINDS[task]}" for task, rates in rounds.drained.items())
    return (
        f"{contender.label}: {rounds.single[-1]:,.0f} enqueued/s one by one, {rounds.bulk[-1]:,.0f} in bulk, "
        f"{drained} jobs/s drained, latency p50 {quantile(rounds.latencies[-1], 0.5) * 1e3:.2f} ms, "
        f"p99 {quantile(rounds.latencies[-1], 0.99) * 1e3:.2f} ms"
    )


_KINDS = {_ASYNC: "`async def`", _DEF: "`def`"}
_COLUMNS = (
    "task queue",
    "drain, `async def`, jobs/s",
    "drain, `def`, jobs/s",
    "enqueue one by one, jobs/s",
    "enqueue in bulk, jobs/s",
    "latency p50, ms",
    "p99, ms",
    "fsync, ms",
)


def _table(rounds: dict[Contender, Rounds]) -> Table:
    table = Table("(h) On PostgreSQL, beside other task queues", _COLUMNS)
    for contender, its in rounds.items():
        if its.broke:
            table.add(contender.label, its.broke, *[""] * (len(_COLUMNS) - 2))
            continue
        table.add(
            contender.label,
            *(Spread.of(its.drained[task]).told() if task in its.drained else "none" for task in _KINDS),
            Spread.of(its.single).told(),
            Spread.of(its.bulk).told(),
            *(
                Spread.of([quantile(each, share) * 1e3 for each in its.latencies]).told(2)
                for share in (0.5, 0.99)
            ),
            Spread.of(its.flushes).told(2),
        )
    table.notes += _compared(rounds)
    table.notes.append(server_facts())
    table.notes.append(
        f"{_CALLERS} callers one by one, {_BATCH:,} jobs a call in bulk; two processes run jobs: "
        + "; ".join(
            f"{each.label}: `{each.workers[0]}`{' twice' * (len(each.workers) > 1)}" for each in CONTENDERS
        )
    )
    packages = ", ".join(
        dict.fromkeys(package for each in CONTENDERS if each.home for package in each.home.packages)
    )
    table.notes.append(f"{packages}. Checked: every job of each ran once.")
    return table


def _compared(rounds: dict[Contender, Rounds]) -> list[str]:
    """What Outlast reached of its goals: each as it comes, and each at its best."""
    usable = {each: its for each, its in rounds.items() if not its.broke}
    own = {each.label: its for each, its in usable.items() if each.home is None}
    peers = {each.label: its for each, its in usable.items() if each.home is not None}
    plain = [its for label, its in peers.items() if "," not in label]
    if len(own) < 3 or not plain:
        return []
    return [
        f"Goal: at least {_GOAL:g} times the best of the others. `async def` drain "
        f"{_times([own['Outlast']], plain)} with the batches that each comes with, "
        f"{_times([own[_TWICE]], plain)} where Outlast too is started twice, "
        f"{_times(own.values(), peers.values())} with the largest of each; one by one "
        f"{_ratio([its.single for its in own.values()], [its.single for its in peers.values()])}, in bulk "
        f"{_ratio([its.bulk for its in own.values()], [its.bulk for its in peers.values()])}. Latency: p50 under 5 ms."
    ]


def _times(own: Iterable[Rounds], others: Iterable[Rounds]) -> str:
    return _ratio([its.drained[_ASYNC] for its in own], [its.drained[_ASYNC] for its in others])


def _ratio(own: list[list[float]], others: list[list[float]]) -> str:
    """The best of the one by the best of the other, by their medians."""
    best, their_best = (max(Spread.of(rates).median for rates in each) for each in (own, others))
    return f"{best / their_best:.1f}"
